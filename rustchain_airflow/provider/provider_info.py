"""What Airflow asks a provider about itself, through the ``apache_airflow_provider`` entry point."""

from __future__ import annotations

from typing import Any

from rustchain_airflow.step_type import Family

_INTEGRATION = "RustChain missions"
_DOCS = "https://pypi.org/project/rustchain-airflow/"


def get_provider_info() -> dict[str, Any]:
    """Name, description and configuration section of this provider, by Airflow's ``provider_info`` schema."""
    return {
        "package-name": "rustchain-airflow",
        "name": "RustChain missions",
        "description": "Missions in YAML, compiled to Airflow DAGs.",
        "integrations": [{"integration-name": _INTEGRATION, "external-doc-url": _DOCS, "tags": ["software"]}],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    *(f"rustchain_airflow.operators.{family}" for family in Family),
                    "rustchain_airflow.operators.mission_result",
                ],
            }
        ],
        "bundles": [{"integration-name": _INTEGRATION, "python-modules": ["rustchain_airflow.provider.bundle"]}],
        "config": {
            "rustchain": {
                "description": "Missions: where their runs keep their files.",
                "options": {
                    "workspace_root": {
                        "description": (
                            "Folder of the workspaces, one for each run: ``<root>/<dag_id>/<run_id>``. It must be on "
                            "storage that all workers share. Default: the environment variable "
                            "RUSTCHAIN_WORKSPACE_ROOT, else the folder ``missions`` in AIRFLOW_HOME."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/mnt/missions",
                        "default": "",
                    }
                },
            }
        },
    }
