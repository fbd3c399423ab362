"""Do nothing, visibly."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from rustchain_airflow.steps.control.scalars import Text
from rustchain_airflow.steps.sdk import Output, Parameters, RunsAs, StepContext, step


class NoopParameters(Parameters):
    model_config = ConfigDict(extra="allow")

    message: Text = Field("", description="Text for the step's log.")


class NoopOutput(Output):
    main = "message"

    message: str = Field(description="The message, as logged.")
    parameters: dict[str, Any] = Field(description="Every other parameter, as given.")


@step(runs_as=RunsAs.INLINE, idempotent=True)
def noop(parameters: NoopParameters, context: StepContext) -> NoopOutput:
    """Do nothing but log a message, and give back whatever else it was given.

    It joins branches, marks a point in a mission, or gathers values under one name: every parameter
    other than ``message`` is found again in ``{{ step.output.parameters.NAME }}``.
    """
    if parameters.message:
        context.logger.info("%s", parameters.message)
    return NoopOutput(message=parameters.message, parameters=dict(parameters.model_extra or {}))
