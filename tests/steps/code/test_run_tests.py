"""run_tests: the tests of a project run by its own framework, and are counted as that says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree

import pytest
import services

PYTEST = """
import pytest
def test_good(): print("seen")
def test_bad(): assert 1 == 2
@pytest.mark.skip
def test_off(): pass
@pytest.fixture
def broken(): raise RuntimeError("x")
def test_error(broken): pass
"""
UNITTEST = """
import unittest
import shop
class Some(unittest.TestCase):
    def test_good(self): self.assertEqual(shop.n, 1)
    def test_bad(self): self.fail("no \\x01 \\u2603")
    def test_error(self): raise RuntimeError("x")
    @unittest.skip("off")
    def test_off(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    def test_parts(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertEqual(n, 1)
class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("x")
    def test_never(self): pass
"""
ONE_UNITTEST = "import unittest\nclass T(unittest.TestCase):\n def test(self): pass"
CARGO_TOML = '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\n'
CARGO_TESTS = "#[test] fn good() {}\n#[test] fn bad() { panic!(); }\n#[test] #[ignore] fn off() {}\n"
GO_TESTS = """package shop
import "testing"
func TestGood(t *testing.T) { t.Run("part", func(t *testing.T) {}) }
func TestBad(t *testing.T) { t.Fatal("no") }
func TestOff(t *testing.T) { t.Skip("off") }
"""
NODE_TESTS = """const {test} = require('node:test');
test('good', () => {}); test('bad', () => { throw new Error('no'); }); test('off', {skip: true}, () => {});
"""
PACKAGE_JSON = '{"scripts": {"test": "node --test"}}'
GRADLE = """apply plugin: 'java'
dependencies { testCompile files('/usr/share/java/junit4.jar', '/usr/share/java/hamcrest-core.jar') }
"""
JUNIT4_TESTS = """import org.junit.*;
public class ATest { @Test public void good() {} @Test public void bad() { Assert.fail("no"); }
@Ignore @Test public void off() {} }
"""
JUNIT5_TESTS = """import org.junit.jupiter.api.*;
class ATest { @Test void good() {} @Test void bad() { Assertions.fail("no"); } @Disabled @Test void off() {} }
"""

MIXED: list[Any] = [
    # program, files, parameters, framework, (passed, failed, skipped), has a report
    ("pytest", "python3", {"test_a.py": PYTEST}, {}, (1, 2, 1), True),
    (
        "pytest",
        "python3",
        {"tests/test_a.py": PYTEST, "pyproject.toml": "[tool.pytest.ini_options]"},
        {},
        (1, 2, 1),
        True,
    ),
    (
        "pytest",
        "python3",
        {"p/t/test_a.py": PYTEST, "p/t/test_b.py": "def test(): pass"},
        {"path": "p/t/test_a.py"},
        (1, 2, 1),
        True,
    ),
    (
        "pytest",
        "python3",
        {"test_a.py": PYTEST},
        {"args": ["-k", "good or bad"], "framework": "pytest"},
        (1, 1, 0),
        True,
    ),
    (
        "pytest",
        "python3",
        {"test_a.py": PYTEST},
        {"test_command": [sys.executable, "-m", "pytest", "-x"]},
        (1, 1, 0),
        True,
    ),
    ("unittest", "python3", {"test_a.py": UNITTEST, "shop.py": "n = 1"}, {"framework": "unittest"}, (2, 4, 1), True),
    (
        "unittest",
        "python3",
        {"tests/test_a.py": UNITTEST, "shop.py": "n = 1"},
        {"framework": "unittest"},
        (2, 4, 1),
        True,
    ),
    (
        "unittest",
        "python3",
        {"tests/__init__.py": "", "tests/test_a.py": UNITTEST, "shop.py": "n = 1", "setup.py": ""},
        {"path": "tests", "framework": "unittest"},
        (2, 4, 1),
        True,
    ),
    (
        "unittest",
        "python3",
        {"tests/test_a.py": UNITTEST, "tests/test_b.py": "", "shop.py": "n = 1", "setup.py": ""},
        {"path": "tests/test_a.py", "framework": "unittest"},
        (2, 4, 1),
        True,
    ),
    (
        "cargo",
        "cargo",
        {"Cargo.toml": CARGO_TOML, "src/lib.rs": CARGO_TESTS, "tests/more.rs": "#[test] fn more() {}"},
        {},
        (2, 1, 1),
        False,
    ),
    (
        "cargo",
        "cargo",
        {"p/Cargo.toml": CARGO_TOML, "p/src/lib.rs": CARGO_TESTS},
        {"path": "p", "language": "rust"},
        (1, 1, 1),
        False,
    ),
    ("go", "go", {"go.mod": "module shop\n", "a_test.go": GO_TESTS, "b/b.go": "package b\n"}, {}, (2, 1, 1), False),
    ("npm", "npm", {"package.json": PACKAGE_JSON, "a.test.js": NODE_TESTS}, {}, (1, 1, 1), False),
    (
        "npm",
        "npm",
        {
            "package.json": '{"scripts": {"test": "cat tap; exit 1"}}',
            "tap": "TAP version 13\n1..3\nok 1\nnot ok 2\nok 3 # SKIP\n",
        },
        {"language": "typescript"},
        (1, 1, 1),
        False,
    ),
]


@pytest.mark.parametrize(("framework", "program", "files", "parameters", "counts", "has_report"), MIXED)
def test_how_tests_are_counted(
    bench: Any,
    tool: Callable[[str], str],
    framework: str,
    program: str,
    files: Mapping[str, str],
    parameters: dict[str, Any],
    counts: tuple[int, int, int],
    has_report: bool,
) -> None:
    """The framework is detected; failed tests fail the step, and counts, text and report are kept."""
    tool(program)
    bench.write(files)
    result = bench.bad("run_tests", **parameters)
    output = result.output
    assert output["framework"] == framework
    assert (output["passed"], output["failed"], output["skipped"], output["total"]) == (*counts, sum(counts))
    assert result.error == f"{counts[1]} of {sum(counts)} tests failed ({framework})"
    assert result.retryable
    assert output["exit_code"] != 0
    assert (output["report"] is not None) == has_report
    if has_report:
        assert output["report"] == "test-reports/work.xml"
        root = ElementTree.parse(bench.root / output["report"]).getroot()
        assert sum(1 for _ in root.iter("testcase")) == sum(counts)
    assert not [name for name in bench.files() if ".rustchain" in name]


GREEN: list[Any] = [
    ("python3", {"test_a.py": "def test(): pass"}, {"framework": "pytest"}, 1),
    ("python3", {"test_a.py": ONE_UNITTEST}, {"framework": "unittest"}, 1),
    ("cargo", {"Cargo.toml": CARGO_TOML, "src/lib.rs": "#[test] fn good() {}"}, {}, 1),
    (
        "go",
        {"go.mod": "module shop\n", "a_test.go": 'package shop\nimport "testing"\nfunc TestA(t *testing.T) {}'},
        {},
        1,
    ),
    ("npm", {"package.json": PACKAGE_JSON, "a.test.js": "require('node:test').test('good', () => {});"}, {}, 1),
    ("npm", {"package.json": '{"scripts": {"test": "echo fine"}}'}, {}, None),
    ("make", {"Makefile": "test:\n\techo fine\n"}, {}, None),
    ("make", {"Makefile": "test:\n\techo fine\n", "a.c": ""}, {"language": "c"}, None),
    ("sh", {}, {"test_command": "sh -c 'echo \"all good\"'"}, None),
]


@pytest.mark.parametrize(("program", "files", "parameters", "passed"), GREEN)
def test_tests_that_pass(
    bench: Any,
    tool: Callable[[str], str],
    program: str,
    files: Mapping[str, str],
    parameters: dict[str, Any],
    passed: int | None,
) -> None:
    """A green run succeeds; where the runner does not say counts, they are null and not invented."""
    tool(program)
    bench.write(files)
    output = bench.good("run_tests", **parameters)
    failed = None if passed is None else 0
    assert (output["passed"], output["failed"], output["total"]) == (passed, failed, passed)
    assert output["exit_code"] == 0


def test_maven_is_counted_by_its_reports(bench: Any, maven_project: str) -> None:
    """The surefire reports of this run, and not of an earlier one, are counted and merged into one."""
    bench.write({"pom.xml": maven_project, "src/test/java/ATest.java": JUNIT5_TESTS})
    bench.write({"target/surefire-reports/TEST-Old.xml": '<testsuite><testcase name="old"/></testsuite>'})
    output = bench.bad("run_tests", args=["-o"]).output
    assert (output["framework"], output["passed"], output["failed"], output["skipped"]) == ("maven", 1, 1, 1)
    root = ElementTree.parse(bench.root / output["report"]).getroot()
    assert sorted(case.get("name") for case in root.iter("testcase")) == ["bad", "good", "off"]


def test_gradle_is_counted_by_its_reports(bench: Any, tool: Callable[[str], str]) -> None:
    """Gradle runs tests again although nothing changed, and its reports are counted."""
    tool("gradle")
    bench.write({"build.gradle": GRADLE, "src/test/java/ATest.java": JUNIT4_TESTS})
    for _ in range(2):
        result = bench.bad("run_tests", args=["--offline"])
        if "Could not find" in result.error:
            services.missing("gradle", "no JUnit: apt-get install junit4 libhamcrest-java")
        assert (result.output["passed"], result.output["failed"], result.output["skipped"]) == (1, 1, 1)


UNBUILT: list[Any] = [
    ("cargo", {"Cargo.toml": CARGO_TOML, "src/lib.rs": "fn f() { x }"}, {}, "cargo ended with exit code 101: error"),
    (
        "go",
        {"go.mod": "module shop\n", "a_test.go": "package shop\nfunc f() { x() }"},
        {},
        "go ended with exit code 2: ./a_test.go:2:12: undefined",
    ),
    ("npm", {"package.json": '{"scripts": {"test": "no-such-runner"}}'}, {}, "npm ended with exit code 127: "),
    ("make", {"Makefile": "test:\n\texit 3\n"}, {}, "make ended with exit code 2: "),
    (
        "python3",
        {"test_a.py": ""},
        {"framework": "pytest", "args": ["--no-such-option"]},
        "pytest ended with exit code 4: ",
    ),
    (
        "sh",
        {},
        {"test_command": ["sh", "-c", "echo 'error: it broke' >&2; exit 7"]},
        "command ended with exit code 7: error: it broke",
    ),
]


@pytest.mark.parametrize(("program", "files", "parameters", "error"), UNBUILT)
def test_tests_that_do_not_run(
    bench: Any,
    tool: Callable[[str], str],
    program: str,
    files: Mapping[str, str],
    parameters: dict[str, Any],
    error: str,
) -> None:
    """Tests that cannot be built fail the step with the runner's exit code, and no test counts as passed."""
    tool(program)
    bench.write(files)
    result = bench.bad("run_tests", **parameters)
    assert result.error.startswith(error)
    assert not result.output["passed"]


@pytest.mark.parametrize(
    ("program", "files", "framework"),
    [
        ("python3", {"test_a.py": ""}, "pytest"),
        ("python3", {"test_a.py": ""}, "unittest"),
        ("cargo", {"Cargo.toml": CARGO_TOML, "src/lib.rs": ""}, "cargo"),
        ("go", {"go.mod": "module shop\n", "a.go": "package shop\n"}, "go"),
    ],
)
def test_a_run_without_tests_is_no_success(
    bench: Any, tool: Callable[[str], str], program: str, files: Mapping[str, str], framework: str
) -> None:
    """Where there is no test, nothing was tested, and the step fails."""
    tool(program)
    bench.write(files)
    result = bench.bad("run_tests", framework=framework)
    assert result.error == f'{framework} found no tests in "."'
    assert result.output["total"] == 0


REFUSED: list[Any] = [
    ({}, {}, "holds no project whose tests are known"),
    ({"Cargo.toml": "", "go.mod": ""}, {}, "holds projects of cargo and go; say which is meant"),
    ({"pom.xml": "", "build.gradle": ""}, {"language": "java"}, "holds projects of maven and gradle"),
    ({}, {"language": "cobol"}, 'language "cobol" is not supported'),
    ({}, {"test_command": "sh 'x"}, "cannot be split into words"),
    ({}, {"test_command": []}, "test_command is empty"),
    ({}, {"path": "../x"}, "../x"),
    ({"test_a.py": ""}, {"report": "/etc/report.xml"}, "/etc/report.xml"),
    ({}, {"language": "go", "framework": "go"}, "say the same thing"),
]


@pytest.mark.parametrize(("files", "parameters", "error"), REFUSED)
def test_what_is_refused(bench: Any, files: Mapping[str, str], parameters: dict[str, Any], error: str) -> None:
    """What can never be run as asked is refused, says why, and is not tried again."""
    bench.write(files)
    result = bench.bad("run_tests", **parameters)
    assert error in result.error
    assert not result.retryable


@pytest.mark.parametrize(
    ("framework", "name"),
    [("cargo", "cargo"), ("go", "go"), ("npm", "npm"), ("maven", "mvn"), ("gradle", "gradle"), ("make", "make")],
)
def test_a_missing_tool_is_named_with_how_to_get_it(bench: Any, framework: str, name: str) -> None:
    """A runner that is not installed is a refusal naming it and its package."""
    result = bench.without_tools().bad("run_tests", framework=framework)
    assert result.error.startswith(f"{name} is not installed; get it with: Debian package")
    assert not result.retryable


def test_a_run_that_takes_too_long_is_stopped(bench: Any) -> None:
    """On time-out the tests end, and no half report is left."""
    bench.write({"test_a.py": "import time\ndef test(): time.sleep(600)\n"})
    result = bench.bad("run_tests", framework="pytest", timeout_seconds=3)
    assert result.error == "timed out after 3 s"
    assert [name for name in bench.files() if name.endswith(".xml")] == []


def test_a_make_around_the_mission_is_not_heard_of(
    bench: Any, tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run from within make, a project's make says what it says by itself."""
    tool("make")
    monkeypatch.setenv("MAKEFLAGS", "k")
    monkeypatch.setenv("MAKELEVEL", "1")
    bench.write({"Makefile": "test:\n\t@echo the end\n"})
    assert bench.good("run_tests")["stdout"] == "the end\n"


def test_long_text_is_cut_at_its_beginning(bench: Any, tool: Callable[[str], str]) -> None:
    """Of 2 MB of text the end is kept, and the output says how much was left out."""
    tool("make")
    bench.write({"Makefile": "test:\n\t@yes word | head -c 2000000; echo; echo the end\n"})
    output = bench.good("run_tests")
    assert output["stdout"].startswith("[17")
    assert output["stdout"].endswith("\nthe end\n")
    assert len(output["stdout"]) < 300_000
