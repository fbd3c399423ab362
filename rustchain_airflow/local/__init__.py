"""Runs a plan on this machine, without Airflow."""
