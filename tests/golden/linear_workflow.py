"""File Processing Pipeline

Compiled by rustchain-airflow 0.1.0 from linear_workflow.yaml (sha256 5ec27ec0).
Edit the mission, not this file: the next `rustchain-airflow compile` overwrites it.
"""

from airflow.sdk import DAG
from rustchain_airflow.operators import (
    FileOperator,
    MissionResultOperator,
    MissionStartOperator,
)

with DAG(
    dag_id="linear_workflow",
    dag_display_name="File Processing Pipeline",
    doc_md=__doc__,
    schedule=None,
    tags=["rustchain"],
) as dag:
    mission_start = MissionStartOperator(task_id="mission_start")

    create_input = FileOperator(
        task_id="create_input",
        task_display_name="Create Input File",
        step_type="create_file",
        parameters={"path": "input.txt", "content": "Hello, World!"},
    )

    process_file = FileOperator(
        task_id="process_file",
        task_display_name="Process File Content",
        step_type="edit_file",
        parameters={"path": "input.txt", "content": "Processed: Hello, World!"},
    )

    validate_output = FileOperator(
        task_id="validate_output",
        task_display_name="Validate Processing",
        step_type="read_file",
        parameters={"path": "input.txt"},
    )

    mission_result = MissionResultOperator(task_id="mission_result")

    mission_start >> create_input >> process_file >> validate_output >> mission_result

    mission_result.as_teardown(setups=mission_start, on_failure_fail_dagrun=True)
    dag.add_result(mission_result.output)
