"""RC304: a context variable that nobody sets."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import Meaning
from rustchain_airflow.check.references import has_default
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.diagnostics import Severity


@rule("RC304", "undeclared-variable", Severity.WARNING)
def undeclared_variable(draft: Draft) -> Iterator[Found]:
    """``{{ context.NAME }}`` where neither ``variables:``, ``parameters:`` nor a step's ``outputs:`` sets NAME.

    The step fails unless the run gives the variable with ``--var`` or, in Airflow, in its configuration.
    """
    vocabulary = draft.vocabulary
    for step in draft.steps:
        for use in step.uses:
            if use.meaning is not Meaning.CONTEXT or use.written.head != "context" or has_default(use.written):
                continue
            name = str(use.written.segments[1]) if len(use.written.segments) > 1 else ""
            if name and name not in vocabulary.variables:
                yield Found(
                    use.path,
                    f'{use.written.text} reads the context variable "{name}", which this mission does not set',
                    did_you_mean(name, [*vocabulary.variables, *vocabulary.setters])
                    or f"declare it under variables:, or give it with --var {name}=...",
                    within=use.written.text,
                )
