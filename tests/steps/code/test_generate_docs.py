"""generate_docs: pages of what is public, from the text of the code alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

PACKAGE = {
    "p/shop/__init__.py": '"""The shop."""\nraise SystemExit("imported")\n',
    "p/shop/cart.py": '''"""Carts <b>& more</b>."""
import os

LIMIT: int = 10
"""Most items."""
_hidden = 1
plain = 2


class Cart(dict):
    """Holds items."""

    def __init__(self, owner: str = "x") -> None: ...

    async def add(item: str, *, count: int = 1) -> None:
        """Add ``</script>``."""

    def _private(self): ...


def total(cart): ...
''',
    "p/shop/_inner.py": "def f(): ...\n",
}


def test_python_pages(bench: Any) -> None:
    """A page a module says its public symbols with signatures and docstrings; the code is never run."""
    bench.write(PACKAGE)
    output = bench.good("generate_docs", path="p")
    assert output["modules"] == ["shop", "shop.cart"]
    assert output["files"] == ["docs/shop.md", "docs/shop.cart.md"]
    assert output["symbols"] == 5
    assert output["undocumented"] == ["shop.cart.Cart.__init__", "shop.cart.total"]
    page = (bench.root / "docs/shop.cart.md").read_text()
    assert page.startswith(
        "# shop.cart\n\nCarts <b>& more</b>.\n\n## LIMIT\n\n```\nLIMIT: int = 10\n```\n\nMost items.\n"
    )
    assert "## Cart\n\n```\nclass Cart(dict)\n```\n\nHolds items.\n" in page
    assert "async def add(item: str, *, count: int = 1) -> None" in page
    assert "_private" not in page
    assert "plain" not in page


def test_html_pages_hold_docstrings_as_text(bench: Any) -> None:
    """Markup in docstrings is shown and not obeyed."""
    bench.write(PACKAGE)
    bench.good("generate_docs", path="p/shop", format="html", output="site/all.html")
    page = (bench.root / "site/all.html").read_text()
    assert "Carts &lt;b&gt;&amp; more&lt;/b&gt;." in page
    assert "&lt;/script&gt;" in page
    assert "</script>" not in page
    assert '<h2 id="shop.cart.Cart.add">Cart.add</h2>' in page


def test_json_pages_hold_the_same(bench: Any) -> None:
    """The JSON form has every module and symbol with its line."""
    bench.write(PACKAGE)
    output = bench.good("generate_docs", path="p/shop/cart.py", format="json", output="api.json")
    assert output["files"] == ["api.json"]
    (module,) = json.loads((bench.root / "api.json").read_text())["modules"]
    assert (module["name"], module["path"]) == ("shop.cart", "p/shop/cart.py")
    assert [(each["name"], each["kind"], each["line"]) for each in module["symbols"]] == [
        ("LIMIT", "attribute", 4),
        ("Cart", "class", 10),
        ("Cart.__init__", "method", 13),
        ("Cart.add", "method", 15),
        ("total", "function", 21),
    ]


@pytest.mark.parametrize(
    ("files", "parameters", "modules"),
    [
        ({"src/a/__init__.py": "", "src/a/b.py": "", "setup.py": ""}, {"path": "."}, ["setup", "a", "a.b"]),
        ({"x/lib.py": ""}, {"path": "x"}, ["lib"]),
        ({"x/lib.py": "", "x/a.js": ""}, {"path": "x"}, ["lib"]),
        ({"a/b/__init__.py": "", "a/__init__.py": "", "a/b/c.py": ""}, {"path": "a/b"}, ["a.b", "a.b.c"]),
    ],
)
def test_modules_are_named_as_imports_name_them(
    bench: Any, files: Mapping[str, str], parameters: dict[str, Any], modules: list[str]
) -> None:
    """A module's name starts at the highest package, below src where there is one."""
    bench.write(files)
    assert sorted(bench.good("generate_docs", **parameters)["modules"]) == sorted(modules)


def test_other_languages_have_a_page_a_file(bench: Any) -> None:
    """Functions of other languages are documented by the comments above them."""
    bench.write({"p/a.go": "package a\n// F does.\nfunc F() {}\nfunc (s *S) M() {}\n"})
    output = bench.good("generate_docs", path="p", output_dir="out")
    assert output["files"] == ["out/p.a.go.md"]
    assert (output["symbols"], output["undocumented"]) == (2, ["p/a.go.S.M"])
    assert "## F\n\n```\nfunc F()\n```\n\nF does.\n" in (bench.root / "out/p.a.go.md").read_text()


def test_a_file_that_does_not_parse_leaves_earlier_pages(bench: Any) -> None:
    """Where one file cannot be read nothing is written, and the message has its line."""
    bench.write({"p/a.py": "", "p/b.py": "x = 1\ndef f(:\n", "docs/a.md": "earlier"})
    result = bench.bad("generate_docs", path="p")
    assert result.error.startswith("p/b.py:2: ")
    assert (bench.root / "docs/a.md").read_text() == "earlier"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"path": "a.py", "output": "x", "output_dir": "y"}, "give only one of output and output_dir"),
        ({"path": "a.py", "format": "pdf"}, "format:"),
        ({"path": "a.py", "output": "../x"}, "../x"),
        ({"path": "../a.py"}, "../a.py"),
        ({"path": "a.txt"}, "cannot be told"),
        ({}, "path: field required"),
    ],
)
def test_what_is_refused(bench: Any, parameters: dict[str, Any], error: str) -> None:
    """What can never be documented as asked is refused, says why, and is not tried again."""
    bench.write({"a.txt": "", "a.py": ""})
    result = bench.bad("generate_docs", **parameters)
    assert error in result.error
    assert not result.retryable
