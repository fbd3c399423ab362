"""Data Processing Pipeline

Extract, transform, and analyze sales data

Compiled by rustchain-airflow 0.1.0 from data_processing_pipeline.yaml (sha256
32843536).
Edit the mission, not this file: the next `rustchain-airflow compile` overwrites it.
"""

from datetime import timedelta

from airflow.sdk import DAG
from rustchain_airflow.operators import (
    AiOperator,
    DatabaseOperator,
    DataOperator,
    MissionResultOperator,
    MissionStartOperator,
)

with DAG(
    dag_id="data_processing_pipeline",
    dag_display_name="Data Processing Pipeline",
    doc_md=__doc__,
    schedule=None,
    default_args={"mission_timeout": timedelta(minutes=10)},
    tags=["rustchain"],
    # a backstop: the steps keep mission_timeout themselves
    dagrun_timeout=timedelta(minutes=70),
) as dag:
    mission_start = MissionStartOperator(task_id="mission_start")

    extract_data = DatabaseOperator(
        task_id="extract_data",
        task_display_name="Extract Sales Data",
        step_type="sql_query",
        parameters={
            "connection": "sales_db",
            "query": "SELECT * FROM sales WHERE date >= '2024-01-01'",
        },
    )

    transform_data = DataOperator(
        task_id="transform_data",
        task_display_name="Transform Data Format",
        step_type="csv_process",
        parameters={
            "input_file": "sales_raw.csv",
            "output_file": "sales_clean.csv",
            "operations": ["normalize", "validate"],
        },
    )

    analyze_trends = AiOperator(
        task_id="analyze_trends",
        task_display_name="AI Trend Analysis",
        step_type="llm",
        parameters={
            "provider": "openai",
            "model": "gpt-4",
            "prompt": "Analyze sales trends in the provided data",
        },
    )

    mission_result = MissionResultOperator(task_id="mission_result")

    mission_start >> extract_data >> transform_data >> analyze_trends >> mission_result

    mission_result.as_teardown(setups=mission_start, on_failure_fail_dagrun=True)
    dag.add_result(mission_result.output)
