"""The compiled DAG reads as if written by hand, and no mission text becomes code in it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustchain_airflow.check import plan_mission
from rustchain_airflow.codegen.airflow_dag import Uncompilable, generate
from rustchain_airflow.codegen.compile import compile_mission
from rustchain_airflow.mission import Mission
from rustchain_airflow.plan import Edge, Input, Plan, PlannedStep
from rustchain_airflow.step_type import StepType

GOLDEN = Path(__file__).parents[1] / "golden"
MISSIONS = sorted(GOLDEN.glob("*.yaml"), key=lambda path: path.name)
RUFF = Path(sys.executable).with_name("ruff")

HOSTILE = [
    '"""', "'''", '\\"""', "\\", "a\nb", "\r\n", "\0", "\u202e evil", "\u2028", "{% raw %}", "{{ ti }}",
    "x.md",
    '"); __import__("os").system("true")  #',
    "\\N{DASH}", '"', "'", "# noqa", "日本" * 40, "word " * 60, "x" * 300, " ",
]  # fmt: skip


def ruff(*arguments: str, file: Path) -> str:
    """What an unconfigured ruff says, in a folder where our package is one that is installed."""
    installed = ["--config", 'lint.isort.known-third-party = ["rustchain_airflow"]']
    command = [RUFF, *arguments, "--isolated", *(installed if arguments[0] == "check" else []), str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def mission(*steps: dict[str, Any], **rest: Any) -> Plan:
    given = [{"step_type": "noop", **step} for step in steps]
    return plan_mission(Mission.model_validate({"name": "m", "version": "1.0", "steps": given, **rest}))


def code(plan: Plan, **options: Any) -> str:
    return generate(plan, dag_id="m", version="1", **options)


@pytest.mark.parametrize("path", MISSIONS, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    """A mission compiles to its golden file, byte for byte. `UPDATE_GOLDEN=1` writes the files anew."""
    source, golden = compile_mission(path), path.with_suffix(".py")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(source, encoding="utf-8")
    assert source == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MISSIONS, ids=lambda path: path.stem)
def test_golden_is_clean(path: Path) -> None:
    """The golden files are what `ruff format` would write, and have no finding of E, F, I or AIR."""
    assert ruff("format", "--diff", file=path.with_suffix(".py")) == ""
    # AIR001 wants variables named like their tasks, which "my-report" and "numbers.settled" cannot have.
    ignored = ["--ignore", "AIR001"] if "my-report" in path.read_text() else []
    assert ruff("check", "--select", "E,F,I,AIR", *ignored, file=path.with_suffix(".py")) == ""


def test_same_plan_same_text() -> None:
    """Nothing but the plan and the compiler's version is in the text: no time, no path."""
    first, second = (compile_mission(GOLDEN / "nightly_report.yaml") for _ in range(2))
    assert first == second
    assert str(GOLDEN) not in first


@pytest.mark.parametrize("table", [False, True], ids=["statements", "table"])
def test_hostile_text_stays_text(tmp_path: Path, table: bool) -> None:
    """Whatever a field of a mission holds, the file parses, is formatted, and calls nothing it should not."""
    steps = tuple(
        PlannedStep(
            id=f"step{number}",
            name=text,
            step_type=StepType.CREATE_FILE,
            position=number,
            parameters={text: text, "nested": {text: [text]}},
            edges=(Edge(f"step{number - 1}"),) if number else (),
            outputs={text: text},
            airflow={"queue": text, "outlets": [text], "executor": text},
        )
        for number, text in enumerate(HOSTILE)
    )
    for number, text in enumerate(HOSTILE):
        plan = Plan(
            name=text,
            version=text,
            description=text,
            steps=steps,
            config={text: text},
            variables={text: text},
            inputs=(Input(text, default=text, description=text, enum=(text,)),),
            airflow={"doc_md": text, "owner": text, "tags": [text], "pool": text, "params": {text: text}},
            source_name=text,
            source_digest="ab" * 32,
        )
        for variant in (plan, replace(plan, airflow={})):
            source = code(variant, table=table)
            allowed = {"DAG", "Asset", "Param", "FileOperator", "MissionStartOperator", "MissionResultOperator"}
            called = {
                node.func.id
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert called <= allowed | {"build_mission"}
            file = tmp_path / f"hostile{number}.py"
            file.write_text(source, encoding="utf-8")
            assert ruff("format", "--diff", file=file) == ""
            assert ruff("check", "--select", "F,I", file=file) == ""


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.randoms(use_true_random=False))
def test_every_edge_once(size: int, random_: Any) -> None:
    """The lines at the end say every dependency of the mission exactly once, and nothing else."""
    steps = [
        {"id": f"s{n}", "depends_on": [f"s{m}" for m in range(n) if random_.random() < 3 / size]} for n in range(size)
    ]
    tree = ast.parse(code(mission(*steps)))
    wanted = {(upstream, step["id"]) for step in steps for upstream in step["depends_on"] or ["mission_start"]}
    inner = {upstream for upstream, _ in wanted}
    wanted |= {(step["id"], "mission_result") for step in steps if step["id"] not in inner}
    found: list[tuple[str, str]] = []

    def ends(node: ast.expr) -> list[str]:
        if isinstance(node, ast.BinOp):
            before, after = ends(node.left), ends(node.right)
            found.extend((first, second) for first in before for second in after)
            assert len(before) == 1 or len(after) == 1, "a list cannot be shifted into a list"
            return after
        if isinstance(node, ast.List):
            return [name for item in node.elts for name in ends(item)]
        assert isinstance(node, ast.Name)
        return [node.id]

    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.BinOp):
            ends(node.value)
    assert sorted(found) == sorted(wanted)


