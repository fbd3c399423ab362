"""lint_code: findings with their places, from the linter of each language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

CARGO_TOML = '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\n'
ESLINT = 'export default [{rules: {"no-undef": "error", "no-unused-vars": "warn"}}];\n'
RUST = "fn main() {\n    let v: Vec<i32> = Vec::new();\n    if v.len() == 0 {}\n}\n"
GO = "package main\n\nfunc main() {\n\tx := 1\n\tx = x\n}\n"
C = "#include <stdio.h>\nint main(void) {\n  int unused;\n  return 0;\n}\n"
C_FAULTY = "int main(void) {\n  return x;\n}\n"
JAVA = "import java.util.*;\nclass A {\n  List f() { return new ArrayList(); }\n}\n"

# program, tool, files, parameters, findings: (path, line, column, code, severity, part of the message)
FOUND: list[Any] = [
    (None, "ruff", {"a.py": "import os\n"}, {"path": "a.py"}, [("a.py", 1, 8, "F401", "error", "imported but unused")]),
    (None, "ruff", {"a.py": "x = 1 +\n"}, {"path": "a.py"}, [("a.py", 1, 8, "invalid-syntax", "error", "expression")]),
    (
        None,
        "ruff",
        {"p/b.py": "print(x)\n", "p/a.py": "import os\n", "ruff.toml": 'lint.select = ["F"]\n'},
        {"path": "p"},
        [("p/a.py", 1, 8, "F401", "error", "unused"), ("p/b.py", 1, 7, "F821", "error", "Undefined name")],
    ),
    (None, "ruff", {"a.py": "import os\n"}, {"path": "a.py", "args": ["--ignore=F401"]}, []),
    (
        "eslint",
        "eslint",
        {"a.js": "let a = 1;\nb();\n", "eslint.config.mjs": ESLINT},
        {"path": "a.js"},
        [("a.js", 1, 5, "no-unused-vars", "warning", "never used"), ("a.js", 2, 1, "no-undef", "error", "'b' is not")],
    ),
    (
        "eslint",
        "eslint",
        {"p/a.js": "let a = = 1;\n", "p/eslint.config.mjs": ESLINT},
        {"path": "p", "language": "javascript"},
        [("p/a.js", 1, 9, None, "error", "Parsing error")],
    ),
    (
        "cargo-clippy",
        "clippy",
        {"a.rs": RUST},
        {"path": "a.rs"},
        [("a.rs", 3, 8, "clippy::len_zero", "warning", "zero")],
    ),
    (
        "cargo-clippy",
        "clippy",
        {"p/Cargo.toml": CARGO_TOML, "p/src/main.rs": RUST},
        {"path": "p"},
        [("p/src/main.rs", 3, 8, "clippy::len_zero", "warning", "zero")],
    ),
    (
        "cargo-clippy",
        "clippy",
        {"Cargo.toml": CARGO_TOML, "src/main.rs": "fn main() {\n    x;\n}\n"},
        {"path": "."},
        [("src/main.rs", 2, 5, "E0425", "error", "cannot find value")],
    ),
    ("go", "go vet", {"a.go": GO}, {"path": "a.go"}, [("a.go", 5, 2, "assign", "error", "self-assignment")]),
    (
        "go",
        "go vet",
        {"p/go.mod": "module shop\n", "p/a.go": GO, "p/q/b.go": GO},
        {"path": "p"},
        [
            ("p/a.go", 5, 2, "assign", "error", "self-assignment"),
            ("p/q/b.go", 5, 2, "assign", "error", "self-assignment"),
        ],
    ),
    (
        "go",
        "go vet",
        {"go.mod": "module shop\n", "a.go": "package shop\n\nfunc f() { x() }\n"},
        {"path": "."},
        [("a.go", 3, 12, None, "error", "undeclared name: x")],
    ),
    ("gcc", "gcc", {"a.c": C}, {"path": "a.c"}, [("a.c", 3, 7, "-Wunused-variable", "warning", "unused")]),
    (
        "gcc",
        "gcc",
        {"p/a.c": C_FAULTY, "p/a.h": "#pragma once\n"},
        {"path": "p"},
        [("p/a.c", 2, 10, None, "error", "undeclared")],
    ),
    ("gcc", "gcc", {"a.c": '#include "none.h"\n'}, {"path": "a.c"}, [("a.c", 1, 10, None, "error", "No such file")]),
    (
        "g++",
        "g++",
        {"a.cpp": C_FAULTY},
        {"path": "a.cpp", "tool": "gcc"},
        [("a.cpp", 2, 10, None, "error", "not declared")],
    ),
    (
        "clang-tidy",
        "clang-tidy",
        {"a.c": "int f(int *p) {\n  p = 0;\n  return *p;\n}\n"},
        {"path": "a.c", "tool": "clang-tidy"},
        [("a.c", 3, 10, "clang-analyzer-core.NullDereference", "warning", "null pointer")],
    ),
    (
        "javac",
        "javac",
        {"A.java": JAVA},
        {"path": "A.java"},
        [("A.java", 3, 3, "rawtypes", "warning", "raw type"), ("A.java", 3, 25, "rawtypes", "warning", "raw type")],
    ),
    (
        "javac",
        "javac",
        {"A.java": "class A {\n  int f = x;\n}\n"},
        {"path": "A.java"},
        [("A.java", 2, 11, None, "error", "cannot find")],
    ),
    (
        "tsc",
        "tsc",
        {"a.ts": "const n: number = 'x';\n"},
        {"path": "a.ts", "tool": "tsc"},
        [("a.ts", 1, 7, "TS2322", "error", "not assignable")],
    ),
]


@pytest.mark.parametrize(("program", "name", "files", "parameters", "found"), FOUND)
def test_what_is_found(
    bench: Any,
    tool: Callable[[str], str],
    program: str | None,
    name: str,
    files: Mapping[str, str],
    parameters: dict[str, Any],
    found: list[tuple[Any, ...]],
) -> None:
    """Every finding has its place, rule, severity and message, whatever tool it comes from."""
    if program is not None:
        tool(program)
    bench.write(files)
    output = bench.good("lint_code", fail_on="never", **parameters)
    assert output["tool"] == name
    assert output["count"] == len(found)
    places = [tuple(each[key] for key in ("path", "line", "column", "code", "severity")) for each in output["findings"]]
    assert places == [each[:5] for each in found]
    for each, expected in zip(output["findings"], found, strict=True):
        assert expected[5] in each["message"]
    made = {file for file in bench.files() if file.split("/")[0] != "target" and "/target/" not in file}
    assert made - {"Cargo.lock", "p/Cargo.lock"} == set(files)


@pytest.mark.parametrize(
    ("fail_on", "code", "fails"),
    [
        ("error", C, False),
        ("warning", C, True),
        ("never", C, False),
        ("error", C_FAULTY, True),
        ("warning", C_FAULTY, True),
        ("never", C_FAULTY, False),
    ],
)
def test_what_fails_the_step(bench: Any, tool: Callable[[str], str], fail_on: str, code: str, fails: bool) -> None:
    """The step fails for findings of the severity asked for or a worse one, and keeps them in its output."""
    tool("gcc")
    bench.write({"a.c": code})
    result = bench.run("lint_code", path="a.c", fail_on=fail_on)
    assert (result.error is not None) == fails
    assert result.output is not None
    assert result.output["count"] == 1
    if fails:
        assert result.error is not None
        assert result.error.startswith("gcc found 1 fault, the first at a.c:")


def test_an_error_is_the_default_reason_to_fail(bench: Any) -> None:
    """Without fail_on an error fails the step."""
    bench.write({"a.py": "import os\nprint(x)\n", "ruff.toml": 'lint.select = ["F"]\n'})
    result = bench.bad("lint_code", path="a.py")
    assert result.error == "ruff found 2 faults, the first at a.py:1:8: `os` imported but unused"


BROKEN: list[Any] = [
    (None, {"a.py": "", "ruff.toml": "[["}, {"path": "a.py"}, "ruff failed: "),
    ("eslint", {"a.js": ""}, {"path": "a.js"}, "eslint failed: "),
    ("gcc", {"a.c": ""}, {"path": "a.c", "args": ["--no-such-option"]}, "gcc failed: "),
    ("cargo-clippy", {"Cargo.toml": "[["}, {"path": "."}, "cargo failed: "),
    ("go", {"go.mod": "[["}, {"path": "."}, "go failed: "),
    ("javac", {"A.java": ""}, {"path": "A.java", "args": ["--no-such-option"]}, "javac failed: "),
]


@pytest.mark.parametrize(("program", "files", "parameters", "error"), BROKEN)
def test_a_linter_that_cannot_work_is_no_clean_bill(
    bench: Any,
    tool: Callable[[str], str],
    program: str | None,
    files: Mapping[str, str],
    parameters: dict[str, Any],
    error: str,
) -> None:
    """A linter that fails itself fails the step, even where findings never would."""
    if program is not None:
        tool(program)
    bench.write(files)
    assert bench.bad("lint_code", fail_on="never", **parameters).error.startswith(error)


REFUSED: list[Any] = [
    ({"a.txt": ""}, {"path": "a.txt"}, "cannot be told"),
    ({"a.py": ""}, {"path": "a.py", "tool": "eslint"}, "eslint does not look at python"),
    ({"a.py": ""}, {"path": "a.py", "tool": "lint"}, 'linter "lint" is not supported; known are ruff'),
    ({"a.py": ""}, {"path": "a.py", "fail_on": "always"}, "fail_on:"),
    ({"p/a.rs": ""}, {"path": "p"}, "has no Cargo.toml"),
    ({}, {"path": "../a.py"}, "../a.py"),
    ({}, {"path": []}, "path names no file"),
]


@pytest.mark.parametrize(("files", "parameters", "error"), REFUSED)
def test_what_is_refused(bench: Any, files: Mapping[str, str], parameters: dict[str, Any], error: str) -> None:
    """What can never be looked at as asked is refused, says why, and is not tried again."""
    bench.write(files)
    result = bench.bad("lint_code", **parameters)
    assert error in result.error
    assert not result.retryable


@pytest.mark.parametrize(
    ("file", "tool_name", "name", "how"),
    [
        ("a.js", None, "eslint", "npm install --save-dev eslint"),
        ("a.ts", "tsc", "tsc", "npm install --save-dev typescript"),
        ("a.rs", None, "cargo", "rustup"),
        ("a.go", None, "go", "Debian package golang-go"),
        ("a.c", None, "gcc", "Debian package gcc"),
        ("a.c", "clang-tidy", "clang-tidy", "pip install clang-tidy"),
        ("A.java", None, "javac", "Debian package default-jdk-headless"),
    ],
)
def test_a_missing_tool_is_named_with_how_to_get_it(
    bench: Any, file: str, tool_name: str | None, name: str, how: str
) -> None:
    """A linter that is not installed is a refusal naming it and its package."""
    bench.write({file: ""})
    result = bench.without_tools().bad("lint_code", path=file, **({"tool": tool_name} if tool_name else {}))
    assert result.error.startswith(f"{name} is not installed; get it with: ")
    assert how in result.error
    assert not result.retryable
