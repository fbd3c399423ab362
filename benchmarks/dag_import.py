"""Importing compiled DAGs in a warm process, against the same DAG written by hand and against dag-factory's loader."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.environment import PYTHON, RUSTCHAIN
from benchmarks.measure import ROUNDS, Row, environment

SMALL, LARGE = 1_000, 5_000


def rows(folder: Path) -> Iterator[Row]:
    for size in (10, SMALL, LARGE):
        _write(folder, size)
    compiled, by_hand, factory = (f"{form}_{SMALL}.py" for form in ("compiled", "by_hand", "factory"))
    large = [f"compiled_{LARGE}.py", f"by_hand_{LARGE}.py"]
    seconds = _imports(folder, [compiled, by_hand, factory], large)
    yield _row(f"import of {SMALL:,} steps / by hand with >>", seconds[compiled], seconds[by_hand], 1.0)
    yield _row(f"import of {LARGE:,} steps / by hand with >>", seconds[large[0]], seconds[large[1]], 0.5)
    yield _row(f"import of {SMALL:,} steps / dag-factory 1.1.0", seconds[compiled], seconds[factory], 1 / 4)


def _row(what: str, compiled: float, peer: float, bound: float) -> Row:
    return Row(what, compiled / peer, bound, f"{compiled * 1000:.0f} ms, peer {peer * 1000:.0f} ms processor time")


def _upstream(number: int) -> list[int]:
    """Layers of ten steps; each waits for two of the layer before."""
    return [earlier for earlier in (number - 11, number - 10) if earlier >= 0]


def _write(folder: Path, size: int) -> None:
    steps = [
        json.dumps({"id": f"s{n}", "step_type": "noop", "depends_on": [f"s{m}" for m in _upstream(n)]})
        for n in range(size)
    ]
    mission = folder / f"compiled_{size}.yaml"
    mission.write_text("steps:\n" + "".join(f"  - {step}\n" for step in steps))
    subprocess.run(
        [RUSTCHAIN, "compile", mission, "-o", folder], check=True, capture_output=True, env=dict(environment())
    )
    (folder / f"by_hand_{size}.py").write_text(_by_hand(size))
    (folder / f"factory_{size}.yaml").write_text(_for_dag_factory(size))
    (folder / f"factory_{size}.py").write_text(
        "import os\nfrom airflow.sdk import dag\nfrom dagfactory import load_yaml_dags\n"
        f"load_yaml_dags(globals(), config_filepath={str(folder / f'factory_{size}.yaml')!r})\n"
    )


def _by_hand(size: int) -> str:
    leaves = set(range(size)).difference(*map(_upstream, range(size)))
    lines = [
        "from airflow.sdk import DAG",
        "from rustchain_airflow.operators import ControlOperator, MissionResultOperator, MissionStartOperator",
        "",
        f'with DAG(dag_id="by_hand_{size}", schedule=None, tags=["rustchain"]) as dag:',
        '    mission_start = MissionStartOperator(task_id="mission_start")',
        *(f'    s{n} = ControlOperator(task_id="s{n}", step_type="noop")' for n in range(size)),
        '    mission_result = MissionResultOperator(task_id="mission_result")',
    ]
    for n in range(size):
        upstream = [f"s{m}" for m in _upstream(n)] or ["mission_start"]
        lines.append(f"    {upstream[0] if len(upstream) == 1 else '[' + ', '.join(upstream) + ']'} >> s{n}")
    lines += [
        f"    [{', '.join(f's{n}' for n in sorted(leaves))}] >> mission_result",
        "    mission_result.as_teardown(setups=mission_start, on_failure_fail_dagrun=True)",
        "    dag.add_result(mission_result.output)",
    ]
    return "\n".join(lines) + "\n"


def _for_dag_factory(size: int) -> str:
    tasks = [
        json.dumps(
            {
                "task_id": f"s{n}",
                "operator": "rustchain_airflow.operators.ControlOperator",
                "step_type": "noop",
                "dependencies": [f"s{m}" for m in _upstream(n)],
            }
        )
        for n in range(size)
    ]
    return (
        f"factory_{size}:\n  default_args: {{owner: airflow, start_date: 2026-01-01}}\n  schedule: null\n  tasks:\n"
        + "".join(f"    - {task}\n" for task in tasks)
    )


_TIMER = """
import json, statistics, sys, time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from airflow.sdk import DAG

def load(name):
    loader = SourceFileLoader(name.removesuffix(".py"), name)
    module = module_from_spec(spec_from_loader(loader.name, loader))
    began = time.process_time()
    loader.exec_module(module)
    took = time.process_time() - began
    (dag,) = [value for value in vars(module).values() if isinstance(value, DAG)]
    return took, len([task for task in dag.task_ids if task.startswith("s")])

rounds, warm_up, *groups = json.loads(sys.argv[1])
for name in warm_up:
    load(name)
seconds = {}
for names in groups:
    for number in range(rounds + 1):  # the first one writes the bytecode, as Airflow's own loader does
        for name in names:
            took, steps = load(name)
            assert f"_{steps}." in name, (name, steps)
            if number:
                seconds.setdefault(name, []).append(took)
print("medians:", json.dumps({name: statistics.median(each) for name, each in seconds.items()}))
"""


def _imports(folder: Path, *groups: list[str]) -> dict[str, float]:
    """Processor seconds of each file's import, in one process that has imported a small one of each kind before."""
    warm_up = [f"{form}_10.py" for form in ("compiled", "by_hand", "factory")]
    ran = subprocess.run(
        [PYTHON, "-c", _TIMER, json.dumps([ROUNDS, warm_up, *groups])],
        cwd=folder,
        env={**environment(), "AIRFLOW_HOME": str(folder / "airflow")},
        capture_output=True,
        text=True,
        check=False,
    )
    printed = [line for line in ran.stdout.splitlines() if line.startswith("medians:")]
    if not printed:
        raise RuntimeError(f"importing the DAGs failed: {ran.stderr[-2000:]}")
    seconds: dict[str, float] = json.loads(printed[0].removeprefix("medians:"))
    return seconds
