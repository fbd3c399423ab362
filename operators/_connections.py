"""The connections a mission names, from Airflow's connections or from a URL."""

from __future__ import annotations

from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.exceptions import AirflowNotFoundException

from rustchain_airflow.runtime.connections import of_airflow, of_url
from rustchain_airflow.steps.sdk import Connection, StepRefused


class AirflowConnections:
    """Resolves connection ids against Airflow; a URL stands for itself."""

    def resolve(self, reference: str) -> Connection:
        """The connection of an id or a URL. Raises StepRefused for one that is not defined."""
        if "://" in reference:
            return of_url(reference)
        try:
            found = AirflowConnection.get(reference)
        except AirflowNotFoundException as error:
            raise StepRefused(f'Airflow has no connection "{reference}"') from error
        return of_airflow(
            conn_type=found.conn_type,
            host=found.host,
            port=found.port,
            login=found.login,
            password=found.password,
            schema=found.schema,
            extra=found.extra_dejson,
        )
