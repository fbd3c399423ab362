"""The step type lint_code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rustchain_airflow.steps.code import toolchain
from rustchain_airflow.steps.code.languages import HEADERS, Language, detect, sources
from rustchain_airflow.steps.code.toolchain import Tool, find, first_fault, folder_of
from rustchain_airflow.steps.sdk import (
    Output,
    Parameters,
    ProcessResult,
    ReadPath,
    RunsAs,
    StepContext,
    StepError,
    StepRefused,
    step,
)

Severity = Literal["error", "warning", "info"]


class LintCodeParameters(Parameters):
    """What to look at, by what, and what makes the step fail."""

    path: ReadPath | list[ReadPath] = Field(description="A file, a list of files, or a folder with all below it.")
    language: str | None = Field(
        None,
        description="python, rust, go, c, cpp, java, javascript or typescript; told from the suffixes when left out.",
    )
    tool: str | None = Field(
        None,
        description="ruff, eslint, clippy, go vet, gcc, clang-tidy, javac or tsc; default: the language's first.",
    )
    args: list[str] = Field(default_factory=list, description="Further arguments for the linter.")
    fail_on: Literal["error", "warning", "never"] = Field(
        "error", description="The least severity that fails the step; never: findings are only reported."
    )


class LintFinding(BaseModel):
    """One thing a linter found."""

    path: str
    line: int | None
    column: int | None = Field(description="From 1.")
    code: str | None = Field(description="The linter's name of the rule.")
    severity: Severity
    message: str


class LintCodeOutput(Output):
    """What the linter found."""

    main: ClassVar[str | None] = "findings"

    tool: str
    findings: list[LintFinding] = Field(description="In the order of files and lines.")
    count: int
    exit_code: int = Field(description="As the linter gave it.")


@step(runs_as=RunsAs.COMMAND, idempotent=True)
def lint_code(parameters: LintCodeParameters, context: StepContext) -> LintCodeOutput:
    """Look for faults in source code with the usual linter of its language.

    python: ruff; javascript, typescript: eslint (or tsc); rust: clippy; go: go vet; c, cpp: gcc with
    -Wall -Wextra (or clang-tidy); java: javac with -Xlint. Each reads its configuration where it always
    does, and nothing is built or changed. For clippy and go vet `path` is the project's folder or, for
    programs without one, a file.

    Severities are the linter's own; where it knows none, what it finds is an error. The step fails
    where a finding has the severity `fail_on` or a worse one, with all findings kept in its output; a
    linter that cannot do its work fails the step whatever `fail_on` says.
    """
    paths = [parameters.path] if isinstance(parameters.path, str) else list(parameters.path)
    if not paths:
        raise StepRefused("path names no file")
    known = tuple(dict.fromkeys(language for each in _LINTERS.values() for language in each.languages))
    language = detect(context, paths, parameters.language, known)
    name, linter = _choose(parameters.tool, language)
    program = find(context, linter.tool, project=folder_of(context, paths[0]))
    exit_code, found = linter.run(_Linting(context, language, paths, parameters.args, program))
    findings = sorted(found, key=lambda finding: (finding.path, finding.line or 0, finding.column or 0))
    output = LintCodeOutput(tool=name, findings=findings, count=len(findings), exit_code=exit_code)
    failing = {"never": (), "error": ("error",), "warning": ("error", "warning")}[parameters.fail_on]
    grave = [finding for finding in findings if finding.severity in failing]
    if grave:
        first = grave[0]
        place = ":".join(str(part) for part in (first.path, first.line, first.column) if part is not None)
        raise StepError(
            f"{name} found {len(grave)} {'fault' if len(grave) == 1 else 'faults'}, "
            f"the first at {place}: {first.message.splitlines()[0]}",
            output=output,
        )
    return output


@dataclass(frozen=True)
class _Linting:
    """One run of a linter: what it is given, and how its words are read."""

    context: StepContext
    language: Language
    paths: list[str]
    args: list[str]
    program: str

    @property
    def folder(self) -> str | None:
        """The folder to look at, where there is one and nothing else."""
        entry = self.context.workspace.entry(self.paths[0])
        return self.paths[0] if len(self.paths) == 1 and entry is not None and entry.is_dir else None

    def located(self) -> list[str]:
        """What was given, by absolute path: no name can be taken for an option."""
        return [str(self.context.workspace.locate(path)) for path in self.paths]

    def files(self) -> list[str]:
        """The source files; headers of a folder are looked at with the sources that include them."""
        found = sources(self.context, self.paths, [self.language])
        wanted = [path for path in found if path in self.paths or not path.endswith(HEADERS)]
        return [str(self.context.workspace.locate(path)) for path in wanted]

    def has(self, file: str) -> bool:
        return self.folder is not None and self.context.workspace.entry(f"{self.folder}/{file}") is not None

    def run(self, *arguments: str) -> ProcessResult:
        return toolchain.run(self.context, [self.program, *arguments], working_dir=self.folder or ".")

    def shown(self, path: str) -> str:
        """A path as the linter names it, as outputs name it."""
        base = self.context.workspace.locate(self.folder or ".")
        return self.context.workspace.relative(base / path)

    def failed(self, result: ProcessResult) -> StepError:
        """The linter could not do its work."""
        return StepError(f"{Path(self.program).name} failed: {first_fault(result)}")

    def json(self, result: ProcessResult) -> Any:
        try:
            return json.loads(result.stdout)
        except ValueError as error:
            raise self.failed(result) from error


Linted = tuple[int, list[LintFinding]]


def _ruff(work: _Linting) -> Linted:
    result = work.run("check", "--output-format", "json", "--no-cache", "--no-fix", *work.args, *work.located())
    if result.exit_code not in (0, 1):
        raise work.failed(result)
    return result.exit_code, [
        LintFinding(
            path=work.shown(found["filename"]),
            line=found["location"]["row"],
            column=found["location"]["column"],
            code=found["code"],
            severity="error",
            message=found["message"],
        )
        for found in work.json(result)
    ]


def _eslint(work: _Linting) -> Linted:
    result = work.run("--format", "json", *work.args, *work.located())
    if result.exit_code not in (0, 1):
        raise work.failed(result)
    return result.exit_code, [
        LintFinding(
            path=work.shown(file["filePath"]),
            line=found.get("line"),
            column=found.get("column"),
            code=found.get("ruleId"),
            severity="error" if found.get("severity") == 2 else "warning",
            message=found["message"],
        )
        for file in work.json(result)
        for found in file["messages"]
    ]


# --- rust -----------------------------------------------------------------------------------------

_RUST_SEVERITIES: dict[str, Severity] = {"error": "error", "warning": "warning"}


def _clippy(work: _Linting) -> Linted:
    if work.folder is not None:
        if not work.has("Cargo.toml"):
            raise StepRefused(f'"{work.folder}" has no Cargo.toml; clippy takes a Cargo project or one file')
        find(work.context, toolchain.CLIPPY)
        result = work.run("clippy", "--message-format=json", "--quiet", *work.args)
        lines = result.stdout.splitlines()
    else:
        driver = find(work.context, toolchain.CLIPPY_DRIVER)
        if len(work.paths) > 1:
            raise StepRefused("clippy takes a Cargo project or one file")
        with work.context.workspace.staging(work.paths[0]) as staging:
            out = str(work.context.workspace.locate(staging))
            edition = [] if any(arg.startswith("--edition") for arg in work.args) else ["--edition", "2021"]
            options = ["--error-format=json", "--emit=metadata", "--out-dir", out]
            result = toolchain.run(work.context, [driver, *edition, *options, *work.args, *work.located()])
        lines = result.stderr.splitlines()
    findings = list(_rust_findings(work, lines))
    if result.exit_code and not any(finding.severity == "error" for finding in findings):
        raise work.failed(result)
    return result.exit_code, findings


def _rust_findings(work: _Linting, lines: list[str]) -> Iterator[LintFinding]:
    seen = set()
    for line in lines:
        if not line.startswith("{"):
            continue
        said = json.loads(line)
        if "reason" in said:  # cargo wraps what the compiler says
            if said["reason"] != "compiler-message":
                continue
            said = said["message"]
        spans = [span for span in said.get("spans", []) if span["is_primary"]]
        if said.get("level") not in _RUST_SEVERITIES or not spans:
            continue  # sums ("2 warnings emitted"), notes and other things without a place
        span = spans[0]
        place = (span["file_name"], span["line_start"], span["column_start"], said["message"])
        if place in seen:  # a library is looked at once for itself and once for its tests
            continue
        seen.add(place)
        yield LintFinding(
            path=work.shown(span["file_name"]),
            line=span["line_start"],
            column=span["column_start"],
            code=(said.get("code") or {}).get("code"),
            severity=_RUST_SEVERITIES[said["level"]],
            message=said["message"],
        )


# --- text with places -----------------------------------------------------------------------------

_VET_LINE = re.compile(r"^(?:vet: )?(?P<path>[^\s:][^:\n]*\.go):(?P<line>\d+)(?::(?P<column>\d+))?: (?P<message>.*)$")


def _go_vet(work: _Linting) -> Linted:
    what = ["./..."] if work.folder is not None else work.located()
    result = work.run("vet", "-json", *work.args, *what)
    findings = list(_vet_findings(work, result.stderr + "\n" + result.stdout))
    if result.exit_code and not findings:
        raise work.failed(result)
    return result.exit_code, findings


def _vet_findings(work: _Linting, text: str) -> Iterator[LintFinding]:
    """The JSON objects, one a package, and between them the compiler's complaints as lines."""
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        if text[at] == "{":
            packages, at = decoder.raw_decode(text, at)
            for analyzers in packages.values():
                for analyzer, found in analyzers.items():
                    for each in found if isinstance(found, list) else []:
                        path, line, column = each["posn"].rsplit(":", 2)
                        yield LintFinding(
                            path=work.shown(path),
                            line=int(line),
                            column=int(column),
                            code=analyzer,
                            severity="error",
                            message=each["message"],
                        )
            continue
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if match := _VET_LINE.match(text[at:end]):
            yield _placed(work, match, "error", None)
        at = end + 1


