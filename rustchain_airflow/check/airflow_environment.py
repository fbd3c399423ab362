"""RC306: a reference to Airflow's own environment."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import Meaning
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.safety.secrets import belongs_to_airflow


@rule("RC306", "airflow-environment")
def airflow_environment(draft: Draft) -> Iterator[Found]:
    """Airflow's settings, connections and variables in the environment are not for missions: they hold its secrets.

    Use a connection id where a step takes one (semantics §8.4).
    """
    for step in draft.steps:
        for use in step.uses:
            if use.meaning is not Meaning.ENVIRONMENT:
                continue
            if len(use.written.segments) != 2:
                yield Found(
                    use.path, f"{use.written.text} needs the name of one environment variable", within=use.written.text
                )
            elif belongs_to_airflow(str(use.written.segments[1])):
                yield Found(
                    use.path,
                    f"{use.written.text} reads a variable that belongs to Airflow",
                    "name a connection id where the step takes a connection",
                    within=use.written.text,
                )
