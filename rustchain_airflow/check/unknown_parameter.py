"""RC401: a parameter that the step type does not take."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.diagnostics import Severity
from rustchain_airflow.mission import IGNORED_PREFIX


@rule("RC401", "unknown-parameter", Severity.WARNING, strict=True)
def unknown_parameter(draft: Draft) -> Iterator[Found]:
    """A parameter that the step type does not take is ignored; most often it is misspelt."""
    for step in draft.steps:
        implementation = step.implementation
        if implementation is None or implementation.parameters.model_config.get("extra") == "allow":
            continue
        known = implementation.declared.canonical
        for key in step.step.parameters:
            if key not in known and not key.startswith(IGNORED_PREFIX):
                yield Found(
                    (*step.path, "parameters", key),
                    f'{implementation.name} has no parameter "{key}"',
                    did_you_mean(key, list(known)) or f"it takes: {', '.join(implementation.parameters.model_fields)}",
                    at_key=True,
                )
