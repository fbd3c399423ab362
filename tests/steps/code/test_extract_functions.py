"""extract_functions: names, places, signatures and documentation of functions in ten languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

# language, source text, functions: (name, kind, class, line, end_line, signature, docstring)
FOUND: list[Any] = [
    (
        "python",
        "@wrap\nasync def f(a: int = 1, *b, c: 'x' = {}, **d) -> str:\n    '''Doc.\n\n    More.\n    '''\n"
        "    def g(): pass\nclass A:\n  class B:\n    def m(self): 'M'\n",
        [
            ("f", "function", None, 2, 7, "async def f(a: int=1, *b, c: 'x'={}, **d) -> str", "Doc.\n\nMore."),
            ("g", "function", None, 7, 7, "def g()", None),
            ("m", "method", "A.B", 10, 10, "def m(self)", "M"),
        ],
    ),
    (
        "rust",
        "// \u2603\n/// Doc\n/// more\n#[inline]\npub async fn f<T>(a: i32) -> i32 { 1 }\n"
        "impl<T> S<T> { fn m(&self) {} }\ntrait T { fn d(&self) -> i32; }\nmod m { fn inner() {} }\n",
        [
            ("f", "function", None, 5, 5, "pub async fn f<T>(a: i32) -> i32", "Doc\nmore"),
            ("m", "method", "S", 6, 6, "fn m(&self)", None),
            ("d", "method", "T", 7, 7, "fn d(&self) -> i32", None),
            ("inner", "function", None, 8, 8, "fn inner()", None),
        ],
    ),
    (
        "go",
        "package a\n// no\n\n// F does.\n// More.\nfunc F(a int) error {\n\treturn nil\n}\nfunc (s *S[T]) M() {}\n",
        [
            ("F", "function", None, 6, 8, "func F(a int) error", "F does.\nMore."),
            ("M", "method", "S", 9, 9, "func (s *S[T]) M()", None),
        ],
    ),
    (
        "javascript",
        "/** Doc\n * more\n */\nfunction f(a, b = 1) {}\nexport const g = async (x) => x;\n// no doc\n"
        "class A { constructor() {} static #p() {} y = () => 1; }\nconst o = { 'l': function () {} };\n[].map(x => x)",
        [
            ("f", "function", None, 4, 4, "function f(a, b = 1)", "Doc\nmore"),
            ("g", "function", None, 5, 5, "export const g = async (x)", None),
            ("constructor", "method", "A", 7, 7, "constructor()", None),
            ("#p", "method", "A", 7, 7, "static #p()", None),
            ("y", "method", "A", 7, 7, "y = ()", None),
            ("l", "function", None, 8, 8, "'l': function ()", None),
        ],
    ),
    (
        "typescript",
        "/** \u00e9 */\nexport function f<T>(a: T): string { return '' }\nabstract class A { abstract n(): void; }\n"
        "interface I { q(): void }\n",
        [
            ("f", "function", None, 2, 2, "export function f<T>(a: T): string", "\u00e9"),
            ("n", "method", "A", 3, 3, "abstract n(): void", None),
            ("q", "method", "I", 4, 4, "q(): void", None),
        ],
    ),
    (
        "java",
        "class A<T> {\n  /**\n   * Doc.\n   */\n  public int m(int a)\n      throws E { return 1; }\n  A() {}\n"
        "  interface B { void q(); }\n}\n",
        [
            ("m", "method", "A", 5, 6, "public int m(int a) throws E", "Doc."),
            ("A", "method", "A", 7, 7, "A()", None),
            ("q", "method", "A.B", 8, 8, "void q()", None),
        ],
    ),
    (
        "c",
        "/* Doc */\nstatic int *f(int a, char **b) { return 0; }\nint (*g(void))(int) { return 0; }\nint decl(void);\n",
        [
            ("f", "function", None, 2, 2, "static int *f(int a, char **b)", "Doc"),
            ("g", "function", None, 3, 3, "int (*g(void))(int)", None),
        ],
    ),
    (
        "cpp",
        "class A { public: ~A() {} int operator+(int x) { return x; } };\nint n::A::k() const { return 1; }\n"
        "// Doc\ntemplate <typename T> T t(T a) { return a; }\nA::A() : x(1) {}\n",
        [
            ("~A", "method", "A", 1, 1, "~A()", None),
            ("operator+", "method", "A", 1, 1, "int operator+(int x)", None),
            ("k", "method", "n.A", 2, 2, "int n::A::k() const", None),
            ("t", "function", None, 4, 4, "template <typename T> T t(T a)", "Doc"),
            ("A", "method", "A", 5, 5, "A::A()", None),
        ],
    ),
    (
        "ruby",
        "# Doc\ndef f(a, b = 1)\n  a\nend\nclass A\n  def self.s(x) = x\n  module B\n    def q; end\n  end\nend\n",
        [
            ("f", "function", None, 2, 4, "def f(a, b = 1)", "Doc"),
            ("s", "method", "A", 6, 6, "def self.s(x)", None),
            ("q", "method", "A.B", 8, 8, "def q", None),
        ],
    ),
    (
        "php",
        "<?php\n/** Doc */\nfunction f(int $a = 1): string { return ''; }\n"
        "class A { public static function m() {} }\n$g = function() {};\n",
        [
            ("f", "function", None, 3, 3, "function f(int $a = 1): string", "Doc"),
            ("m", "method", "A", 4, 4, "public static function m()", None),
        ],
    ),
]


@pytest.mark.parametrize(("language", "content", "found"), FOUND, ids=[each[0] for each in FOUND])
def test_what_is_found(bench: Any, language: str, content: str, found: list[tuple[Any, ...]]) -> None:
    """Every named function is listed in order, with its place, signature and documentation."""
    output = bench.good("extract_functions", content=content, language=language)
    keys = ("name", "kind", "class", "line", "end_line", "signature", "docstring")
    assert [tuple(each[key] for key in keys) for each in output["functions"]] == found
    assert output["count"] == len(found)
    assert {(each["path"], each["source"]) for each in output["functions"]} == {(None, None)}


@pytest.mark.parametrize(
    ("files", "path", "found"),
    [
        ({"a.py": "def f(): pass\n"}, "a.py", [("f", "a.py")]),
        (
            {"p/b.go": "package a\nfunc B() {}", "p/a.go": "package a\nfunc A() {}"},
            "p",
            [("A", "p/a.go"), ("B", "p/b.go")],
        ),
        ({"p/a.py": "def f(): pass", "p/.venv/b.py": "def g(): pass"}, "p", [("f", "p/a.py")]),
        ({"a.tsx": "function C() { return <div/>; }"}, "a.tsx", [("C", "a.tsx")]),
        ({"a.h": "inline int f() { return 1; }"}, "a.h", [("f", "a.h")]),
        ({"a.py": b"# coding: latin-1\ndef f(): '\xe9'\n"}, "a.py", [("f", "a.py")]),
        ({"a.py": b"\xef\xbb\xbfdef f(): pass\r\n"}, "a.py", [("f", "a.py")]),
    ],
)
def test_files_and_folders(
    bench: Any, files: Mapping[str, str | bytes], path: str, found: list[tuple[str, str]]
) -> None:
    """A file, or every file of a folder, is read in the language its suffix says."""
    bench.write(files)
    output = bench.good("extract_functions", path=path)
    assert [(each["name"], each["path"]) for each in output["functions"]] == found


def test_the_source_is_given_where_asked_for(bench: Any) -> None:
    """With include_source each function has its own text, decorators included."""
    content = "x = '\x0c\u2028'\n@wrap\ndef f():\n    return 1\n\ny = 2\n"
    output = bench.good("extract_functions", content=content, language="python", include_source=True)
    assert output["functions"][0]["source"] == "@wrap\ndef f():\n    return 1"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"content": "def f(:\n", "language": "python"}, "content:1: "),
        ({"content": "x = " + "(" * 5000, "language": "python"}, "content"),
        ({"path": "latin.py"}, "latin.py is not text in the encoding it should have"),
        ({"path": "none.py"}, "no such file: none.py"),
    ],
)
def test_what_cannot_be_read_fails(bench: Any, parameters: dict[str, Any], error: str) -> None:
    """Python that does not parse, and bytes that are no text, fail the step and say where."""
    bench.write({"latin.py": b"x = '\xe9'\n"})
    result = bench.bad("extract_functions", **parameters)
    assert error in result.error
    assert result.retryable


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, "give exactly one of path, content"),
        ({"path": "a.py", "content": ""}, "give exactly one of path, content"),
        ({"content": "x"}, "say the language"),
        ({"content": "x", "language": "cobol"}, 'language "cobol" is not supported'),
        ({"path": "../a.py"}, "../a.py"),
        ({"path": "a.txt"}, "cannot be told"),
    ],
)
def test_what_is_refused(bench: Any, parameters: dict[str, Any], error: str) -> None:
    """What can never be read as asked is refused, says why, and is not tried again."""
    bench.write({"a.txt": "", "a.py": ""})
    result = bench.bad("extract_functions", **parameters)
    assert error in result.error
    assert not result.retryable
