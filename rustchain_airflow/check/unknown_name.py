"""RC301: a reference to a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import Meaning
from rustchain_airflow.check.references import has_default
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.diagnostics import Severity
from rustchain_airflow.expressions import BUILTINS


@rule("RC301", "unknown-name", Severity.WARNING)
def unknown_name(draft: Draft) -> Iterator[Found]:
    """A bare name that is no context variable, no built-in and no step's result: it is left as written.

    A run may still give it a value with ``--var`` or, in Airflow, in its configuration (semantics §7.3).
    """
    known = [*draft.vocabulary.variables, *draft.vocabulary.setters, *BUILTINS]
    for step in draft.steps:
        for use in step.uses:
            if use.meaning is Meaning.UNKNOWN_NAME and not has_default(use.written):
                name = use.written.head
                hint = f'"{name}" is a step: write {{{{ {name}.output }}}}' if name in draft.by_id else None
                yield Found(
                    use.path,
                    f"{use.written.text} names nothing this mission knows and is left as written",
                    hint
                    or did_you_mean(name, known)
                    or f"declare it under variables:, or give it with --var {name}=...",
                    within=use.written.text,
                )
            elif use.meaning is Meaning.AMBIGUOUS:
                yield Found(
                    use.path,
                    f"{use.written.text} could mean the result of {', '.join(use.candidates)}; it is left as written",
                    f"write {{{{ {use.candidates[0]}.output }}}} to mean the first",
                    within=use.written.text,
                )