_GCC_LINE = re.compile(
    r"^(?P<path>[^\s:][^:\n]*):(?P<line>\d+):(?:(?P<column>\d+):)? (?P<kind>fatal error|error|warning): "
    r"(?P<message>.*?)(?: \[(?P<code>[\w.,+=<>-]+)\])?$",
    re.MULTILINE,
)


def _gcc(work: _Linting) -> Linted:
    options = ["-fsyntax-only", "-Wall", "-Wextra", "-fdiagnostics-color=never", "-fno-diagnostics-show-caret"]
    return _compiler_text(work, work.run(*options, *work.args, *work.files()), "stderr")


def _clang_tidy(work: _Linting) -> Linted:
    # without a compilation database the options of the compiler come after "--"
    separator = [] if "--" in work.args or any(arg.startswith("-p") for arg in work.args) else ["--"]
    before, after = _split(work.args)
    result = work.run("--quiet", *before, *work.files(), *(separator or after))
    return _compiler_text(work, result, "stdout")


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    at = args.index("--") if "--" in args else len(args)
    return args[:at], args[at:]


def _compiler_text(work: _Linting, result: ProcessResult, stream: Literal["stdout", "stderr"]) -> Linted:
    text = result.stdout if stream == "stdout" else result.stderr
    findings: dict[tuple[Any, ...], LintFinding] = {}
    for match in _GCC_LINE.finditer(text):
        finding = _placed(work, match, "warning" if match["kind"] == "warning" else "error", match["code"])
        findings[(finding.path, finding.line, finding.column, finding.message)] = finding  # headers are read often
    if result.exit_code and not findings:
        raise work.failed(result)
    return result.exit_code, list(findings.values())


