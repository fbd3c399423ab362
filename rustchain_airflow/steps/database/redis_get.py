"""Get a key from Redis."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rustchain_airflow.steps.database.redis_client import connect, seconds
from rustchain_airflow.steps.sdk import (
    Alias,
    ConnectionReference,
    Output,
    Parameters,
    StepContext,
    StepRefused,
    step,
)


class RedisGetParameters(Parameters):
    connection: Annotated[ConnectionReference, Alias("redis_url")] = Field(
        description="An Airflow connection id, or a URL: `redis://:password@host:6379/0`, `rediss://` for TLS."
    )
    key: str = Field(min_length=1, description="The key.")
    default: Any = Field(None, description="The value to give where the key is not there.")
    parse: Literal["text", "json"] = Field("text", description="`json` reads the stored text as JSON.")


class RedisGetOutput(Output):
    main: ClassVar[str | None] = "value"

    key: str = Field(description="The key.")
    value: Any = Field(description="What the key holds, or the default.")
    exists: bool = Field(description="Whether the key is there.")
    ttl: float | None = Field(description="Seconds until the key expires; null when it stays or is not there.")


@step(idempotent=True)
def redis_get(parameters: RedisGetParameters, context: StepContext) -> RedisGetOutput:
    """Get a key from Redis.

    A key that is not there is no failure: `exists` is false, and `value` the default. A key that holds a list, a
    set or a hash, bytes that are not UTF-8, and with `parse: json` text that is not JSON, are.
    """
    with connect(parameters.connection, context) as client:
        # Both in one transaction: what is read is what expires then.
        with client.pipeline(transaction=True) as pipeline:
            stored, milliseconds = pipeline.get(parameters.key).pttl(parameters.key).execute()
    if stored is None:
        return RedisGetOutput(key=parameters.key, value=parameters.default, exists=False, ttl=None)
    return RedisGetOutput(key=parameters.key, value=_read(stored, parameters), exists=True, ttl=seconds(milliseconds))


def _read(stored: bytes, parameters: RedisGetParameters) -> Any:
    try:
        text = stored.decode("utf-8")
    except UnicodeDecodeError:
        raise StepRefused(f'key "{parameters.key}" holds {len(stored)} bytes that are not UTF-8 text') from None
    if parameters.parse == "text":
        return text
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise StepRefused(f'key "{parameters.key}" does not hold JSON: {error}') from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
