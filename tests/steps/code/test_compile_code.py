"""compile_code: source files and projects become programs, whole or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

C_MAIN = '#include <stdio.h>\nint main(void) { puts("from c"); return 0; }\n'
C_FUNCTION = "int f(int n) { return n; }\n"
CPP_MAIN = '#include <iostream>\nint main() { std::cout << "from cpp\\n"; }\n'
RUST_MAIN = 'fn main() { let run = async || 1; drop(run); println!("from rust"); }\n'
GO_MAIN = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("from go") }\n'
JAVA_MAIN = (
    'package shop;\n\npublic class Main {\n  public static void main(String[] a) { System.out.println("x"); }\n}\n'
)
TSCONFIG = '{"compilerOptions": {"outDir": "dist", "rootDir": "src"}}'
CARGO_TOML = '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\n'
GOOD: list[Any] = [
    ("gcc", {"a.c": C_MAIN}, {"path": "a.c"}, "c", ["a"]),
    ("gcc", {"a.c": C_MAIN}, {"source": ["a.c"], "output": "bin/tool", "args": ["-O1"]}, "c", ["bin/tool"]),
    ("gcc", {"-o.c": C_MAIN}, {"path": "-o.c", "output": "x y"}, "c", ["x y"]),
    (
        "gcc",
        {"a.c": "int f(int); int main(void) { return f(0); }", "b.c": C_FUNCTION},
        {"path": ["a.c", "b.c"]},
        "c",
        ["a"],
    ),
    (
        "gcc",
        {"p/a.c": '#include "f.h"\nint main(void) { return f(0); }', "p/f.h": "int f(int);", "p/f.c": C_FUNCTION},
        {"path": "p"},
        "c",
        ["p/p"],
    ),
    ("gcc", {"a.c": "int a;", "b.c": "int b;"}, {"path": ["a.c", "b.c"], "args": ["-c"]}, "c", ["a.o", "b.o"]),
    ("gcc", {"a.c": "int a;"}, {"path": "a.c", "args": ["-c"], "output": "o/x.o"}, "c", ["o/x.o"]),
    ("gcc", {"a.c": "int a;"}, {"path": "a.c", "args": ["-shared", "-fPIC"]}, "c", ["a.so"]),
    ("gcc", {"a.c": "int a;"}, {"path": "a.c", "args": ["-fsyntax-only"]}, "c", []),
    (
        "gcc",
        {"a.c": "#include <math.h>\nint main(int n, char **v) { return (int)cos((double)n) > 5; }"},
        {"path": "a.c", "args": ["-lm"]},
        "c",
        ["a"],
    ),
    ("g++", {"a.cc": CPP_MAIN}, {"path": "a.cc"}, "cpp", ["a"]),
    ("rustc", {"a.rs": RUST_MAIN}, {"path": "a.rs"}, "rust", ["a"]),
    ("rustc", {"a.rs": ""}, {"path": "a.rs", "args": ["--crate-type=lib"], "output": "a.rlib"}, "rust", ["a.rlib"]),
    ("cargo", {"p/Cargo.toml": CARGO_TOML, "p/src/main.rs": RUST_MAIN}, {"path": "p"}, "rust", ["p/target/debug/shop"]),
    (
        "cargo",
        {"p/Cargo.toml": CARGO_TOML, "p/src/main.rs": RUST_MAIN, "p/build.rs": "fn main() {}"},
        {"path": "p/Cargo.toml", "language": "rust", "output": "out", "args": ["--release"]},
        "rust",
        ["out/release/shop"],
    ),
    ("go", {"a.go": GO_MAIN}, {"path": "a.go"}, "go", ["a"]),
    ("go", {"p/go.mod": "module shop\n", "p/main.go": GO_MAIN}, {"path": "p"}, "go", ["p/shop"]),
    ("go", {"p/go.mod": "module shop\n", "p/main.go": GO_MAIN}, {"path": "p", "output": "bin/x"}, "go", ["bin/x"]),
    (
        "go",
        {"p/go.mod": "module shop\n", "p/cmd/a/main.go": GO_MAIN, "p/cmd/b/main.go": GO_MAIN},
        {"path": "p", "output": "bin"},
        "go",
        ["bin/a", "bin/b"],
    ),
    ("go", {"p/go.mod": "module shop\n", "p/lib.go": "package shop\n"}, {"path": "p"}, "go", []),
    ("javac", {"Main.java": JAVA_MAIN}, {"path": "Main.java"}, "java", ["Main.class"]),
    ("javac", {"s/shop/Main.java": JAVA_MAIN}, {"path": "s", "output": "classes"}, "java", ["classes/shop/Main.class"]),
    ("tsc", {"a.ts": "export const n: number = 1;\n"}, {"path": "a.ts"}, "typescript", ["a.js"]),
    ("tsc", {"a.ts": "export const n: number = 1;\n"}, {"path": "a.ts", "output": "out"}, "typescript", ["out/a.js"]),
    (
        "tsc",
        {"p/tsconfig.json": TSCONFIG, "p/src/a.ts": "let n: number = 1;\n"},
        {"path": "p"},
        "typescript",
        ["p/dist/a.js"],
    ),
    ("node", {"a.js": "let n = 1;\n", "b.js": "let m = 2;\n"}, {"path": ["a.js", "b.js"]}, "javascript", []),
    ("node", {"a.mjs": "export const n = await 1;\n"}, {"path": "a.mjs", "language": "node"}, "javascript", []),
    ("python3", {"a.py": "1 / 0\n"}, {"path": "a.py", "output": "a.pyc"}, "python", ["a.pyc"]),
    ("python3", {"p/a.py": "", "p/q/b.py": ""}, {"path": "p", "output": "o"}, "python", ["o/a.pyc", "o/q/b.pyc"]),
    ("python3", {"p/a.py": "", "p/.venv/b.py": "("}, {"path": "p", "output": "o"}, "python", ["o/a.pyc"]),
]  # fmt: skip


@pytest.mark.parametrize(("program", "files", "parameters", "language", "artifacts"), GOOD)
def test_what_compiles(
    bench: Any,
    tool: Callable[[str], str],
    program: str,
    files: Mapping[str, str],
    parameters: dict[str, Any],
    language: str,
    artifacts: list[str],
) -> None:
    """The language is told from suffix or project file, and every artifact named is there."""
    tool(program)
    bench.write(files)
    output = bench.good("compile_code", **parameters)
    assert output["language"] == language
    assert (output["success"], output["exit_code"]) == (True, 0)
    assert output["artifacts"] == artifacts
    assert all((bench.root / artifact).is_file() for artifact in artifacts)
    assert not [name for name in bench.files() if ".rustchain" in name]


@pytest.mark.parametrize(
    ("program", "file", "text", "said"),
    [
        ("gcc", "a.c", C_MAIN, "from c\n"),
        ("g++", "a.cpp", CPP_MAIN, "from cpp\n"),
        ("rustc", "a.rs", RUST_MAIN, "from rust\n"),
        ("go", "a.go", GO_MAIN, "from go\n"),
    ],
)
def test_programs_run(bench: Any, tool: Callable[[str], str], program: str, file: str, text: str, said: str) -> None:
    """What is made is a program that runs."""
    tool(program)
    bench.write({file: text})
    bench.good("compile_code", path=file, output="bin/program")
    made = subprocess.run([bench.root / "bin/program"], capture_output=True, text=True, check=True)
    assert made.stdout == said


def test_python_byte_code_goes_where_python_looks_for_it(bench: Any) -> None:
    """Without output, the byte code of a package is the one that an import then uses."""
    bench.write({"p/a.py": "x = 1\n", "p/sub/b.py": "y = 2\n"})
    output = bench.good("compile_code", path="p")
    assert [Path(name).parent.as_posix() for name in output["artifacts"]] == ["p/__pycache__", "p/sub/__pycache__"]
    assert all(Path(name).name.endswith(".pyc") for name in output["artifacts"])


def test_faults_of_python_are_all_it_says(bench: Any) -> None:
    """What the step's own program answers is not the compiler's output."""
    bench.write({"a.py": "def f(:\n"})
    result = bench.bad("compile_code", path="a.py")
    assert result.output["stdout"] == ""
    assert "SyntaxError" in result.output["stderr"]


FAULTY: list[Any] = [
    ("gcc", {"a.c": "int main(void) { return x; }"}, "a.c", "gcc failed: ", "undeclared"),
    ("g++", {"a.cpp": "int main() { return x; }"}, "a.cpp", "g++ failed: ", "was not declared"),
    ("rustc", {"a.rs": "fn main() { x }"}, "a.rs", "rustc failed: error[E0425]", "cannot find value"),
    ("cargo", {"Cargo.toml": CARGO_TOML, "src/main.rs": "fn main() { x }"}, ".", "cargo failed: ", "cannot find value"),
    ("go", {"a.go": "package main\nfunc main() { x() }"}, "a.go", "go failed: ", "undefined"),
    ("javac", {"A.java": "class A { int f() { return x; } }"}, "A.java", "javac failed: ", "cannot find symbol"),
    ("tsc", {"a.ts": "const n: number = 'x';"}, "a.ts", "tsc failed: ", "TS2322"),
    ("node", {"a.js": "let = = 1;"}, "a.js", "node failed: ", "SyntaxError"),
    ("python3", {"a.py": "def f(:\n"}, "a.py", "failed: ", "SyntaxError"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "files", "path", "error", "text"), FAULTY)
def test_faulty_code_fails_the_step_and_makes_nothing(
    bench: Any, tool: Callable[[str], str], program: str, files: Mapping[str, str], path: str, error: str, text: str
) -> None:
    """A compiler that finds faults fails the step, its text is kept, and no artifact appears."""
    tool(program)
    bench.write(files)
    result = bench.bad("compile_code", path=path)
    assert error in result.error
    assert result.retryable
    assert text in result.output["stderr"] + result.output["stdout"]
    assert (result.output["success"], result.output["artifacts"]) == (False, [])
    made = {name for name in bench.files() if not name.startswith(("target/", "Cargo.lock"))}
    assert made == set(files)


def test_a_maven_project_compiles_as_its_pom_says(bench: Any, maven_project: str) -> None:
    """A folder with a pom.xml is compiled by Maven, and faults in it are told by javac's line."""
    source = "p/src/main/java/shop/Main.java"
    bench.write({"p/pom.xml": maven_project, source: JAVA_MAIN})
    output = bench.good("compile_code", path="p", args=["-o"])
    assert output["artifacts"] == ["p/target/classes/shop/Main.class"]
    bench.write({source: "package shop; class Main { int f() { return x; } }"})
    result = bench.bad("compile_code", path="p", args=["-o"])
    assert "Main.java:[1,45] cannot find symbol" in result.error
    assert "cannot find symbol" in result.output["stdout"]
    assert "\x1b" not in result.output["stdout"] + result.error


