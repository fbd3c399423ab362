"""Every mission in this folder and below, as an Airflow DAG of its own.

Where bundles can be configured, `MissionDagBundle` needs no such file.
"""

from rustchain_airflow.provider.loader import load_missions

load_missions(globals())
