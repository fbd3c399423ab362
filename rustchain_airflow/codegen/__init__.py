"""Writes a plan as the source text of an Airflow DAG."""
