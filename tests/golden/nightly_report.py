"""Nightly Report

Collects the day's numbers and writes a report.

Sources may be missing; the report then says so.

Compiled by rustchain-airflow 0.1.0 from nightly_report.yaml (sha256 7bce6f1e).
Edit the mission, not this file: the next `rustchain-airflow compile` overwrites it.
"""

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, Param
from rustchain_airflow.operators import (
    ControlOperator,
    FileOperator,
    MissionResultOperator,
    MissionStartOperator,
)

with DAG(
    dag_id="nightly_report",
    dag_display_name="Nightly Report",
    doc_md=__doc__,
    schedule="30 6 * * 1-5",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    max_active_runs=1,
    max_active_tasks=4,
    params={
        "region": "eu",
        "limits": {"low": 1, "high": 9},
        "day": Param(
            "today",
            type="string",
            description="The day to report, as 2026-01-31.",
        ),
        "rows": Param(10, type="integer", minimum=1, maximum=1000),
        "style": Param(None, type=["null", "string"], enum=["short", "long", None]),
    },
    default_args={
        "owner": "data-team",
        "mission_version": "2.1",
        "mission_config": {
            "fail_fast": True,
            "retry_attempts": 2,
            "max_concurrent_steps": 4,
            "timeout_seconds": 3600.0,
            "retry_delay_ms": 500,
            "team": "data",
        },
        "mission_timeout": timedelta(hours=1),
        "retries": 2,
        "retry_delay": timedelta(milliseconds=500),
        "pool": "reports",
    },
    tags=["rustchain", "reports", "nightly"],
    # a backstop: the steps keep mission_timeout themselves
    dagrun_timeout=timedelta(hours=2),
) as dag:
    mission_start = MissionStartOperator(task_id="mission_start")

    numbers = ControlOperator(
        task_id="numbers",
        task_display_name="Count the rows",
        step_type="command",
        parameters={
            "command": "sh",
            "args": ["-c", "wc -l < /data/{{ context.region }}/{{ day }}.csv"],
        },
        continue_on_error=True,
        execution_timeout=timedelta(minutes=1),
    )

    # numbers may fail: what waits for it among others waits for this gate
    numbers_settled = EmptyOperator(
        task_id="numbers.settled",
        task_display_name="Count the rows (errors tolerated)",
        trigger_rule="one_done",
    )

    weather = ControlOperator(
        task_id="weather",
        step_type="http",
        parameters={"url": "https://example.org/weather?day={{ day }}"},
        continue_on_error=True,
        retries=0,
    )

    # weather may fail: what waits for it among others waits for this gate
    weather_settled = EmptyOperator(
        task_id="weather.settled",
        task_display_name="weather (errors tolerated)",
        trigger_rule="one_done",
    )

    note = FileOperator(
        task_id="note",
        task_display_name='Say "what" is missing',
        trigger_rule="one_done",  # numbers may fail: continue_on_error
        step_type="create_file",
        parameters={
            "path": "note-{{ config.team }}.txt",
            "content": "rows: {{ numbers.status }}",
        },
    )

    my_report = FileOperator(
        task_id="my-report",
        task_display_name="Write the report",
        step_type="create_file",
        parameters={
            "path": "report.md",
            "content": (
                "# Report of {{ day }}\n"
                "\n"
                'Rows: {{ numbers.output.stdout | default("unknown") }}\n'
                "Weather: {{ weather_result }}\n"
                "A line that is long enough that nobody would want to see it on one "
                "line of a Python file, at all.\n"
            ),
        },
        bindings={"{{ weather_result }}": "steps.weather.output.response"},
        queue="fast",
        outlets=[Asset(uri="s3://reports/nightly"), Asset("report")],
    )

    class_ = ControlOperator(
        task_id="class",
        step_type="noop",
    )

    done = ControlOperator(
        task_id="done",
        step_type="noop",
    )

    mission_result = MissionResultOperator(task_id="mission_result")

    mission_start >> [numbers, weather]
    numbers >> [numbers_settled, note]
    [numbers_settled, weather_settled, note] >> my_report >> [class_, done]
    [class_, done] >> mission_result
    weather >> weather_settled

    mission_result.as_teardown(setups=mission_start, on_failure_fail_dagrun=True)
    dag.add_result(mission_result.output)