def test_only_what_differs_is_said() -> None:
    """A mission without settings compiles to operators without settings."""
    source = code(mission({"id": "a", "name": "a"}))
    for word in (
        "default_args",
        "retries",
        "timeout",
        "priority",
        "pool",
        "params",
        "catchup",
        "bindings",
        "doc=",
        "fail_fast",
    ):
        assert word not in source


def test_a_step_overrides_only_where_it_differs() -> None:
    """Policy that most steps share stands in default_args; a step says what is different about it."""
    source = code(
        mission(
            {"id": "a"},
            {"id": "b", "retry_attempts": 0},
            {"id": "c"},
            config={"retry_attempts": 2, "retry_delay_ms": 1000},
        )
    )
    assert 'default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}' in source
    assert source.count("retries") == 2
    assert "retries=0" in source


@pytest.mark.parametrize(
    ("steps", "rule", "gates"),
    [
        ([{"id": "a", "continue_on_error": True}, {"id": "b", "depends_on": ["a"]}], 1, 0),
        ([{"id": "a", "continue_on_error": True}, {"id": "s"}, {"id": "b", "depends_on": ["a", "s"]}], 1, 1),
        (
            [
                {"id": "a", "continue_on_error": True},
                {"id": "s"},
                {"id": "b", "depends_on": ["a", "s"]},
                {"id": "c", "depends_on": ["s", "a"]},
                {"id": "d", "depends_on": ["a"]},
            ],
            2,
            1,
        ),
        ([{"id": "a"}, {"id": "b", "depends_on": ["a"]}], 0, 0),
    ],
    ids=["alone", "among others", "a gate is shared", "no tolerance"],
)
def test_tolerance_is_a_trigger_rule(steps: list[dict[str, Any]], rule: int, gates: int) -> None:
    """A tolerated failure alone upstream is a trigger rule; among others it is one gate that all of them share."""
    source = code(mission(*steps))
    assert source.count('trigger_rule="one_done"') == rule
    assert source.count("EmptyOperator(") == gates


@pytest.mark.parametrize(
    ("step_id", "variable"),
    [("a-b", "a_b"), ("1st", "step_1st"), ("class", "class_"), ("dag", "dag_"), ("DAG", "DAG_"), ("a.b", "a_b")],
)
def test_variables(step_id: str, variable: str) -> None:
    """A task's variable is named like the task, as far as Python and the file's own names allow."""
    assert f"    {variable} = ControlOperator(" in code(mission({"id": step_id}))


