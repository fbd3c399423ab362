"""``python -m rustchain_airflow``."""

from rustchain_airflow.cli import main

main()
