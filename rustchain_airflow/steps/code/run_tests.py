"""The step type run_tests."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Final
from xml.etree import ElementTree

from pydantic import Field

from rustchain_airflow.steps.code import counts as reported
from rustchain_airflow.steps.code import toolchain
from rustchain_airflow.steps.code.counts import Counts
from rustchain_airflow.steps.code.languages import Language, named
from rustchain_airflow.steps.code.toolchain import MAX_REPORT_BYTES, find, first_fault, folder_of, shown, upwards
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


class Framework(StrEnum):
    """What runs the tests."""

    PYTEST = "pytest"
    UNITTEST = "unittest"
    CARGO = "cargo"
    GO = "go"
    NPM = "npm"
    MAVEN = "maven"
    GRADLE = "gradle"
    MAKE = "make"


_OF_LANGUAGE = {
    Language.PYTHON: (Framework.PYTEST, Framework.UNITTEST),
    Language.RUST: (Framework.CARGO,),
    Language.GO: (Framework.GO,),
    Language.JAVASCRIPT: (Framework.NPM,),
    Language.TYPESCRIPT: (Framework.NPM,),
    Language.JAVA: (Framework.MAVEN, Framework.GRADLE),
    Language.C: (Framework.MAKE,),
    Language.CPP: (Framework.MAKE,),
}

_OF_PROGRAM = {
    "pytest": Framework.PYTEST,
    "py.test": Framework.PYTEST,
    "cargo": Framework.CARGO,
    "go": Framework.GO,
    "npm": Framework.NPM,
    "node": Framework.NPM,
    "mvn": Framework.MAVEN,
    "mvnw": Framework.MAVEN,
    "gradle": Framework.GRADLE,
    "gradlew": Framework.GRADLE,
    "make": Framework.MAKE,
}

_CUSTOM = "command"
"""What the output calls a ``test_command`` of no framework that is known."""


class RunTestsParameters(Parameters):
    """Which tests to run, and by what."""

    path: ReadPath = Field(".", description="The project's folder; for Python also a folder or file of tests in it.")
    language: Annotated[str | None, Alias("framework")] = Field(
        None,
        description="pytest, unittest, cargo, go, npm, maven, gradle or make, or the language; "
        "told from the project's files when left out.",
    )
    test_command: str | list[str] | None = Field(
        None, description="Run this instead (without a shell); counted as far as its framework is known."
    )
    args: list[str] = Field(default_factory=list, description="Further arguments for the test runner.")
    report: WritePath | None = Field(
        None, description='Where the JUnit XML report goes. Default: "test-reports/<step id>.xml" in the workspace.'
    )


class RunTestsOutput(Output):
    """How the tests ended. Counts are null where the runner does not say them."""

    main: ClassVar[str | None] = "passed"

    framework: str = Field(description='The framework that ran, or "command".')
    passed: int | None
    failed: int | None = Field(description="Failures and errors.")
    skipped: int | None
    total: int | None
    exit_code: int
    stdout: str = Field(description="The end of what was said, where it was long.")
    stderr: str
    report: str | None = Field(description="The JUnit XML report, where the runner writes one.")


@step(runs_as=RunsAs.COMMAND)
def run_tests(parameters: RunTestsParameters, context: StepContext) -> RunTestsOutput:
    """Run the tests of a project and count how they ended.

    The framework is told from the files of the folder: Cargo.toml, go.mod, a package.json with a test
    script, pom.xml, build.gradle, the configuration or test files of Python, a Makefile with a `test`
    target. Where two of them are there (a Makefile apart), `framework` has to say which is meant.

    Counts come from what machines are meant to read: the JUnit XML of pytest, unittest, Maven and
    Gradle (several files are merged into one report), the result lines of cargo, the events of
    `go test -json`, and for npm the summary of Node's own test runner or TAP. Where a runner says none
    of these, counts are null.

    Failed tests fail the step, and so do tests that cannot be built and a run in which there was no
    test; counts, text and report are kept in the output. The tests run with the environment of the
    step: they are code of the project, and may do whatever the step may.
    """
    framework = _framework(parameters, context)
    testing = _Testing(parameters, context, framework)
    return _RUNNERS[framework](testing) if framework else testing.run_custom()


# --- which framework ------------------------------------------------------------------------------


def _framework(parameters: RunTestsParameters, context: StepContext) -> Framework | None:
    if context.workspace.entry(parameters.path) is None:
        raise StepError(f"no such folder: {parameters.path}")
    asked = parameters.language.strip().lower() if parameters.language is not None else None
    if asked in set(Framework):
        return Framework(asked)
    candidates = _OF_LANGUAGE[named(parameters.language, _OF_LANGUAGE)] if parameters.language is not None else None
    if parameters.test_command is not None and candidates is None:
        return _of_command(_words(parameters.test_command))
    if candidates is not None and len(candidates) == 1:
        return candidates[0]
    found = _detected(context, parameters.path)
    if candidates is not None:
        found = [framework for framework in found if framework in candidates]
    if len(found) > 1:
        names = " and ".join(found)
        raise StepRefused(f'"{parameters.path}" holds projects of {names}; say which is meant with framework')
    if not found:
        raise StepRefused(
            f'"{parameters.path}" holds no project whose tests are known; '
            f"give framework ({', '.join(Framework)}) or test_command"
        )
    return found[0]


def _words(command: str | list[str]) -> list[str]:
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise StepRefused(f"test_command cannot be split into words: {error}") from error
    if not words:
        raise StepRefused("test_command is empty")
    return words


def _of_command(words: list[str]) -> Framework | None:
    program = PurePosixPath(words[0]).name
    if program.startswith("python") and words[1:2] == ["-m"] and words[2:3] in (["pytest"], ["unittest"]):
        return Framework(words[2])
    return _OF_PROGRAM.get(program)


def _detected(context: StepContext, path: str) -> list[Framework]:
    entry = context.workspace.entry(path)
    assert entry is not None
    if not entry.is_dir:
        return [_python_framework(context, path)] if path.endswith(".py") else []
    there = {item.name for item in context.workspace.scan(path)}
    found = []
    if "Cargo.toml" in there:
        found.append(Framework.CARGO)
    if "go.mod" in there:
        found.append(Framework.GO)
    if "package.json" in there and '"test"' in _text(context, f"{path}/package.json"):
        found.append(Framework.NPM)
    if "pom.xml" in there:
        found.append(Framework.MAVEN)
    if not there.isdisjoint({"build.gradle", "build.gradle.kts"}):
        found.append(Framework.GRADLE)
    if _has_python_tests(context, path):
        found.append(_python_framework(context, path))
    if not found and any(
        line.startswith("test:")
        for name in ("GNUmakefile", "makefile", "Makefile")
        if name in there
        for line in _text(context, f"{path}/{name}").splitlines()
    ):
        found.append(Framework.MAKE)
    return found


def _text(context: StepContext, path: str) -> str:
    return context.workspace.read(path, max_bytes=8 * 1024 * 1024).decode("utf-8", "replace")


def _is_test_file(name: str) -> bool:
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


def _has_python_tests(context: StepContext, path: str) -> bool:
    there = context.workspace.scan(path)
    names = {entry.name for entry in there}
    if not names.isdisjoint({"pytest.ini", ".pytest.ini", "conftest.py"}) or any(map(_is_test_file, names)):
        return True
    if "pyproject.toml" in names and _configures_pytest(_text(context, f"{path}/pyproject.toml")):
        return True
    return any(
        _is_test_file(entry.name)
        for folder in there
        if folder.is_dir and folder.name in ("test", "tests")
        for entry in context.workspace.walk(folder.path, hidden=False)
    )


def _configures_pytest(text: str) -> bool:
    try:
        return "pytest" in tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError:
        return False


def _python_framework(context: StepContext, path: str) -> Framework:
    """pytest where the project can import it, else unittest, which every Python has."""
    return Framework.PYTEST if _python_with(context, "pytest", _python_project(context, path)) else Framework.UNITTEST


_PYTHON_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini")


def _python_project(context: StepContext, path: str) -> str:
    """The folder in which Python tests run: the nearest one upwards that says it is a project."""
    start = folder_of(context, path)
    for folder in (start, *upwards(start)):
        if any(context.workspace.entry(f"{folder}/{name}") is not None for name in _PYTHON_PROJECT):
            return folder
    return start


def _python_with(context: StepContext, module: str, project: str) -> str | None:
    """The first interpreter the project may want that has a module."""
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    for python in dict.fromkeys(toolchain.pythons(context, project)):
        if context.processes.run([python, "-c", probe], working_dir=project).exit_code == 0:
            return python
    return None


# --- one run --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Testing:
    """One run of tests: what was asked, and how its outcome is told."""

    parameters: RunTestsParameters
    context: StepContext
    framework: Framework | None

    @property
    def folder(self) -> str:
        return folder_of(self.context, self.parameters.path)

    @property
    def custom(self) -> list[str] | None:
        """The command that the mission gives instead of ours."""
        command = self.parameters.test_command
        return None if command is None else [*_words(command), *self.parameters.args]

    def run(
        self, command: list[str], *, working_dir: str | None = None, environment: dict[str, str] | None = None
    ) -> ProcessResult:
        return self.context.processes.run(
            command,
            working_dir=working_dir or self.folder,
            environment={"NO_COLOR": "1", **(environment or {})},
            max_output_bytes=MAX_REPORT_BYTES,
        )

    def run_custom(self) -> RunTestsOutput:
        """Run a command of which nothing is known but its exit code."""
        command = self.custom
        assert command is not None
        return self.end(self.run(command), None)

    @property
    def report(self) -> str:
        return self.parameters.report or f"test-reports/{self.context.step_id}.xml"

    @contextmanager
    def reporting(self) -> Iterator[tuple[str, str]]:
        """A place for a runner to write its report, as a workspace path and an absolute one."""
        with self.context.workspace.staging(self.report) as folder:
            file = f"{folder}/report.xml"
            yield file, str(self.context.workspace.locate(file, access=PathAccess.WRITE))

    def end_with_report(self, result: ProcessResult, file: str) -> RunTestsOutput:
        """The outcome as a report tells it, which is put in its place; a run that wrote none has no counts."""
        if self.context.workspace.entry(file) is None:
            return self.end(result, None)
        with self.context.workspace.open(file) as opened:
            counts, _suites = reported.of_junit(opened)
        self.context.workspace.move(file, self.report)
        return self.end(result, counts, report=self._shown_report())

    def end_with_reports(self, result: ProcessResult, files: list[str]) -> RunTestsOutput:
        """The outcome as the reports of several suites tell it, merged into one."""
        if not files:
            return self.end(result, None)
        total, suites = Counts(), list[ElementTree.Element]()
        for file in files:
            with self.context.workspace.open(file) as opened:
                counts, found = reported.of_junit(opened)
            total += counts
            suites += found
        with self.context.workspace.write(self.report) as report:
            report.write(reported.merged(suites))
        return self.end(result, total, report=self._shown_report())

    def _shown_report(self) -> str:
        return self.context.workspace.relative(self.context.workspace.locate(self.report))

    def end(
        self, result: ProcessResult, counts: Counts | None, *, report: str | None = None, stdout: str | None = None
    ) -> RunTestsOutput:
        """The output of a run; StepError, with the output, where tests failed or there were none."""
        runner = self.framework or _CUSTOM
        output = RunTestsOutput(
            framework=runner,
            passed=counts and counts.passed,
            failed=counts and counts.failed,
            skipped=counts and counts.skipped,
            total=counts and counts.total,
            exit_code=result.exit_code,
            stdout=shown(result.stdout if stdout is None else stdout),
            stderr=shown(result.stderr),
            report=report,
        )
        if counts and counts.failed:
            raise StepError(f"{counts.failed} of {counts.total} tests failed ({runner})", output=output)
        if counts is not None and counts.total == 0 and result.exit_code in (0, _NO_TESTS):
            raise StepError(f'{runner} found no tests in "{self.parameters.path}"', output=output)
        if result.exit_code:
            raise StepError(f"{runner} ended with exit code {result.exit_code}: {first_fault(result)}", output=output)
        return output


_NO_TESTS = 5
"""How pytest, and unittest from Python 3.12 on, say that there was no test."""


# --- python ---------------------------------------------------------------------------------------


def _pytest(testing: _Testing) -> RunTestsOutput:
    context, path = testing.context, testing.parameters.path
    project = _python_project(context, path)
    with testing.reporting() as (file, place):
        if testing.custom is not None:
            options = f"{context.environment.get('PYTEST_ADDOPTS', '')} --junitxml={shlex.quote(place)}".strip()
            result = testing.run(testing.custom, environment={"PYTEST_ADDOPTS": options})
        else:
            python = _python_with(context, "pytest", project)
            if python is None:
                raise StepRefused("pytest is not installed for this project; get it with: pip install pytest")
            where = [] if path == project else [str(context.workspace.locate(path))]
            command = [python, "-m", "pytest", f"--junitxml={place}", *testing.parameters.args, *where]
            result = testing.run(command, working_dir=project)
        return testing.end_with_report(result, file)


_UNITTEST_RUNNER = Path(__file__).with_name("unittest_runner.py")


def _unittest(testing: _Testing) -> RunTestsOutput:
    if testing.custom is not None:
        return testing.run_custom()
    project = _python_project(testing.context, testing.parameters.path)
    python = toolchain.pythons(testing.context, project)[0]
    with testing.reporting() as (file, place):
        selection = [*_unittest_selection(testing, project), *testing.parameters.args]
        result = testing.run([python, str(_UNITTEST_RUNNER), place, *selection], working_dir=project)
        return testing.end_with_report(result, file)


def _unittest_selection(testing: _Testing, project: str) -> list[str]:
    """What unittest is told to run: a module by its file, or what it discovers below a folder."""
    workspace, path = testing.context.workspace, testing.parameters.path
    top = workspace.locate(project)
    entry = workspace.entry(path)
    assert entry is not None
    if not entry.is_dir:
        return [str(workspace.locate(path).relative_to(top))]
    start = path
    if path == project and not any(_is_test_file(item.name) for item in workspace.scan(path)):
        start = next(
            (f"{path}/{name}" for name in ("tests", "test") if workspace.entry(f"{path}/{name}") is not None), path
        )
    is_package = workspace.entry(f"{start}/__init__.py") is not None
    return ["discover", "-s", str(workspace.locate(start)), *(["-t", str(top)] if is_package else [])]


# --- other languages ------------------------------------------------------------------------------


def _cargo(testing: _Testing) -> RunTestsOutput:
    command = testing.custom or [
        find(testing.context, toolchain.CARGO),
        "test",
        "--no-fail-fast",
        *testing.parameters.args,
    ]
    result = testing.run(command)
    return testing.end(result, None if result.truncated else reported.of_cargo(result.stdout))


def _go(testing: _Testing) -> RunTestsOutput:
    command = testing.custom or [
        find(testing.context, toolchain.GO),
        "test",
        "-json",
        *testing.parameters.args,
        "./...",
    ]
    result = testing.run(command)
    found = reported.of_go(result.stdout)
    if found is None:
        return testing.end(result, None)
    counts, text = found
    return testing.end(result, None if result.truncated else counts, stdout=text)


def _npm(testing: _Testing) -> RunTestsOutput:
    args = testing.parameters.args
    command = testing.custom or [find(testing.context, toolchain.NPM), "test", *(["--", *args] if args else [])]
    # without a terminal most runners know that nobody watches; the others are told by CI
    result = testing.run(command, environment={"CI": testing.context.environment.get("CI", "true")})
    return testing.end(result, None if result.truncated else reported.of_javascript(result.stdout))


def _maven(testing: _Testing) -> RunTestsOutput:
    command = testing.custom or [
        _wrapper(testing, "mvnw") or find(testing.context, toolchain.MAVEN),
        *("-B", "-Dstyle.color=never", "--fail-at-end"),
        *testing.parameters.args,
        "test",
    ]
    return _with_new_reports(testing, command, "target/surefire-reports")


def _gradle(testing: _Testing) -> RunTestsOutput:
    command = testing.custom or [
        _wrapper(testing, "gradlew") or find(testing.context, toolchain.GRADLE),
        *("--console=plain", "--no-daemon", "--continue"),
        *testing.parameters.args,
        *("cleanTest", "test"),  # tests that are up to date would not run again
    ]
    return _with_new_reports(testing, command, "build/test-results")


def _wrapper(testing: _Testing, name: str) -> str | None:
    path = f"{testing.folder}/{name}"
    return str(testing.context.workspace.locate(path)) if testing.context.workspace.entry(path) is not None else None


def _with_new_reports(testing: _Testing, command: list[str], folder: str) -> RunTestsOutput:
    """Run a tool that writes a report a test class, and read those that this run wrote."""
    before = _reports(testing, folder)
    result = testing.run(command)
    after = _reports(testing, folder)
    return testing.end_with_reports(result, [path for path, stamp in after.items() if before.get(path) != stamp])


def _reports(testing: _Testing, folder: str) -> dict[str, float]:
    return {
        entry.path: entry.modified
        for entry in testing.context.workspace.walk(testing.folder, hidden=False)
        if entry.name.startswith("TEST-") and entry.name.endswith(".xml") and f"/{folder}/" in f"/{entry.path}"
    }


def _make(testing: _Testing) -> RunTestsOutput:
    command = testing.custom or [find(testing.context, toolchain.MAKE), *testing.parameters.args, "test"]
    return testing.end(testing.run(command, environment=_OUTERMOST_MAKE), None)


_OUTERMOST_MAKE: Final = {"MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": "0"}
"""A mission that is itself run by make is nobody's recursive make: no flags, no job server, no folder names."""

_RUNNERS: dict[Framework, Callable[[_Testing], RunTestsOutput]] = {
    Framework.PYTEST: _pytest,
    Framework.UNITTEST: _unittest,
    Framework.CARGO: _cargo,
    Framework.GO: _go,
    Framework.NPM: _npm,
    Framework.MAVEN: _maven,
    Framework.GRADLE: _gradle,
    Framework.MAKE: _make,
}
