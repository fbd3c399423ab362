"""RC201: a dependency on a step that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, did_you_mean, rule


@rule("RC201", "unknown-dependency")
def unknown_dependency(draft: Draft) -> Iterator[Found]:
    """A step waits for a step that this mission does not define.

    The mission could never start that step. Most often the id is misspelt.
    """
    for finding in draft.canonical.findings:
        if finding.code == "RC201":
            yield Found(finding.path, finding.message, did_you_mean(finding.message.split('"')[1], list(draft.by_id)))
    ids = _ids(draft)
    for step in draft.steps:
        for place, name in enumerate(step.step.depends_on):
            if name not in ids:
                yield Found(
                    (*step.path, "depends_on", place),
                    f'step "{step.step.id}" depends on "{name}", which this mission does not define',
                    did_you_mean(name, list(ids)),
                )


def _ids(draft: Draft) -> dict[str, None]:
    """All ids of the mission, those of steps with other faults included."""
    steps = draft.value.get("steps")
    return dict.fromkeys(
        step["id"]
        for step in (steps if isinstance(steps, list) else ())
        if isinstance(step, dict) and isinstance(step.get("id"), str)
    )
