"""RC309: a reference where a parameter must be written out."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.steps.sdk import Marker


@rule("RC309", "reference-not-allowed")
def reference_not_allowed(draft: Draft) -> Iterator[Found]:
    """Some parameters hold code, like the text of a query: a value spliced into it could change what it does.

    Pass values beside it, in the parameter made for them.
    """
    for step in draft.steps:
        if step.implementation is None:
            continue
        for name, markers in step.implementation.declared.markers.items():
            if Marker.NO_REFERENCES not in markers:
                continue
            place = (*step.path, "parameters", step.written_key(name))
            for use in step.uses:
                if use.path[: len(place)] == place:
                    yield Found(
                        use.path,
                        f'{use.written.text} inside "{name}" of a {step.step.step_type} step would become code',
                        "put the value under parameters: and bind it",
                        within=use.written.text,
                    )
