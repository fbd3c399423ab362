"""Draft to Plan: policy resolved, edges closed, references bound."""

from __future__ import annotations

from typing import Any

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import DraftStep
from rustchain_airflow.check.references import binding
from rustchain_airflow.plan import DEFAULT_RETRY_DELAY_MS, DEFAULT_STEP_TIMEOUT_SECONDS, Edge, Input, Plan, PlannedStep
from rustchain_airflow.step_type import StepType


def make_plan(draft: Draft, *, source_name: str, source_digest: str) -> Plan:
    """The plan of a draft that has no errors."""
    header, config = draft.header, draft.header.config
    tolerated = {step.index: tolerates_own_failure(step) for step in draft.steps}
    steps = tuple(
        PlannedStep(
            id=step.step.id,
            name=step.step.name or step.step.id,
            step_type=step.step.step_type,
            position=step.index,
            parameters=step.step.parameters,
            edges=tuple(
                Edge(draft.at(edge.upstream).step.id, tolerated[edge.upstream], edge.inferred)
                for edge in sorted(draft.dependencies[step.index], key=lambda edge: edge.upstream)
            ),
            attempts=1 + first_set(step.step.retry_attempts, config.retry_attempts, 0),
            retry_delay_ms=first_set(step.step.retry_delay_ms, config.retry_delay_ms, DEFAULT_RETRY_DELAY_MS),
            timeout_seconds=first_set(step.step.timeout_seconds, _own_timeout(step), DEFAULT_STEP_TIMEOUT_SECONDS),
            continue_on_error=tolerated[step.index],
            bindings=dict(bound for use in step.uses if (bound := binding(use)) is not None),
            outputs=step.step.outputs,
            airflow=step.step.airflow,
        )
        for step in draft.steps
    )
    return Plan(
        name=header.name,
        version=header.version,
        description=header.description,
        steps=steps,
        config=_effective_config(draft),
        fail_fast=first_set(config.fail_fast, True),
        max_concurrent_steps=config.max_concurrent_steps,
        timeout_seconds=config.timeout_seconds,
        variables=header.variables,
        inputs=tuple(
            Input(
                name=given.name,
                type=given.type,
                required=given.required,
                default=given.default,
                enum=None if given.enum is None else tuple(given.enum),
                minimum=given.minimum,
                maximum=given.maximum,
                description=given.description,
            )
            for given in header.parameters
        ),
        airflow=header.airflow,
        source_name=source_name,
        source_digest=source_digest,
    )


def first_set(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)


def tolerates_own_failure(step: DraftStep) -> bool:
    """``continue_on_error``, or an http step's ``on_error: continue``, which says the same (steps.md)."""
    if step.step.continue_on_error is not None:
        return step.step.continue_on_error
    return step.step.step_type is StepType.HTTP and step.step.parameters.get("on_error") == "continue"


def _own_timeout(step: DraftStep) -> float | None:
    """The ``timeout`` parameter of a command, which is the step's timeout_seconds (steps.md)."""
    timeout = step.step.parameters.get("timeout") if step.step.step_type is StepType.COMMAND else None
    if isinstance(timeout, str):
        try:
            timeout = float(timeout)
        except ValueError:
            return None
    return timeout if isinstance(timeout, (int, float)) and timeout > 0 else None


def _effective_config(draft: Draft) -> dict[str, Any]:
    """What ``{{ config.x }}`` reads: all that the mission writes, and the settings that have defaults."""
    written = draft.value.get("config")
    config = {"fail_fast": True, "retry_attempts": 0} | (dict(written) if isinstance(written, dict) else {})
    return config | draft.header.config.model_dump(exclude_none=True)