_JAVAC_LINE = re.compile(r"^(?P<path>[^\n]*?\.java):(?P<line>\d+): (?P<kind>error|warning): (?P<message>.*)$")
_JAVAC_CODE = re.compile(r"^\[(?P<code>[\w-]+)\] (?P<message>.*)$")


def _javac(work: _Linting) -> Linted:
    with work.context.workspace.staging(work.paths[0]) as staging:
        out = str(work.context.workspace.locate(staging))
        result = work.run("-Xlint:all", "-proc:none", "-d", out, *work.args, *work.files())
    findings: list[LintFinding] = []
    for line in result.stderr.splitlines():
        if match := _JAVAC_LINE.match(line):
            severity: Severity = "warning" if match["kind"] == "warning" else "error"
            named = _JAVAC_CODE.match(match["message"])
            finding = _placed(work, match, severity, named["code"] if named else None)
            findings.append(finding.model_copy(update={"message": named["message"]}) if named else finding)
        elif findings and findings[-1].column is None and line.strip() == "^":
            findings[-1] = findings[-1].model_copy(update={"column": line.index("^") + 1})
    if result.exit_code and not findings:
        raise work.failed(result)
    return result.exit_code, findings


_TSC_LINE = re.compile(
    r"^(?P<path>[^\n(]+)\((?P<line>\d+),(?P<column>\d+)\): (?P<kind>error|warning) (?P<code>TS\d+): (?P<message>.*)$",
    re.MULTILINE,
)


