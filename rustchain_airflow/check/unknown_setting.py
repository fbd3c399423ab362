"""RC305: a reference to a setting or a property that does not exist."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import Meaning
from rustchain_airflow.check.references import MISSION_PROPERTIES, has_default
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.mission import MissionConfig


@rule("RC305", "unknown-setting")
def unknown_setting(draft: Draft) -> Iterator[Found]:
    """``{{ config.NAME }}`` or ``{{ mission.NAME }}`` names something that missions do not have.

    ``config`` has the mission's own settings, ``mission`` its name, version, run_id, timestamp and workspace.
    """
    config = draft.value.get("config")
    settings = [*MissionConfig.model_fields, *(config if isinstance(config, dict) else ())]
    for step in draft.steps:
        for use in step.uses:
            if use.meaning not in (Meaning.CONFIG, Meaning.MISSION) or has_default(use.written):
                continue
            known = settings if use.meaning is Meaning.CONFIG else list(MISSION_PROPERTIES)
            name = str(use.written.segments[1]) if len(use.written.segments) > 1 else ""
            if name not in known:
                asked = f'there is no "{name}"' if name else "the name is missing"
                yield Found(
                    use.path,
                    f"{use.written.text}: {asked} in {use.written.head}",
                    did_you_mean(name, known) or f"it has: {', '.join(dict.fromkeys(known))}",
                    within=use.written.text,
                )
