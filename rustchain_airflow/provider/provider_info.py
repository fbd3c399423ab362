"""What Airflow asks a provider about itself, through the ``apache_airflow_provider`` entry point."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Name, description and configuration section of this provider, by Airflow's ``provider_info`` schema."""
    return {
        "package-name": "rustchain-airflow",
        "name": "RustChain missions",
        "description": "Missions in YAML, compiled to Airflow DAGs.",
        "integrations": [
            {
                "integration-name": "RustChain missions",
                "external-doc-url": "https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/dag-bundles.html",
                "tags": ["software"],
            }
        ],
    }