@pytest.mark.parametrize(
    ("program", "file", "faulty"),
    [
        ("gcc", "a.c", "int main("),
        ("rustc", "a.rs", "fn main("),
        ("go", "a.go", "package main\nfunc main("),
        ("python3", "a.py", "("),
    ],
)
def test_an_earlier_result_survives_a_failure(
    bench: Any, tool: Callable[[str], str], program: str, file: str, faulty: str
) -> None:
    """A compiler that fails leaves the artifact of an earlier run as it was."""
    tool(program)
    bench.write({file: faulty, "out.pyc": "earlier"})
    bench.bad("compile_code", path=file, output="out.pyc")
    assert (bench.root / "out.pyc").read_text() == "earlier"
    assert bench.files() == sorted([file, "out.pyc"])


def test_one_faulty_source_of_many_leaves_no_objects(bench: Any, tool: Callable[[str], str]) -> None:
    """Objects of several sources appear all together or not at all."""
    tool("gcc")
    bench.write({"a.c": "int a;", "b.c": "int b", "c.c": "int c;"})
    bench.bad("compile_code", path=["a.c", "b.c", "c.c"], args=["-c"], output="o")
    assert bench.files() == ["a.c", "b.c", "c.c"]


def test_a_compiler_that_takes_too_long_is_stopped(bench: Any, tool: Callable[[str], str]) -> None:
    """On time-out the compiler ends and nothing of its work is left."""
    tool("gcc")
    bench.write({"a.c": '#include "/dev/stdin"\n', "slow/gcc": "#!/bin/sh\nexec /bin/sleep 600\n"})
    (bench.root / "slow/gcc").chmod(0o755)
    bench.environment["PATH"] = f"{bench.root}/slow:{bench.environment['PATH']}"
    result = bench.bad("compile_code", path="a.c", timeout_seconds=0.5)
    assert result.error == "timed out after 0.5 s"
    assert bench.files() == ["a.c", "slow/gcc"]


