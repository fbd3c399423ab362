"""Functions of source files, found without running any: Python by its own parser, other languages by their grammar."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rustchain_airflow.steps.code.languages import Language
from rustchain_airflow.steps.sdk import StepContext, StepError, require

if TYPE_CHECKING:
    from ast_grep_py import SgNode

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Largest source file that is read."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function or method as its file defines it; lines count from 1."""

    name: str
    kind: Literal["function", "method"]
    class_name: str | None
    """The class, interface, trait or module it belongs to, enclosing ones first."""
    line: int
    end_line: int
    signature: str
    docstring: str | None
    source: str


def read(context: StepContext, path: str, language: Language) -> str:
    """A source file as text. StepError where its bytes are not text: UTF-8, or what a Python file declares."""
    content = context.workspace.read(path, max_bytes=MAX_FILE_BYTES)
    try:
        encoding = "utf-8-sig"
        if language is Language.PYTHON:
            encoding, _lines = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding)
    except (UnicodeDecodeError, SyntaxError, LookupError) as error:
        raise StepError(f"{path} is not text in the encoding it should have: {error}") from error


def functions(text: str, language: Language, name: str) -> list[Function]:
    """The functions of a source text, in its order; ``name`` is how messages call it.

    StepError for Python that does not parse. In other languages what does not parse is passed over.
    StepRefused where the extra for other languages is missing.
    """
    if language is Language.PYTHON:
        return list(_of_python(text, name))
    grammar = "tsx" if name.endswith(".tsx") else language.value
    return sorted(_of_grammar(text, language, grammar), key=lambda found: (found.line, found.end_line))


# --- python ---------------------------------------------------------------------------------------

_LINE_END = re.compile(r"\r\n?|\n")
"""What ends a line for Python's parser; `str.splitlines` knows more."""

_Defined = ast.FunctionDef | ast.AsyncFunctionDef


