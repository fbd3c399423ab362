# Airflow with this provider, for docker-compose.yaml.
FROM python:3.11.10-slim-bookworm

# git is what the git steps run.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

# pip compiles to bytecode what it installs; without it every task's process would take twice as long to start.
ENV PYTHONDONTWRITEBYTECODE= \
    PIP_NO_CACHE_DIR=1 \
    AIRFLOW_HOME=/opt/airflow

# First what changes seldom. Celery 5.7 does not work with this Celery provider.
COPY constraints.txt /tmp/
RUN pip install --constraint /tmp/constraints.txt \
    "apache-airflow==3.3.2" \
    "apache-airflow-providers-celery==3.26.0" \
    "celery[redis]>=5.6.3,<5.7" \
    asyncpg \
    psycopg2-binary

COPY pyproject.toml README.md /src/
COPY operators /src/operators
COPY rustchain_airflow /src/rustchain_airflow
RUN pip install --constraint /tmp/constraints.txt "/src[all]" \
    && rm -r /src

COPY --chmod=755 docker/is-healthy docker/write-password /usr/local/bin/

# New volumes take the owner of the folder they are mounted on.
RUN useradd --uid 50000 --gid 0 --home-dir /opt/airflow airflow \
    && mkdir -p /opt/airflow/missions /opt/airflow/logs /opt/airflow/auth /opt/airflow/bundles \
    && chown -R airflow:0 /opt/airflow
USER airflow
WORKDIR /opt/airflow