def test_ids_of_our_own_tasks_give_way() -> None:
    """Steps called like the tasks that every mission has keep their ids."""
    source = code(
        mission(
            {"id": "mission_start"},
            {"id": "mission_result", "continue_on_error": True},
            {"id": "mission_result.settled"},
            {"id": "x", "depends_on": ["mission_result", "mission_start"]},
        )
    )
    for task_id in ("mission_start_2", "mission_result_2", "mission_result.settled_2"):
        assert f'task_id="{task_id}"' in source


@pytest.mark.parametrize(
    ("airflow", "said"),
    [
        ({"schedule": "@daily"}, 'schedule="@daily"'),
        ({"schedule": "0 5 * * *"}, 'schedule="0 5 * * *"'),
        (
            {"schedule": "0 5 * * *", "timezone": "Europe/Berlin"},
            'schedule=CronTriggerTimetable("0 5 * * *", timezone="Europe/Berlin")',
        ),
        ({"schedule": ["a", "s3://b/c"]}, 'schedule=[Asset("a"), Asset(uri="s3://b/c")]'),
        ({"schedule": {"assets": ["a"]}}, 'schedule=[Asset("a")]'),
        (
            {"schedule": {"timetable": "CronDataIntervalTimetable", "cron": "0 5 * * *"}},
            'schedule=CronDataIntervalTimetable("0 5 * * *", timezone="UTC")',
        ),
        ({"start_date": "2026-01-31"}, 'start_date=pendulum.datetime(2026, 1, 31, tz="UTC")'),
        ({"end_date": "2026-01-31T06:30:00+02:00"}, "end_date=pendulum.datetime(2026, 1, 31, 6, 30, tz=2.0)"),
        ({"catchup": True}, "catchup=True"),
        ({"priority": 9}, '"mission_priority": 9'),
        ({"doc_md": "README.md"}, 'doc_md="README.md\\n"'),
    ],
)
def test_airflow_settings(airflow: dict[str, Any], said: str) -> None:
    """Each key under ``airflow:`` is the argument an Airflow user would write (semantics §10.4)."""
    assert said in code(mission({"id": "a"}, airflow=airflow))


@pytest.mark.parametrize(
    "airflow",
    [
        {"schedule": "every day"}, {"schedule": "@dayly"}, {"schedule": 5}, {"start_date": "tomorrow"},
        {"start_date": 5},
        {"timezone": "Middle/Earth"}, {"timezone": "../../etc/passwd"}, {"catchup": "yes"}, {"max_active_runs": 0},
        {"tags": [1]}, {"schedule": {"timetable": "os.system", "cron": "0 5 * * *"}}, {"pool": 5}, {"params": []},
    ],
    ids=str,
)  # fmt: skip
def test_what_airflow_cannot_be_told(airflow: dict[str, Any]) -> None:
    """A value Airflow could not use is refused, at the key that says it."""
    with pytest.raises(Uncompilable) as caught:
        code(mission({"id": "a"}, airflow=airflow))
    assert caught.value.path[0] == "airflow"
    assert caught.value.path[-1] in ("cron", "timetable", *airflow)


def test_required_input() -> None:
    """An input that every run must be given has no default; a mission with a schedule cannot have one."""
    needed = {"parameters": [{"name": "day", "type": "string", "required": True}]}
    assert 'params={"day": Param(type="string")}' in code(mission({"id": "a"}, **needed))
    with pytest.raises(Uncompilable, match='needs a value for "day"'):
        code(mission({"id": "a"}, airflow={"schedule": "@daily"}, **needed))


def test_finding_stands_where_the_mission_says_it(tmp_path: Path) -> None:
    """What Airflow cannot be told is a finding with line and column."""
    from rustchain_airflow.check import InvalidMission

    path = tmp_path / "m.yaml"
    path.write_text("name: m\nairflow:\n  schedule: every day\nsteps:\n  - {id: a, step_type: noop}\n")
    with pytest.raises(InvalidMission) as caught:
        compile_mission(path)
    (finding,) = caught.value.diagnostics
    assert finding.code == "RC602"
    assert (finding.span.line, finding.span.column) == (3, 13)
