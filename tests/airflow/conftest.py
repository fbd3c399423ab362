"""Real Airflow for every test in this folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_runs import airflow_home, airflow_runs, run_plan  # noqa: F401  (fixtures)