def _tsc(work: _Linting) -> Linted:
    what = ["-p", *work.located()] if work.has("tsconfig.json") else work.files()
    result = work.run("--noEmit", "--pretty", "false", *work.args, *what)
    findings = [_placed(work, match, "error", match["code"]) for match in _TSC_LINE.finditer(result.stdout)]
    if result.exit_code and not findings:
        raise work.failed(result)
    return result.exit_code, findings


def _placed(work: _Linting, match: re.Match[str], severity: Severity, code: str | None) -> LintFinding:
    place = match.groupdict()
    return LintFinding(
        path=work.shown(place["path"]),
        line=int(place["line"]),
        column=int(place["column"]) if place.get("column") else None,
        code=code,
        severity=severity,
        message=place["message"],
    )


# --- which linter ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Linter:
    tool: Tool
    languages: tuple[Language, ...]
    run: Callable[[_Linting], Linted]


_LINTERS = {
    "ruff": _Linter(toolchain.RUFF, (Language.PYTHON,), _ruff),
    "eslint": _Linter(toolchain.ESLINT, (Language.JAVASCRIPT, Language.TYPESCRIPT), _eslint),
    "clippy": _Linter(toolchain.CARGO, (Language.RUST,), _clippy),
    "go vet": _Linter(toolchain.GO, (Language.GO,), _go_vet),
    "gcc": _Linter(toolchain.GCC, (Language.C,), _gcc),
    "g++": _Linter(toolchain.GXX, (Language.CPP,), _gcc),
    "clang-tidy": _Linter(toolchain.CLANG_TIDY, (Language.C, Language.CPP), _clang_tidy),
    "javac": _Linter(toolchain.JAVAC, (Language.JAVA,), _javac),
    "tsc": _Linter(toolchain.TSC, (Language.TYPESCRIPT,), _tsc),
}
_LINTER_ALIASES = {"vet": "go vet", "govet": "go vet", "cargo clippy": "clippy", "gxx": "g++"}


def _choose(tool: str | None, language: Language) -> tuple[str, _Linter]:
    if tool is None:
        return next((name, each) for name, each in _LINTERS.items() if language in each.languages)
    name = tool.strip().lower()
    name = _LINTER_ALIASES.get(name, name)
    if name == "gcc" and language is Language.CPP:
        name = "g++"
    linter = _LINTERS.get(name)
    if linter is None:
        raise StepRefused(f'linter "{tool}" is not supported; known are {", ".join(_LINTERS)}')
    if language not in linter.languages:
        raise StepRefused(f"{name} does not look at {language}; it looks at {', '.join(linter.languages)}")
    return name, linter
