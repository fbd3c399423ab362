"""The step type generate_docs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rustchain_airflow.steps.code.functions import functions, read
from rustchain_airflow.steps.code.languages import Language, detect, sources
from rustchain_airflow.steps.code.toolchain import folder_of, upwards
from rustchain_airflow.steps.sdk import (
    Output,
    Parameters,
    ReadPath,
    StepContext,
    StepError,
    WritePath,
    require,
    step,
)

if TYPE_CHECKING:
    import griffe


class GenerateDocsParameters(Parameters):
    """What to document, how, and where to."""

    at_most_one: ClassVar[tuple[tuple[str, ...], ...]] = (("output", "output_dir"),)

    path: ReadPath = Field(description="A source file, or the folder of a package or project.")
    language: str | None = Field(None, description="Default: python, unless the files say otherwise.")
    format: Literal["markdown", "html", "json"] = Field("markdown", description="How the pages are written.")
    output: WritePath | None = Field(None, description="One file for everything.")
    output_dir: WritePath | None = Field(None, description='A folder, with a page a module. Default: "docs".')


class GenerateDocsOutput(Output):
    """What was documented, and what has no documentation."""

    main: ClassVar[str | None] = "files"

    format: str
    files: list[str] = Field(description="The files that were written.")
    modules: list[str] = Field(description="The modules that were documented, by name.")
    symbols: int = Field(description="Classes, functions and methods on the pages, and documented attributes.")
    undocumented: list[str] = Field(description="Modules and symbols without documentation, by full name.")


@dataclass(frozen=True)
class _Symbol:
    name: str
    """Within its module, enclosing classes first."""
    kind: str
    line: int | None
    signature: str
    docstring: str | None


@dataclass(frozen=True)
class _Module:
    name: str
    path: str
    docstring: str | None
    symbols: list[_Symbol] = field(default_factory=list)
    has_docstring: bool = True
    """Whether modules of this language have documentation of their own."""


@step(idempotent=True, prepare=lambda: require("griffe", "code"))
def generate_docs(parameters: GenerateDocsParameters, context: StepContext) -> GenerateDocsOutput:
    """Write reference documentation of source code, from its text alone.

    Python (extra `[code]`): the public modules, classes, functions and methods, with signatures,
    docstrings and documented attributes, as `__all__` and leading underscores say. The code is never
    imported. Other languages: the functions and methods that extract_functions finds, a page a file.

    One page a module goes into `output_dir`, or all of them into the file `output`. Docstrings are put
    on HTML pages as text, never as markup. Each file is replaced whole; pages of an earlier run that
    no longer have a module stay where they are.
    """
    language = detect(context, [parameters.path], parameters.language or _default(context, parameters.path), Language)
    files = sources(context, [parameters.path], [language])
    modules = list(
        _python(context, parameters.path, files) if language is Language.PYTHON else _other(context, files, language)
    )
    written = _write(context, parameters, modules)
    return GenerateDocsOutput(
        format=parameters.format,
        files=written,
        modules=[module.name for module in modules],
        symbols=sum(len(module.symbols) for module in modules),
        undocumented=[name for module in modules for name in _undocumented(module)],
    )


def _default(context: StepContext, path: str) -> str | None:
    """Python where a folder holds any; what suffixes say elsewhere."""
    entry = context.workspace.entry(path)
    if entry is None or not entry.is_dir:
        return None
    try:
        sources(context, [path], [Language.PYTHON])
    except StepError:
        return None
    return Language.PYTHON


def _undocumented(module: _Module) -> Iterator[str]:
    if module.has_docstring and not module.docstring:
        yield module.name
    for symbol in module.symbols:
        if not symbol.docstring:
            yield f"{module.name}.{symbol.name}"


# --- python ---------------------------------------------------------------------------------------


def _python(context: StepContext, path: str, files: list[str]) -> Iterator[_Module]:
    griffe = require("griffe", "code")
    for file in files:
        name = _module_name(context, path, file)
        if file.endswith(".pyi") or any(part.startswith("_") for part in name.split(".")):
            continue
        text = read(context, file, Language.PYTHON)
        shown = context.workspace.relative(file)
        try:
            module = griffe.visit(name, filepath=context.workspace.locate(file), code=text)
        except SyntaxError as error:
            raise StepError(f"{shown}:{error.lineno}: {error.msg}") from error
        except (RecursionError, MemoryError, ValueError) as error:
            raise StepError(f"{shown} cannot be parsed: {error or 'it is nested too deeply'}") from error
        yield _Module(name, shown, _text(module), list(_members(module, "")))


def _module_name(context: StepContext, path: str, file: str) -> str:
    """How an import names a file: from the highest folder that is a package, or from what was given."""
    top = folder_of(context, path)
    if context.workspace.entry(f"{top}/__init__.py") is not None:
        above = (folder for folder in upwards(top) if context.workspace.entry(f"{folder}/__init__.py") is None)
        top = next(above, top)
    elif context.workspace.entry(f"{top}/src") is not None:
        top = f"{top}/src" if context.workspace.relative(file).startswith(f"{_plain(top)}src/") else top
    inside = context.workspace.locate(file).relative_to(context.workspace.locate(top)).with_suffix("")
    parts = inside.parts[:-1] if inside.name == "__init__" else inside.parts
    return ".".join(parts) or context.workspace.locate(top).name


def _plain(folder: str) -> str:
    return "" if folder == "." else f"{folder}/"


def _text(found: griffe.Object) -> str | None:
    return found.docstring.value.strip() or None if found.docstring else None


def _members(parent: griffe.Object, prefix: str) -> Iterator[_Symbol]:
    import griffe

    for name, member in parent.members.items():
        if not member.is_public:
            continue
        full = f"{prefix}{name}"
        if isinstance(member, griffe.Class):
            bases = ", ".join(map(str, member.bases))
            signature = f"class {name}({bases})" if bases else f"class {name}"
            yield _Symbol(full, "class", member.lineno, signature, _text(member))
            yield from _members(member, f"{full}.")
        elif isinstance(member, griffe.Function):
            word = "async def" if "async" in member.labels else "def"
            kind = "method" if prefix else "function"
            yield _Symbol(full, kind, member.lineno, f"{word} {member.signature()}", _text(member))
        elif isinstance(member, griffe.Attribute) and member.docstring:
            annotation = f": {member.annotation}" if member.annotation is not None else ""
            value = f" = {member.value}" if member.value is not None else ""
            yield _Symbol(full, "attribute", member.lineno, f"{name}{annotation}{value}", _text(member))


# --- other languages ------------------------------------------------------------------------------


def _other(context: StepContext, files: list[str], language: Language) -> Iterator[_Module]:
    for file in files:
        shown = context.workspace.relative(file)
        symbols = [
            _Symbol(
                ".".join(part for part in (found.class_name, found.name) if part),
                found.kind,
                found.line,
                found.signature,
                found.docstring,
            )
            for found in functions(read(context, file, language), language, shown)
        ]
        yield _Module(shown, shown, None, symbols, has_docstring=False)


# --- pages ----------------------------------------------------------------------------------------


def _write(context: StepContext, parameters: GenerateDocsParameters, modules: list[_Module]) -> list[str]:
    suffix, page = _PAGES[parameters.format]
    if parameters.output is not None:
        pages = {parameters.output: page(modules)}
    else:
        folder = parameters.output_dir or "docs"
        pages = {f"{folder}/{_file_name(module.name)}{suffix}": page([module]) for module in modules}
        if len(pages) < len(modules):
            raise StepError("two modules would have the same page; write all to one file with output")
    for path, text in pages.items():
        with context.workspace.write(path) as file:
            file.write(text.encode())
    return [context.workspace.relative(path) for path in pages]


def _file_name(module: str) -> str:
    return str(PurePosixPath(module)).replace("/", ".")


def _markdown(modules: list[_Module]) -> str:
    return "\n".join(_markdown_module(module) for module in modules)


def _markdown_module(module: _Module) -> str:
    blocks = [f"# {module.name}", module.docstring]
    for symbol in module.symbols:
        fence = "```"
        while fence in symbol.signature:
            fence += "`"
        blocks += [f"## {symbol.name}", f"{fence}\n{symbol.signature}\n{fence}", symbol.docstring]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _html(modules: list[_Module]) -> str:
    title = escape(", ".join(module.name for module in modules))
    body = "".join(_html_module(module) for module in modules)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n"
        "<style>body{font-family:sans-serif;max-width:50em;margin:2em auto;padding:0 1em}"
        "pre{background:#f4f4f4;padding:.6em;white-space:pre-wrap}.doc{white-space:pre-wrap}</style>\n"
        f"</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _html_module(module: _Module) -> str:
    parts = [f"<h1>{escape(module.name)}</h1>\n", _html_text(module.docstring)]
    for symbol in module.symbols:
        anchor = escape(f"{module.name}.{symbol.name}", quote=True)
        parts.append(f'<h2 id="{anchor}">{escape(symbol.name)}</h2>\n<pre>{escape(symbol.signature)}</pre>\n')
        parts.append(_html_text(symbol.docstring))
    return "".join(parts)


def _html_text(text: str | None) -> str:
    return f'<div class="doc">{escape(text)}</div>\n' if text else ""


def _json(modules: list[_Module]) -> str:
    shown = [
        {
            "name": module.name,
            "path": module.path,
            "docstring": module.docstring,
            "symbols": list(map(asdict, module.symbols)),
        }
        for module in modules
    ]
    return json.dumps({"modules": shown}, indent=2, ensure_ascii=False) + "\n"


_PAGES: dict[str, tuple[str, Callable[[list[_Module]], str]]] = {
    "markdown": (".md", _markdown),
    "html": (".html", _html),
    "json": (".json", _json),
}
