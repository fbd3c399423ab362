"""How long Airflow takes to import a large mission: as a table, against the same tasks wired with ``>>``.

    AIRFLOW_HOME=$(mktemp -d) python benchmarks/dag_import.py [STEPS]

Prints processor seconds of each form, and their ratio. One process, both forms after one warm-up.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
import time
from pathlib import Path

from rustchain_airflow.codegen.airflow_dag import generate
from rustchain_airflow.plan import Edge, Plan, PlannedStep
from rustchain_airflow.step_type import StepType


def mission(size: int) -> Plan:
    """Layers of ten steps; each step waits for two of the layer before."""
    steps = tuple(
        PlannedStep(
            id=f"s{n}",
            name=f"s{n}",
            step_type=StepType.NOOP,
            position=n,
            parameters={},
            edges=tuple(Edge(f"s{m}") for m in (n - 11, n - 10) if m >= 0),
        )
        for n in range(size)
    )
    return Plan("large", "1.0", None, steps)


def seconds(plan: Plan, *, table: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.py")
        path.write_text(generate(plan, dag_id="large", version="0", table=table))
        began = time.process_time()
        runpy.run_path(str(path))
        return time.process_time() - began


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    seconds(mission(10), table=True)
    table, statements = (seconds(mission(size), table=form) for form in (True, False))
    print(f"{size} steps: table {table:.2f} s, statements {statements:.2f} s, ratio {statements / table:.1f}")


if __name__ == "__main__":
    main()
