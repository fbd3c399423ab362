"""``python -m rustchain_airflow.cli``."""

from rustchain_airflow.cli import main

main()
