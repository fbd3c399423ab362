"""AI Document Processing

Compiled by rustchain-airflow 0.1.0 from ai_document_processing.yaml (sha256 e11b8d7c).
Edit the mission, not this file: the next `rustchain-airflow compile` overwrites it.
"""

from airflow.sdk import DAG
from rustchain_airflow.operators import (
    AiOperator,
    FileOperator,
    MissionResultOperator,
    MissionStartOperator,
    MlOperator,
)

with DAG(
    dag_id="ai_document_processing",
    dag_display_name="AI Document Processing",
    doc_md=__doc__,
    schedule=None,
    tags=["rustchain"],
) as dag:
    mission_start = MissionStartOperator(task_id="mission_start")

    load_document = FileOperator(
        task_id="load_document",
        task_display_name="Load Source Document",
        step_type="read_file",
        parameters={"path": "source_document.txt"},
    )

    generate_summary = AiOperator(
        task_id="generate_summary",
        task_display_name="AI Summarization",
        step_type="llm",
        parameters={
            "provider": "openai",
            "model": "gpt-4",
            "prompt": "Summarize the document content",
            "max_tokens": 500,
        },
    )

    extract_keywords = AiOperator(
        task_id="extract_keywords",
        task_display_name="Keyword Extraction",
        step_type="llm",
        parameters={
            "provider": "openai",
            "model": "gpt-3.5-turbo",
            "prompt": "Extract key terms and topics",
        },
    )

    generate_embeddings = MlOperator(
        task_id="generate_embeddings",
        task_display_name="Vector Embeddings",
        step_type="generate_embedding",
        parameters={
            "text_source": "file",
            "file_path": "source_document.txt",
            "model": "text-embedding-ada-002",
        },
    )

    store_in_rag = AiOperator(
        task_id="store_in_rag",
        task_display_name="Store in RAG System",
        step_type="rag_add",
        parameters={
            "id": "doc_001",
            "content_file": "source_document.txt",
            "metadata": {
                "summary": "{{summary_result}}",
                "keywords": "{{keywords_result}}",
            },
        },
        bindings={
            "{{summary_result}}": "steps.generate_summary.output",
            "{{keywords_result}}": "steps.extract_keywords.output",
        },
    )

    mission_result = MissionResultOperator(task_id="mission_result")

    mission_start >> load_document
    load_document >> [generate_summary, extract_keywords, generate_embeddings]
    [generate_summary, extract_keywords, generate_embeddings] >> store_in_rag
    store_in_rag >> mission_result

    mission_result.as_teardown(setups=mission_start, on_failure_fail_dagrun=True)
    dag.add_result(mission_result.output)