REFUSED: list[Any] = [
    ({"a.txt": ""}, {"path": "a.txt"}, 'the language of "a.txt" cannot be told'),
    ({"a.c": "", "b.py": ""}, {"path": ["a.c", "b.py"]}, "several languages (c, python)"),
    ({"p/a.go": "", "p/b.py": ""}, {"path": "p"}, "holds files of several languages (go, python)"),
    ({"a.c": ""}, {"path": "a.c", "language": "cobol"}, 'language "cobol" is not supported here'),
    ({"a.rb": ""}, {"path": "a.rb"}, 'language "ruby" is not supported here'),
    ({"a.c": ""}, {"path": "a.c", "output": "../x"}, "../x"),
    ({}, {"path": "../x.c"}, "../x.c"),
    ({"a.js": ""}, {"path": "a.js", "output": "b.js"}, "leave output out"),
    ({"a.py": ""}, {"path": "a.py", "args": ["-O"]}, "takes no arguments"),
    ({"p/a.py": "", "p/b.py": ""}, {"path": "p", "output": "x.pyc"}, "several sources; name a folder"),
    ({"a/x.c": "", "b/x.c": ""}, {"path": ["a/x.c", "b/x.c"], "args": ["-c"], "output": "o"}, "the same name"),
    ({"p/a.rs": ""}, {"path": "p"}, "give the folder with its Cargo.toml"),
    ({"main": ""}, {"path": "main", "language": "rust"}, '"main" is what is compiled; say another output'),
    ({"a.c": ""}, {"path": "a.c", "output": "./a.c"}, "is what is compiled"),
    ({"a.py": ""}, {"path": "a.py", "output": "a.py"}, "is what is compiled"),
    ({"pom.xml": "<project/>"}, {"path": ".", "output": "x"}, "leave output out"),
    ({}, {"path": []}, "path names no file"),
    ({}, {}, "path: field required"),
    ({"a.c": ""}, {"path": "a.c", "source": "a.c"}, "say the same thing"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "parameters", "error"), REFUSED)
