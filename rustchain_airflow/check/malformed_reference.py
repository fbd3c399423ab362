"""RC308: text that looks like a reference and is not one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.diagnostics import Severity
from rustchain_airflow.expressions import Reference, parse, strings

_CANDIDATE = re.compile(r"(?<!\\)\{\{\s*([^{}]*?)\s*\}\}")
_STEP = re.compile(r"(?P<id>[A-Za-z0-9_.-]+?)\.(?P<rest>(?:output|status|error)\b.*)")
_HEAD = re.compile(r"(?:env|context|config|mission|steps)\b")


@rule("RC308", "malformed-reference", Severity.WARNING)
def malformed_reference(draft: Draft) -> Iterator[Found]:
    """Double braces around what is almost a reference: a step id with dashes, a filter that does not exist.

    It is left as written. Go templates, Jinja and other languages' braces are none of our business and not reported.
    """
    for step in draft.steps:
        for inner, text in strings(step.step.parameters):
            if "{{" not in text:
                continue
            for match in _CANDIDATE.finditer(text):
                if any(isinstance(part, Reference) for part in parse(match.group()).parts):
                    continue
                place = (*step.path, "parameters", *inner)
                expression = match[1]
                reference = _STEP.fullmatch(expression)
                if reference and reference["id"] in draft.by_id:
                    yield Found(
                        place,
                        f"{match.group()} is not a reference and is left as written",
                        f'write {{{{ steps["{reference["id"]}"].{reference["rest"]} }}}}',
                        within=match.group(),
                    )
                elif _HEAD.match(expression) or (reference and "|" in expression):
                    yield Found(
                        place,
                        f"{match.group()} is not a reference and is left as written",
                        "a reference is a dotted path, optionally with | default(value)",
                        within=match.group(),
                    )
