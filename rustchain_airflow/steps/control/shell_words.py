"""A command line without a shell: its words, and what in it only a shell would understand."""

from __future__ import annotations

import re
import shlex

# In this order: what the quotes or the backslash hide is passed over before an operator is looked for.
_TOKEN = re.compile(
    r"""
      (?P<continuation> \\\n )
    | \\.
    | '[^']*'
    | " (?P<quoted> (?: [^"\\] | \\. )* ) "
    | (?P<operator> && | \|\|? | [;&] | >>|>\||>&|> | <<<|<<|<&|<
        | \$\( | ` | \$\{ | \$[A-Za-z_]\w* | \n(?=\s*\S) )
    """,
    re.VERBOSE | re.DOTALL,
)
_EXPANSION = re.compile(r"\\.|(?P<operator>\$\(|`|\$\{|\$[A-Za-z_]\w*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"\s*(?P<operator>[A-Za-z_]\w*=)\S*\s+\S")


def shell_syntax(command: str) -> str | None:
    """The first thing in a command line that only a shell would understand; None when it is words alone.

    Pipes, lists, redirects, expansions and leading assignments count where a shell would see them:
    not inside quotes that hide them, not after a backslash. Wildcards and tildes do not count, because
    they are as often meant as they stand.
    """
    if assignment := _ASSIGNMENT.match(command):
        return assignment["operator"]
    for token in _TOKEN.finditer(command):
        if operator := token["operator"]:
            return "a line break" if operator == "\n" else operator
        for inner in _EXPANSION.finditer(token["quoted"] or ""):
            if inner["operator"]:
                return inner["operator"]
    return None


def split(command: str) -> list[str]:
    """The words of a command line, as a shell splits them. Raises ValueError for a quote without its pair."""
    joined = _TOKEN.sub(lambda token: "" if token["continuation"] else token.group(), command)
    return shlex.split(joined)
