"""Parallel Data Analysis

Compiled by rustchain-airflow 0.1.0 from parallel_workflow.yaml (sha256 c54a48f9).
Edit the mission, not this file: the next `rustchain-airflow compile` overwrites it.
"""

from airflow.sdk import DAG
from rustchain_airflow.operators import (
    AiOperator,
    DataOperator,
    FileOperator,
    MissionResultOperator,
    MissionStartOperator,
)

with DAG(
    dag_id="parallel_workflow",
    dag_display_name="Parallel Data Analysis",
    doc_md=__doc__,
    schedule=None,
    max_active_tasks=3,
    tags=["rustchain"],
) as dag:
    mission_start = MissionStartOperator(task_id="mission_start")

    data_source = FileOperator(
        task_id="data_source",
        task_display_name="Generate Source Data",
        step_type="create_file",
        parameters={"path": "data.csv", "content": "name,value\ntest,100"},
    )

    analysis_a = DataOperator(
        task_id="analysis_a",
        task_display_name="Statistical Analysis",
        step_type="csv_process",
        parameters={"input_file": "data.csv", "operation": "statistics"},
    )

    analysis_b = AiOperator(
        task_id="analysis_b",
        task_display_name="Trend Analysis",
        step_type="llm",
        parameters={"provider": "openai", "prompt": "Analyze trends in the CSV data"},
    )

    analysis_c = DataOperator(
        task_id="analysis_c",
        task_display_name="Data Validation",
        step_type="validate_schema",
        parameters={"file": "data.csv", "schema_type": "csv"},
    )

    combine_results = FileOperator(
        task_id="combine_results",
        task_display_name="Combine Analysis Results",
        step_type="create_file",
        parameters={
            "path": "final_report.md",
            "content": "# Analysis Complete\nAll analysis steps finished.",
        },
    )

    mission_result = MissionResultOperator(task_id="mission_result")

    mission_start >> data_source >> [analysis_a, analysis_b, analysis_c]
    [analysis_a, analysis_b, analysis_c] >> combine_results >> mission_result

    mission_result.as_teardown(setups=mission_start, on_failure_fail_dagrun=True)
    dag.add_result(mission_result.output)
