"""The step type extract_functions."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rustchain_airflow.steps.code.functions import Function, functions, read
from rustchain_airflow.steps.code.languages import Language, detect, named, sources
from rustchain_airflow.steps.sdk import Output, Parameters, ReadPath, StepContext, StepRefused, require, step


class ExtractFunctionsParameters(Parameters):
    """The source text, as a file or inline."""

    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("path", "content"),)

    path: ReadPath | None = Field(None, description="A source file, or a folder with all below it.")
    content: str | None = Field(None, description="Source text; language must be given with it.")
    language: str | None = Field(
        None,
        description="python, rust, go, javascript, typescript, java, c, cpp, ruby or php; "
        "told from the suffixes when left out.",
    )
    include_source: bool = Field(False, description="Give the text of each function too.")


class ExtractedFunction(BaseModel):
    """One function."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True, populate_by_name=True)

    name: str
    kind: str = Field(description='"function", or "method" where it belongs to a class.')
    class_name: str | None = Field(alias="class", description="Class, interface, trait, impl or module it belongs to.")
    line: int = Field(description="From 1.")
    end_line: int
    signature: str = Field(description="On one line, without the body.")
    docstring: str | None = Field(description="Docstring, or the comment that documents it.")
    path: str | None = Field(description="The file; null for inline content.")
    source: str | None = Field(description="The text, with include_source.")


class ExtractFunctionsOutput(Output):
    """The functions that were found, in the order of files and lines."""

    main: ClassVar[str | None] = "functions"

    functions: list[ExtractedFunction]
    count: int


@step(idempotent=True, prepare=lambda: require("ast_grep_py", "code"))
def extract_functions(parameters: ExtractFunctionsParameters, context: StepContext) -> ExtractFunctionsOutput:
    """List the functions and methods of source code, with signatures and documentation.

    The code is parsed and never run. Python is read by its own parser, and a file that does not parse
    fails the step; the other languages are read by their grammars (extra `[code]`), which pass over what
    they do not understand. Functions inside functions are listed; those without a name are not.
    Of C and C++ definitions count, not prototypes.
    """
    found: list[ExtractedFunction] = []
    if parameters.content is not None:
        if parameters.language is None:
            raise StepRefused("say the language of the content with language")
        language = named(parameters.language, Language)
        found = [_shown(each, None, parameters) for each in functions(parameters.content, language, "content")]
    elif parameters.path is not None:
        language = detect(context, [parameters.path], parameters.language, Language)
        for file in sources(context, [parameters.path], [language]):
            name = context.workspace.relative(file)
            text = read(context, file, language)
            found += [_shown(each, name, parameters) for each in functions(text, language, name)]
    return ExtractFunctionsOutput(functions=found, count=len(found))


def _shown(function: Function, path: str | None, parameters: ExtractFunctionsParameters) -> ExtractedFunction:
    return ExtractedFunction(
        name=function.name,
        kind=function.kind,
        class_name=function.class_name,
        line=function.line,
        end_line=function.end_line,
        signature=function.signature,
        docstring=function.docstring,
        path=path,
        source=function.source if parameters.include_source else None,
    )
