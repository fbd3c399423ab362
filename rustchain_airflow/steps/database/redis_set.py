"""Set a key in Redis."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from rustchain_airflow.steps.database.redis_client import connect
from rustchain_airflow.steps.sdk import Alias, ConnectionReference, Output, Parameters, StepContext, step

_LONGEST_TTL_SECONDS: Final = 100 * 366 * 86_400


class RedisSetParameters(Parameters):
    connection: Annotated[ConnectionReference, Alias("redis_url")] = Field(
        description="An Airflow connection id, or a URL: `redis://:password@host:6379/0`, `rediss://` for TLS."
    )
    key: str = Field(min_length=1, description="The key.")
    value: Any = Field(description="Text is stored as it is; numbers, booleans, null, lists and objects as JSON.")
    ttl: Annotated[float, Field(ge=0.001, le=_LONGEST_TTL_SECONDS)] | None = Field(
        None,
        description="Seconds after which the key expires. Without it the key stays, and an older expiry is lifted.",
    )
    only_if: Literal["missing", "exists"] | None = Field(
        None, description="Set the key only if it is not there yet (`missing`), or only if it is (`exists`)."
    )


class RedisSetOutput(Output):
    main: ClassVar[str | None] = "set"

    key: str = Field(description="The key.")
    set: bool = Field(description="Whether the value was stored; false where `only_if` did not hold.")
    ttl: float | None = Field(description="Seconds until the key expires, as asked for; null when it stays.")


@step
def redis_set(parameters: RedisSetParameters, context: StepContext) -> RedisSetOutput:
    """Set a key in Redis.

    The key is set in one command, expiry and condition included, so another client never sees half of it.
    A condition that does not hold is no failure: `set` is false then.
    """
    value = parameters.value if isinstance(parameters.value, str) else _json(parameters.value)
    with connect(parameters.connection, context) as client:
        stored = client.set(
            parameters.key,
            value.encode("utf-8"),
            px=None if parameters.ttl is None else max(1, round(parameters.ttl * 1000)),
            nx=parameters.only_if == "missing",
            xx=parameters.only_if == "exists",
        )
    return RedisSetOutput(key=parameters.key, set=bool(stored), ttl=parameters.ttl if stored else None)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
