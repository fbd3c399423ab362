"""format_code: each language by its usual formatter, all files or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

GOOD: list[Any] = [
    # program, tool, files before, parameters, files after
    (None, "ruff", {"a.py": "x = {  'a':1 }\n"}, {"path": "a.py"}, {"a.py": 'x = {"a": 1}\n'}),
    (
        None,
        "ruff",
        {"p/a.py": "x=1\n", "p/b.py": "y = 2\n", "p/.venv/c.py": "z=3\n", "p/x.txt": "x=1"},
        {"path": "p"},
        {"p/a.py": "x = 1\n"},
    ),
    (
        None,
        "ruff",
        {"a.py": "x = 'a'\n", "ruff.toml": '[format]\nquote-style = "preserve"\n', "b.py": "x=1"},
        {"path": ["a.py", "b.py"]},
        {"b.py": "x = 1\n"},
    ),
    (None, "ruff", {"a.py": "x=1\r\ny = 2\r\n"}, {"path": "a.py"}, {"a.py": "x = 1\r\ny = 2\r\n"}),
    (None, "ruff", {"a.py": 'x="\u2603"\n'}, {"path": "a.py"}, {"a.py": 'x = "\u2603"\n'}),
    (None, "ruff", {"a.py": ""}, {"path": "a.py"}, {}),
    ("rustfmt", "rustfmt", {"a.rs": "fn  main( ){}\n"}, {"path": "a.rs"}, {"a.rs": "fn main() {}\n"}),
    (
        "rustfmt",
        "rustfmt",
        {
            "Cargo.toml": '[package]\nedition = "2018"\n',
            "src/a.rs": "async  fn f( ){}\n",
            "target/b.rs": "fn  b( ){}\n",
        },
        {"path": "."},
        {"src/a.rs": "async fn f() {}\n"},
    ),
    (
        "gofmt",
        "gofmt",
        {"a.go": "package a\nfunc  f( ) {}\n"},
        {"path": "a.go"},
        {"a.go": "package a\n\nfunc f() {}\n"},
    ),
    ("clang-format", "clang-format", {"a.c": "int  f( ) {}\n"}, {"path": "a.c"}, {"a.c": "int f() {}\n"}),
    ("clang-format", "clang-format", {"A.java": "class  A{}\n"}, {"path": "A.java"}, {"A.java": "class A {}\n"}),
    (
        "clang-format",
        "clang-format",
        {"p/a.cpp": "int  f( );\n", "p/a.h": "int  f( );\n", "p/.clang-format": "SpacesInParentheses: true\n"},
        {"path": "p"},
        {"p/a.cpp": "int f();\n", "p/a.h": "int f();\n"},
    ),
    ("prettier", "prettier", {"a.js": "let  a='x'\n"}, {"path": "a.js"}, {"a.js": 'let a = "x";\n'}),
    ("prettier", "prettier", {"a.ts": "let  a:string='x'\n"}, {"path": "a.ts"}, {"a.ts": 'let a: string = "x";\n'}),
]


@pytest.mark.parametrize(("program", "name", "before", "parameters", "after"), GOOD)
def test_what_is_formatted(
    bench: Any,
    tool: Callable[[str], str],
    program: str | None,
    name: str,
    before: Mapping[str, str],
    parameters: dict[str, Any],
    after: Mapping[str, str],
) -> None:
    """Files that are not formatted are changed and named; all others are left as they are."""
    if program is not None:
        tool(program)
    bench.write(before)
    output = bench.good("format_code", **parameters)
    assert output["tool"] == name
    assert output["changed_files"] == sorted(after)
    assert (output["formatted"], output["diff"]) == (True, None)
    assert {file: (bench.root / file).read_bytes().decode() for file in before} == {**before, **after}


def test_check_names_the_files_and_the_differences(bench: Any) -> None:
    """With check nothing is written, and an unformatted file fails the step with a diff that would mend it."""
    bench.write({"a.py": "x=1\ny = 2", "b.py": "z = 3\n"})
    result = bench.bad("format_code", path=["a.py", "b.py"], check=True)
    assert result.error == "1 file is not formatted: a.py"
    assert result.output["changed_files"] == ["a.py"]
    assert result.output["formatted"] is False
    assert result.output["diff"] == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-x=1\n-y = 2\n\\ No newline at end of file\n+x = 1\n+y = 2\n"
    )
    assert (bench.root / "a.py").read_text() == "x=1\ny = 2"


def test_check_of_formatted_files_succeeds(bench: Any) -> None:
    """With check, formatted files are a success with an empty diff."""
    bench.write({"a.py": "x = 1\n"})
    output = bench.good("format_code", path="a.py", check="true")
    assert (output["formatted"], output["changed_files"], output["diff"]) == (True, [], "")


@pytest.mark.parametrize(
    ("program", "file", "faulty"),
    [
        (None, "b.py", "def f(:\n"),
        ("rustfmt", "b.rs", "fn main( {\n"),
        ("gofmt", "b.go", "package a\nfunc f( {\n"),
        ("prettier", "b.js", "let = = 1\n"),
    ],
)
def test_one_faulty_file_leaves_all_as_they_were(
    bench: Any, tool: Callable[[str], str], program: str | None, file: str, faulty: str
) -> None:
    """Where one file cannot be formatted the step fails, names it, and no file is changed."""
    if program is not None:
        tool(program)
    good = file.replace("b.", "a.")
    ugly = {".py": "x=1\n", ".rs": "fn  a( ){}\n", ".go": "package a\nfunc  a( ) {}\n", ".js": "let  a='x'\n"}
    before = {good: ugly[file[1:]], file: faulty}
    bench.write(before)
    result = bench.bad("format_code", path=[good, file])
    assert f"cannot format {file}: " in result.error
    assert {name: (bench.root / name).read_text() for name in before} == before


def test_text_that_is_not_utf8_is_not_touched(bench: Any) -> None:
    """A file that is not UTF-8 is a failure that says where, and keeps its bytes."""
    bench.write({"a.py": b"x='\xe9'\n"})
    assert bench.bad("format_code", path="a.py").error == "a.py is not UTF-8 text (byte 3); convert it first"
    assert (bench.root / "a.py").read_bytes() == b"x='\xe9'\n"


def test_modes_and_links_survive(bench: Any) -> None:
    """A script stays executable, and a link to it stays a link."""
    bench.write({"a.py": "x=1\n"})
    (bench.root / "a.py").chmod(0o755)
    (bench.root / "b.py").symlink_to("a.py")
    bench.good("format_code", path="b.py")
    assert (bench.root / "b.py").is_symlink()
    assert (bench.root / "a.py").read_text() == "x = 1\n"
    assert (bench.root / "a.py").stat().st_mode & 0o777 == 0o755


REFUSED: list[Any] = [
    ({"a.txt": ""}, {"path": "a.txt"}, "cannot be told"),
    ({"a.py": ""}, {"path": "a.py", "tool": "gofmt"}, "gofmt does not format python; it formats go"),
    ({"a.py": ""}, {"path": "a.py", "tool": "indent"}, 'formatter "indent" is not supported; known are ruff'),
    ({"a.rb": ""}, {"path": "a.rb"}, 'language "ruby" is not supported'),
    ({"a.py": "", "b.go": ""}, {"path": ["a.py", "b.go"]}, "several languages (go, python)"),
    ({}, {"path": "../a.py"}, "../a.py"),
    ({}, {"path": []}, "path names no file"),
    ({"a.py": ""}, {"path": "a.py", "check": "perhaps"}, "check:"),
]


@pytest.mark.parametrize(("files", "parameters", "error"), REFUSED)
def test_what_is_refused(bench: Any, files: Mapping[str, str], parameters: dict[str, Any], error: str) -> None:
    """What can never be formatted as asked is refused, says why, and is not tried again."""
    bench.write(files)
    result = bench.bad("format_code", **parameters)
    assert error in result.error
    assert not result.retryable


@pytest.mark.parametrize(
    ("file", "name", "how"),
    [
        ("a.rs", "rustfmt", "rustup component add rustfmt"),
        ("a.go", "gofmt", "Debian package golang-go"),
        ("a.c", "clang-format", "pip install clang-format"),
        ("a.ts", "prettier", "npm install --save-dev prettier"),
    ],
)
def test_a_missing_tool_is_named_with_how_to_get_it(bench: Any, file: str, name: str, how: str) -> None:
    """A formatter that is not installed is a refusal naming it and its package."""
    bench.write({file: ""})
    result = bench.without_tools().bad("format_code", path=file)
    assert result.error.startswith(f"{name} is not installed; get it with: ")
    assert how in result.error
    assert not result.retryable


def test_a_formatter_that_takes_too_long_is_stopped(bench: Any) -> None:
    """On time-out the formatter ends and the file is as it was."""
    bench.write({"a.go": "package a\n", "slow/gofmt": "#!/bin/sh\nexec /bin/sleep 600\n"})
    (bench.root / "slow/gofmt").chmod(0o755)
    bench.environment["PATH"] = f"{bench.root}/slow:{bench.environment['PATH']}"
    assert bench.bad("format_code", path="a.go", timeout_seconds=0.5).error == "timed out after 0.5 s"
    assert bench.files() == ["a.go", "slow/gofmt"]
