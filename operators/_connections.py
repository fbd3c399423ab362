"""The connections a mission names: Airflow's, with its secrets backends, or a URL."""

from __future__ import annotations

from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

from rustchain_airflow.runtime.connections import ENVIRONMENT_PREFIX, check_id, of_airflow, of_url
from rustchain_airflow.steps.sdk import Connection, StepError, StepRefused


class AirflowConnections:
    """Resolves connections as Airflow's own hooks do: secrets backends, environment, then its database.

    To be asked in the task's own process: a child of it has no way to Airflow.
    """

    def resolve(self, reference: str) -> Connection:
        """The connection of an id or a URL.

        Raises StepRefused for one that is not defined or cannot be read, StepError when Airflow cannot be asked.
        """
        if "://" in reference:
            return of_url(reference)
        check_id(reference)
        try:
            found = AirflowConnection.get(reference)
        except AirflowNotFoundException:
            raise StepRefused(
                f'connection "{reference}" is not defined: add it in Airflow (airflow connections add), '
                f"set {ENVIRONMENT_PREFIX}{reference.upper()}, or write a URL"
            ) from None
        except AirflowRuntimeError as error:
            raise StepError(f'Airflow could not look up connection "{reference}": {error.error.error.value}') from error
        return of_airflow(
            conn_type=found.conn_type,
            host=found.host,
            port=found.port,
            login=found.login,
            password=found.password,
            schema=found.schema,
            extra=found.extra_dejson,
        )