def _of_python(text: str, name: str) -> Iterator[Function]:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise StepError(f"{name}:{error.lineno}: {error.msg}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise StepError(f"{name} cannot be parsed: {error or 'it is nested too deeply'}") from error
    lines = _LINE_END.split(text)
    waiting: list[tuple[ast.AST, tuple[str, ...]]] = [(tree, ())]
    while waiting:
        node, classes = waiting.pop()
        inner = classes
        if isinstance(node, _Defined):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            last = node.end_lineno or node.lineno
            yield Function(
                name=node.name,
                kind="method" if classes else "function",
                class_name=".".join(classes) or None,
                line=node.lineno,
                end_line=last,
                signature=_python_signature(node, name),
                docstring=ast.get_docstring(node),
                source="\n".join(lines[first - 1 : last]),
            )
            inner = ()
        elif isinstance(node, ast.ClassDef):
            inner = (*classes, node.name)
        waiting.extend((child, inner) for child in reversed(list(ast.iter_child_nodes(node))))


def _python_signature(node: _Defined, name: str) -> str:
    bare = type(node)(**{**dict(ast.iter_fields(node)), "body": [ast.Pass()], "decorator_list": []})
    try:
        return ast.unparse(ast.fix_missing_locations(bare)).rsplit(":", 1)[0]
    except RecursionError as error:
        raise StepError(f"{name}:{node.lineno}: the signature is nested too deeply") from error


# --- other languages ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Grammar:
    """Which nodes of a language's syntax tree matter."""

    functions: tuple[str, ...]
    classes: tuple[str, ...] = ()
    comments: tuple[str, ...] = ("comment",)
    documenting: tuple[str, ...] = ("/**",)
    """How a comment starts that documents what follows it."""
    passed_over: tuple[str, ...] = ()
    """What may stand between such a comment and what it documents."""


_SCRIPT = (
    "function_declaration",
    "generator_function_declaration",
    "method_definition",
    "arrow_function",
    "function_expression",
    "generator_function",
)
_GRAMMARS = {
    Language.RUST: _Grammar(
        ("function_item", "function_signature_item"),
        ("impl_item", "trait_item"),
        ("line_comment", "block_comment"),
        ("///", "/**"),
        ("attribute_item",),
    ),
    Language.GO: _Grammar(("function_declaration", "method_declaration"), documenting=("//", "/*")),
    Language.JAVASCRIPT: _Grammar(_SCRIPT, ("class_declaration", "class")),
    Language.TYPESCRIPT: _Grammar(
        (*_SCRIPT, "method_signature", "abstract_method_signature"),
        ("class_declaration", "class", "abstract_class_declaration", "interface_declaration"),
    ),
    Language.JAVA: _Grammar(
        ("method_declaration", "constructor_declaration", "compact_constructor_declaration"),
        ("class_declaration", "interface_declaration", "enum_declaration", "record_declaration"),
        ("block_comment", "line_comment"),
    ),
    Language.C: _Grammar(("function_definition",), documenting=("/*", "//")),
    Language.CPP: _Grammar(
        ("function_definition",),
        ("class_specifier", "struct_specifier", "union_specifier"),
        documenting=("/*", "//"),
    ),
    Language.RUBY: _Grammar(("method", "singleton_method"), ("class", "module"), documenting=("#",)),
    Language.PHP: _Grammar(
        ("function_definition", "method_declaration"),
        ("class_declaration", "interface_declaration", "trait_declaration", "enum_declaration"),
    ),
}

_NAMED_VALUES = {
    "variable_declarator": "name",
    "pair": "key",
    "field_definition": "property",
    "public_field_definition": "name",
}
"""What gives a function its name that has none of its own, and the field that holds the name."""

_WRAPPERS = frozenset({"export_statement", "template_declaration", "lexical_declaration", "variable_declaration"})
"""Nodes around a definition that are part of how it reads."""

_C_NAMES = frozenset(
    {
        "identifier",
        "field_identifier",
        "destructor_name",
        "operator_name",
        "qualified_identifier",
        "operator_cast",
        "template_function",
    }
)


def _of_grammar(text: str, language: Language, grammar_name: str) -> Iterator[Function]:
    grammar = _GRAMMARS[language]
    root = require("ast_grep_py", "code").SgRoot(text, grammar_name).root()
    for node in root.find_all({"rule": {"any": [{"kind": kind} for kind in grammar.functions]}}):
        outer = node
        name_node: SgNode | None
        parent = node.parent()
        if node.kind() in ("arrow_function", "function_expression", "generator_function"):
            if parent is None or parent.kind() not in _NAMED_VALUES:
                continue  # a value that is passed on: nobody can name it
            name_node, outer = parent.field(_NAMED_VALUES[parent.kind()]), parent
        elif language in (Language.C, Language.CPP):
            name_node = _c_name(node)
        else:
            name_node = node.field("name")
        if name_node is None:
            continue
        while (parent := outer.parent()) is not None and parent.kind() in _WRAPPERS:
            outer = parent
        *scope, name = name_node.text().split("::")
        classes = [*_classes(node, grammar), *scope]
        if language is Language.GO and (receiver := node.field("receiver")) is not None:
            classes = re.findall(r"\w+", receiver.text().partition("[")[0])[-1:]
        kind: Literal["function", "method"] = "method" if classes else "function"
        start, end = outer.range().start, outer.range().end
        yield Function(
            name=name.strip("'\""),
            kind=kind,
            class_name=".".join(classes) or None,
            line=start.line + 1,
            end_line=end.line + (1 if end.column else 0),
            signature=_signature(outer, node, language),
            docstring=_docstring(outer, grammar),
            source=outer.text(),
        )


def _c_name(node: SgNode) -> SgNode | None:
    """The name inside a declarator: below pointers, parentheses and parameter lists."""
    found = node.field("declarator")
    while found is not None and found.kind() not in _C_NAMES:
        found = found.field("declarator") or next(iter(child for child in found.children() if child.is_named()), None)
    return found


def _classes(node: SgNode, grammar: _Grammar) -> list[str]:
    """The classes around a function, up to another function: what is local to one belongs to no class."""
    names: list[str] = []
    for above in node.ancestors():
        if above.kind() in grammar.functions:
            break
        if above.kind() in grammar.classes:
            name = above.field("type") if above.kind() == "impl_item" else above.field("name")
            names.append(name.text().partition("<")[0].strip() if name is not None else "")
    return [name for name in reversed(names) if name]


def _signature(outer: SgNode, node: SgNode, language: Language) -> str:
    text = outer.text()
    body = node.field("body")
    initializers = next((child for child in node.children() if child.kind() == "field_initializer_list"), None)
    if language is Language.RUBY:
        last = node.field("parameters") or node.field("name")
        cut = last.range().end.index if last is not None else None
    else:
        until = initializers or body
        cut = until.range().start.index if until is not None else None
    if cut is not None:
        text = text[: cut - outer.range().start.index]
    return " ".join(text.split()).rstrip("{;").removesuffix("=>").strip()


_COMMENT_EDGES = re.compile(r"^\s*(?:/\*[*!]?|//[/!]?|\*(?!/)|#)? ?|\s*\*+/\s*$")


def _docstring(outer: SgNode, grammar: _Grammar) -> str | None:
    """The comments right above a definition, without their marks."""
    found: list[str] = []
    line = outer.range().start.line
    above = outer.prev()
    while above is not None:
        if above.kind() in grammar.comments:
            text = above.text().rstrip()
            if not text.startswith(grammar.documenting) or above.range().start.line + text.count("\n") < line - 1:
                break
            found.insert(0, text)
        elif above.kind() not in grammar.passed_over:
            break
        line = above.range().start.line
        above = above.prev()
    lines = [_COMMENT_EDGES.sub("", line).rstrip() for text in found for line in text.splitlines()]
    return "\n".join(lines).strip() or None
