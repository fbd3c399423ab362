"""The step type compile_code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import Field

from rustchain_airflow.steps.code import toolchain
from rustchain_airflow.steps.code.languages import HEADERS, Language, detect, sources
from rustchain_airflow.steps.code.toolchain import Tool, find, first_fault, folder_of, shown
from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    PathAccess,
    ProcessResult,
    ReadPath,
    RunsAs,
    StepContext,
    StepError,
    StepRefused,
    WritePath,
    step,
)

COMPILED = (
    Language.PYTHON,
    Language.RUST,
    Language.GO,
    Language.C,
    Language.CPP,
    Language.JAVA,
    Language.TYPESCRIPT,
    Language.JAVASCRIPT,
)


class CompileCodeParameters(Parameters):
    """What to compile, and where the result goes."""

    path: Annotated[ReadPath | list[ReadPath], Alias("source")] = Field(
        description="A source file, a list of them that belong together, or the folder of a project."
    )
    language: str | None = Field(
        None,
        description="python, rust, go, c, cpp, java, typescript or node; told from suffixes and project files "
        "when left out.",
    )
    output: WritePath | None = Field(
        None,
        description="The file to make (c, cpp, rust, go, a single python file) or the folder for what is made "
        "(java, typescript, python, a Cargo or Maven project). Default: where the tool itself puts it.",
    )
    args: list[str] = Field(default_factory=list, description="Further arguments for the compiler.")
    working_dir: ReadPath | None = Field(
        None, description="Where the compiler runs. Default: the project's folder, or the workspace for single files."
    )


class CompileCodeOutput(Output):
    """What the compiler did."""

    main: ClassVar[str | None] = "artifacts"

    language: str = Field(description="The language that was compiled; node is called javascript.")
    command: list[str] = Field(description="The program that ran, and its arguments.")
    success: bool
    stdout: str
    stderr: str
    exit_code: int
    artifacts: list[str] = Field(description="Files that were made, by path, in name order.")


@step(runs_as=RunsAs.COMMAND, idempotent=True)
def compile_code(parameters: CompileCodeParameters, context: StepContext) -> CompileCodeOutput:
    """Compile source files or a project, and say which files that made.

    - c, cpp: gcc or g++ (else cc, clang) makes the program `output`, by default named like the first
      source; with `-c` in `args` it makes objects.
    - rust: `cargo build` where the folder has a Cargo.toml (`output` is its target folder), else rustc,
      in edition 2021 unless `args` say otherwise.
    - go: `go build`; packages without a main are only checked.
    - java: `mvn compile` where the folder has a pom.xml, else javac.
    - typescript: tsc, the project's own before the one on the PATH; nothing is written when there are errors.
    - python: the project's interpreter makes byte code, in `__pycache__` or at `output`; no code runs.
    - node: `node --check`, which makes nothing.

    Programs appear whole or not at all: a compiler that fails or runs out of time leaves an earlier
    result as it was. A compiler that finds faults fails the step, with its text kept in the output.
    """
    paths = [parameters.path] if isinstance(parameters.path, str) else list(parameters.path)
    if not paths:
        raise StepRefused("path names no file")
    language = detect(context, paths, parameters.language, COMPILED)
    return _COMPILERS[language](_Compilation(parameters, context, language, paths))


@dataclass(frozen=True)
class _Compilation:
    """One run of the step: what was asked, and how its outcome is told."""

    parameters: CompileCodeParameters
    context: StepContext
    language: Language
    paths: list[str]

    @property
    def args(self) -> list[str]:
        return self.parameters.args

    @property
    def folder(self) -> str | None:
        """The folder to compile, where there is one and nothing else."""
        entry = self.context.workspace.entry(self.paths[0])
        return self.paths[0] if len(self.paths) == 1 and entry is not None and entry.is_dir else None

    @property
    def working_dir(self) -> str:
        return self.parameters.working_dir or self.folder or "."

    def project(self, file: str) -> str | None:
        """The folder of a project whose file of this name was given, itself or by its folder."""
        if self.folder is not None:
            return self.folder if self.context.workspace.entry(f"{self.folder}/{file}") is not None else None
        path = PurePosixPath(self.paths[0])
        return str(path.parent) if len(self.paths) == 1 and path.name == file else None

    def files(self) -> list[str]:
        """The source files, by absolute path: no name can be taken for an option."""
        languages = [Language.C, Language.CPP] if self.language is Language.CPP else [self.language]
        found = sources(self.context, self.paths, languages)
        return [self.located(path) for path in found if not path.endswith(HEADERS)]

    def located(self, path: str) -> str:
        return str(self.context.workspace.locate(path))

    def find(self, tool: Tool) -> str:
        return find(self.context, tool, project=folder_of(self.context, self.paths[0]))

    def run(self, command: list[str], *, stdin: str | None = None) -> ProcessResult:
        return toolchain.run(self.context, command, working_dir=self.working_dir, stdin=stdin)

    def end(
        self, command: list[str], result: ProcessResult, artifacts: list[str], *, stdout: str | None = None
    ) -> CompileCodeOutput:
        """The output of a compiler that ran; StepError, with the output, where it found faults."""
        output = CompileCodeOutput(
            language=self.language,
            command=command,
            success=result.exit_code == 0,
            stdout=shown(result.stdout if stdout is None else stdout),
            stderr=shown(result.stderr),
            exit_code=result.exit_code,
            artifacts=sorted(artifacts),
        )
        if result.exit_code:
            raise StepError(f"{Path(command[0]).name} failed: {first_fault(result)}", output=output)
        return output

    def put(self, file: str, destination: str) -> str:
        """Move what was built beside its destination into place; the path as outputs show it."""
        self.context.workspace.move(file, destination)
        return self.context.workspace.relative(self.context.workspace.locate(destination))

    def spare_sources(self, destination: str) -> None:
        """Refuse a destination that is one of the sources, as the default is for a source without a suffix."""
        if self.located(destination) in map(self.located, self.paths):
            raise StepRefused(f'"{destination}" is what is compiled; say another output')

    @contextmanager
    def built(self, destination: str) -> Iterator[tuple[str, str]]:
        """A place beside a destination to build in, as a workspace path and an absolute one."""
        self.spare_sources(destination)
        with self.context.workspace.staging(destination) as folder:
            file = f"{folder}/{PurePosixPath(destination).name}"
            yield file, str(self.context.workspace.locate(file, access=PathAccess.WRITE))


# --- c and c++ ------------------------------------------------------------------------------------

_NO_OUTPUT_FILE = frozenset({"-fsyntax-only", "-E", "-M", "-MM"})


def _c(work: _Compilation) -> CompileCodeOutput:
    compiler = work.find(toolchain.GXX if work.language is Language.CPP else toolchain.GCC)
    files = work.files()
    if not files:
        raise StepError(f'"{work.paths[0]}" holds no source file to compile')
    if not _NO_OUTPUT_FILE.isdisjoint(work.args):
        command = [compiler, *work.args, *files]
        return work.end(command, work.run(command), [])
    one_each = next((suffix for option, suffix in (("-c", ".o"), ("-S", ".s")) if option in work.args), None)
    if one_each is None:
        return _link(work, compiler, files, work.parameters.output or _program_name(work))
    if work.parameters.output is not None and len(files) == 1:
        return _link(work, compiler, files, work.parameters.output)
    return _objects(work, compiler, files, one_each)


def _program_name(work: _Compilation) -> str:
    suffix = ".so" if "-shared" in work.args else ""
    if work.folder is not None:
        name = work.context.workspace.locate(work.folder).name
        return f"{work.folder}/{name}{suffix}"
    return str(PurePosixPath(work.paths[0]).with_suffix(suffix))


def _link(work: _Compilation, compiler: str, files: list[str], output: str) -> CompileCodeOutput:
    with work.built(output) as (file, place):
        # the sources go before the arguments: libraries (-lm) are looked up for what stands to their left
        result = work.run([compiler, "-o", place, *files, *work.args])
        artifacts = [work.put(file, output)] if result.exit_code == 0 else []
    return work.end([compiler, "-o", work.located(output), *files, *work.args], result, artifacts)


def _objects(work: _Compilation, compiler: str, files: list[str], suffix: str) -> CompileCodeOutput:
    """One object a source, in the folder `output` or beside the source; all of them or none."""
    folder = work.parameters.output
    sources_of = {
        (f"{folder}/" if folder is not None else f"{PurePosixPath(path).parent}/")
        + PurePosixPath(path).with_suffix(suffix).name: path
        for path in files
    }
    if len(sources_of) < len(files):
        raise StepRefused("two sources have the same name, so their objects would have too; compile them apart")
    command = [compiler, *work.args, *files]
    with work.context.workspace.staging(folder or work.paths[0]) as staging:
        staged = []
        for index, (destination, path) in enumerate(sources_of.items()):
            place = f"{staging}/{index}{suffix}"
            result = work.run([compiler, "-o", work.located(place), path, *work.args])
            if result.exit_code:
                return work.end(command, result, [])
            staged.append((place, destination))
        artifacts = [work.put(place, destination) for place, destination in staged]
    return work.end(command, result, artifacts)


# --- rust -----------------------------------------------------------------------------------------


def _rust(work: _Compilation) -> CompileCodeOutput:
    if (project := work.project("Cargo.toml")) is not None:
        return _cargo(work, project)
    if work.folder is not None or len(work.paths) > 1:
        raise StepRefused("a Rust program of several files is compiled by cargo: give the folder with its Cargo.toml")
    compiler = work.find(toolchain.RUSTC)
    source = work.located(work.paths[0])
    edition = [] if any(arg.startswith("--edition") for arg in work.args) else ["--edition", "2021"]
    output = work.parameters.output or str(PurePosixPath(work.paths[0]).with_suffix(""))
    with work.built(output) as (file, place):
        result = work.run([compiler, *edition, *work.args, "-o", place, source])
        artifacts = [work.put(file, output)] if result.exit_code == 0 else []
    return work.end([compiler, *edition, *work.args, "-o", work.located(output), source], result, artifacts)


def _cargo(work: _Compilation, project: str) -> CompileCodeOutput:
    target = work.parameters.output
    command = [
        work.find(toolchain.CARGO),
        "build",
        "--message-format=json-render-diagnostics",
        "--manifest-path",
        work.located(f"{project}/Cargo.toml"),
        *(["--target-dir", str(work.context.workspace.locate(target, access=PathAccess.WRITE))] if target else []),
        *work.args,
    ]
    result = work.run(command)
    home = work.located(project)
    artifacts: set[str] = set()
    text = []
    for line in result.stdout.splitlines():
        message = _json_object(line)
        if message is None:
            text.append(line)
        elif message.get("reason") == "compiler-artifact" and _is_own(message, home):
            artifacts.update(work.context.workspace.relative(name) for name in message["filenames"])
    return work.end(command, result, list(artifacts), stdout="\n".join(text))


def _is_own(message: dict[str, Any], home: str) -> bool:
    """Whether cargo speaks of the project itself, and not of a dependency or a build script."""
    target = message.get("target")
    kinds = target.get("kind", []) if isinstance(target, dict) else []
    manifest = str(message.get("manifest_path", ""))
    return manifest.startswith(home + "/") and "custom-build" not in kinds and "/vendor/" not in manifest[len(home) :]


def _json_object(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


# --- go -------------------------------------------------------------------------------------------


def _go(work: _Compilation) -> CompileCodeOutput:
    compiler = work.find(toolchain.GO)
    return _go_files(work, compiler) if work.folder is None else _go_folder(work, compiler)


def _go_files(work: _Compilation, compiler: str) -> CompileCodeOutput:
    files = work.files()
    output = work.parameters.output or str(PurePosixPath(work.paths[0]).with_suffix(""))
    with work.built(output) as (file, place):
        result = work.run([compiler, "build", "-o", place, *work.args, *files])
        built = work.context.workspace.entry(file) is not None
        artifacts = [work.put(file, output)] if result.exit_code == 0 and built else []
    return work.end([compiler, "build", "-o", work.located(output), *work.args, *files], result, artifacts)


def _go_folder(work: _Compilation, compiler: str) -> CompileCodeOutput:
    listing = [compiler, "list", "-f", "{{.Name}}", "./..."]
    packages = work.run(listing)
    if packages.exit_code:
        return work.end(listing, packages, [])
    programs = packages.stdout.split().count("main")
    if programs == 0:
        command = [compiler, "build", *work.args, "./..."]
        return work.end(command, work.run(command), [])
    output = work.parameters.output
    with work.context.workspace.staging(output or f"{work.folder}/program") as staging:
        result = work.run([compiler, "build", "-o", work.located(staging) + "/", *work.args, "./..."])
        artifacts = []
        for entry in work.context.workspace.scan(staging) if result.exit_code == 0 else ():
            if output is not None and programs == 1:
                artifacts.append(work.put(entry.path, output))
            else:
                artifacts.append(work.put(entry.path, f"{output or work.folder}/{entry.name}"))
    shown_output = ["-o", work.located(output)] if output is not None and artifacts else []
    return work.end([compiler, "build", *shown_output, *work.args, "./..."], result, artifacts)


# --- java -----------------------------------------------------------------------------------------


def _java(work: _Compilation) -> CompileCodeOutput:
    if (project := work.project("pom.xml")) is not None:
        if work.parameters.output is not None:
            raise StepRefused("a Maven project says itself where its classes go; leave output out")
        command = [
            work.find(toolchain.MAVEN),
            "-B",
            "-q",
            "-Dstyle.color=never",
            "-f",
            work.located(f"{project}/pom.xml"),
            *work.args,
        ]
        command.append("compile")
        return _with_changes(work, command, f"{project}/target/classes", ".class")
    compiler = work.find(toolchain.JAVAC)
    files = work.files()
    output = work.parameters.output
    if output is None:
        return _with_changes(
            work, [compiler, *work.args, *files], work.folder or folder_of(work.context, work.paths[0]), ".class"
        )
    with work.context.workspace.staging(output) as staging:
        result = work.run([compiler, "-d", work.located(staging), *work.args, *files])
        artifacts = _move_tree(work, staging, output) if result.exit_code == 0 else []
    destination = str(work.context.workspace.locate(output, access=PathAccess.WRITE))
    return work.end([compiler, "-d", destination, *work.args, *files], result, artifacts)


def _move_tree(work: _Compilation, staging: str, output: str) -> list[str]:
    root = work.context.workspace.locate(staging)
    return [
        work.put(entry.path, f"{output}/{work.context.workspace.locate(entry.path).relative_to(root)}")
        for entry in list(work.context.workspace.walk(staging))
        if not entry.is_dir
    ]


def _with_changes(work: _Compilation, command: list[str], folder: str, suffix: str) -> CompileCodeOutput:
    """Run a compiler that decides itself where files go, and see which of a kind it made or replaced."""
    before = _stamps(work.context, folder, suffix)
    result = work.run(command)
    after = _stamps(work.context, folder, suffix)
    return work.end(command, result, [path for path, stamp in after.items() if before.get(path) != stamp])


def _stamps(context: StepContext, folder: str, suffix: str) -> dict[str, tuple[float, int]]:
    entry = context.workspace.entry(folder)
    if entry is None or not entry.is_dir:
        return {}
    return {
        context.workspace.relative(entry.path): (entry.modified, entry.size)
        for entry in context.workspace.walk(folder, hidden=False)
        if not entry.is_dir and entry.name.endswith(suffix)
    }


# --- typescript and javascript --------------------------------------------------------------------

_EMITTED = "TSFILE: "


def _typescript(work: _Compilation) -> CompileCodeOutput:
    output = work.parameters.output
    project = work.project("tsconfig.json")
    what = ["-p", work.located(f"{project}/tsconfig.json")] if project is not None else work.files()
    where = ["--outDir", str(work.context.workspace.locate(output, access=PathAccess.WRITE))] if output else []
    options = ["--pretty", "false", "--noEmitOnError", "--listEmittedFiles"]
    command = [work.find(toolchain.TSC), *options, *where, *work.args, *what]
    result = work.run(command)
    lines = result.stdout.splitlines()
    artifacts = [work.context.workspace.relative(line[len(_EMITTED) :]) for line in lines if line.startswith(_EMITTED)]
    text = "\n".join(line for line in lines if not line.startswith(_EMITTED))
    return work.end(command, result, artifacts, stdout=text)


def _javascript(work: _Compilation) -> CompileCodeOutput:
    if work.parameters.output is not None:
        raise StepRefused("node only checks the syntax of JavaScript and makes no file; leave output out")
    node = work.find(toolchain.NODE)
    for file in work.files():  # node --check takes one file at a time
        command = [node, "--check", *work.args, file]
        result = work.run(command)
        if result.exit_code:
            break
    return work.end(command, result, [])


# --- python ---------------------------------------------------------------------------------------

_PYTHON_COMPILER = Path(__file__).with_name("python_compiler.py")


def _python(work: _Compilation) -> CompileCodeOutput:
    if work.args:
        raise StepRefused("the compiler of Python takes no arguments; leave args out")
    workspace, output = work.context.workspace, work.parameters.output
    files = [file for file in sources(work.context, work.paths, [Language.PYTHON]) if not file.endswith(".pyi")]
    names_file = output is not None and output.endswith(".pyc")
    if names_file and len(files) > 1:
        raise StepRefused("output names one .pyc file for several sources; name a folder")
    if output is not None:
        work.spare_sources(output)
    home = folder_of(work.context, work.paths[0])
    interpreter = toolchain.pythons(work.context, home)[0]
    with workspace.staging(output if output is not None else f"{home}/__pycache__") as staging:
        staged = [f"{staging}/{index}.pyc" for index in range(len(files))]
        request = [[work.located(file), work.located(place)] for file, place in zip(files, staged, strict=True)]
        command = [interpreter, "-I", str(_PYTHON_COMPILER)]
        result = work.run(command, stdin=json.dumps(request))
        if result.exit_code:
            return work.end(command, result, [], stdout="")
        artifacts = []
        for file, place, cache_name in zip(files, staged, json.loads(result.stdout), strict=True):
            in_cache = f"{PurePosixPath(file).parent}/__pycache__/{cache_name}"
            inside = workspace.locate(file).relative_to(workspace.locate(home)).with_suffix(".pyc")
            in_output = output if names_file else f"{output}/{inside}"
            artifacts.append(work.put(place, in_cache if output is None else str(in_output)))
    return work.end(command, result, artifacts, stdout="")


_COMPILERS: dict[Language, Callable[[_Compilation], CompileCodeOutput]] = {
    Language.C: _c,
    Language.CPP: _c,
    Language.RUST: _rust,
    Language.GO: _go,
    Language.JAVA: _java,
    Language.TYPESCRIPT: _typescript,
    Language.JAVASCRIPT: _javascript,
    Language.PYTHON: _python,
}