def test_what_is_refused(bench: Any, files: Mapping[str, str], parameters: dict[str, Any], error: str) -> None:
    """What can never be compiled as asked is refused, says why, and is not tried again."""
    bench.write(files)
    result = bench.bad("compile_code", **parameters)
    assert error in result.error
    assert not result.retryable


@pytest.mark.parametrize(
    ("file", "name", "how"),
    [
        ("a.c", "gcc", "Debian package gcc"),
        ("a.cpp", "g++", "Debian package g++"),
        ("a.rs", "rustc", "rustup"),
        ("Cargo.toml", "cargo", "rustup"),
        ("a.go", "go", "Debian package golang-go"),
        ("A.java", "javac", "Debian package default-jdk-headless"),
        ("pom.xml", "mvn", "Debian package maven"),
        ("a.ts", "tsc", "npm install --save-dev typescript"),
        ("a.js", "node", "Debian package nodejs"),
    ],
)
def test_a_missing_tool_is_named_with_how_to_get_it(bench: Any, file: str, name: str, how: str) -> None:
    """A compiler that is not installed is a refusal naming it and its package."""
    bench.write({file: ""})
    path = "." if file in ("Cargo.toml", "pom.xml") else file
    result = bench.without_tools().bad("compile_code", path=path)
    assert result.error.startswith(f"{name} is not installed; get it with: ")
    assert how in result.error
    assert not result.retryable


def test_a_missing_file_may_appear_later(bench: Any) -> None:
    """A source that does not exist is a failure that another attempt may mend."""
    result = bench.bad("compile_code", path="a.c")
    assert result.error == "no such file: a.c"
    assert result.retryable


def test_a_link_out_of_the_workspace_is_not_written_through(bench: Any, tmp_path: Path) -> None:
    """Byte code is never written through a link that leaves the workspace."""
    bench.write({"a.py": "x = 1\n"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (bench.root / "__pycache__").symlink_to(outside)
    result = bench.bad("compile_code", path="a.py")
    assert not result.retryable
    assert list(outside.iterdir()) == []


def test_the_projects_own_compiler_goes_first(bench: Any) -> None:
    """A TypeScript compiler in the project's node_modules is used before any other."""
    bench.write({"p/node_modules/.bin/tsc": "#!/bin/sh\necho own compiler: $6\n", "p/src/a.ts": ""})
    (bench.root / "p/node_modules/.bin/tsc").chmod(0o755)
    output = bench.good("compile_code", path="p/src/a.ts")
    assert output["stdout"].startswith("own compiler")
    assert output["command"][0].endswith("p/node_modules/.bin/tsc")


def test_tools_behind_a_link_out_of_the_workspace_are_not_the_projects(bench: Any, tmp_path: Path) -> None:
    """A node_modules folder that leads out of the workspace is passed over."""
    (tmp_path / "elsewhere/.bin").mkdir(parents=True)
    (tmp_path / "elsewhere/.bin/tsc").write_text("")
    (bench.root / "node_modules").symlink_to(tmp_path / "elsewhere")
    bench.write({"a.ts": ""})
    assert bench.without_tools().bad("compile_code", path="a.ts").error.startswith("tsc is not installed")
