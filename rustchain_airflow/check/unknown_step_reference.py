"""RC302: a reference to a step that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import Meaning
from rustchain_airflow.check.references import STEP_PROPERTIES
from rustchain_airflow.check.rule import Found, did_you_mean, rule


@rule("RC302", "unknown-step-reference")
def unknown_step_reference(draft: Draft) -> Iterator[Found]:
    """A reference reads a step that this mission does not define, or something that steps do not have.

    A step has ``output``, ``status`` and ``error``.
    """
    for step in draft.steps:
        for use in step.uses:
            written = use.written
            name = str(written.step_id or written.head)
            if use.meaning is Meaning.UNKNOWN_STEP:
                yield Found(
                    use.path,
                    f'{written.text} reads step "{name}", which this mission does not define',
                    did_you_mean(name, list(draft.by_id)),
                    within=use.written.text,
                )
            elif use.meaning is Meaning.UNKNOWN_PROPERTY:
                rest = written.step_path
                asked = f'"{rest[0]}"' if rest else "nothing"
                yield Found(
                    use.path,
                    f'{written.text} asks step "{name}" for {asked}; a step has {", ".join(STEP_PROPERTIES)}',
                    f"write {{{{ {name}.output{'.' + str(rest[0]) if rest else ''} }}}}",
                    within=use.written.text,
                )
