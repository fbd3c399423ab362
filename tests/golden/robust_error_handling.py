"""Robust Error Handling

Compiled by rustchain-airflow 0.1.0 from robust_error_handling.yaml (sha256 43cd6184).
Edit the mission, not this file: the next `rustchain-airflow compile` overwrites it.
"""

from datetime import timedelta

from airflow.sdk import DAG
from rustchain_airflow.operators import (
    ControlOperator,
    FileOperator,
    MissionResultOperator,
    MissionStartOperator,
)

with DAG(
    dag_id="robust_error_handling",
    dag_display_name="Robust Error Handling",
    doc_md=__doc__,
    schedule=None,
    default_args={
        "fail_fast": False,
        "retries": 3,
        "retry_delay": timedelta(seconds=1),
    },
    tags=["rustchain"],
) as dag:
    mission_start = MissionStartOperator(task_id="mission_start")

    risky_operation = ControlOperator(
        task_id="risky_operation",
        task_display_name="Operation That Might Fail",
        step_type="command",
        parameters={"command": "test", "args": ["-f", "nonexistent_file.txt"]},
        continue_on_error=True,
    )

    fallback_operation = FileOperator(
        task_id="fallback_operation",
        task_display_name="Fallback When Primary Fails",
        trigger_rule="one_done",  # risky_operation may fail: continue_on_error
        step_type="create_file",
        parameters={"path": "fallback.txt", "content": "Fallback executed"},
    )

    always_execute = FileOperator(
        task_id="always_execute",
        task_display_name="Critical Final Step",
        step_type="create_file",
        parameters={
            "path": "completion.log",
            "content": "Mission attempted completion",
        },
    )

    mission_result = MissionResultOperator(task_id="mission_result")

    mission_start >> risky_operation >> fallback_operation >> always_execute
    always_execute >> mission_result

    mission_result.as_teardown(setups=mission_start, on_failure_fail_dagrun=True)
    dag.add_result(mission_result.output)
