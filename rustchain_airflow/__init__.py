"""Missions in YAML, run on a laptop or compiled to Airflow DAGs."""
