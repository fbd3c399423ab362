# One line a habit. Each target makes what it needs; nothing has to be installed by hand but Python 3.11+, git and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast lint fix generate bench airflow screenshot clean

# Run the specification's error-handling mission on this machine.
demo: $(VENV)/core.stamp
	$(BIN)/rustchain-airflow run-local dags/error_handling_workflow.yaml --workspace demo
	@ls -l demo

# Everything CI runs but lint: unit, golden, conformance on both engines, house laws, a real Airflow.
test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# The tests that need no Airflow.
test-fast: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2 -m "not airflow and not system"

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.generate --check

fix: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Rewrite everything that is made from the code: docs/steps, docs/checks, docs/cli.md, the JSON Schema, golden DAGs.
generate: $(VENV)/dev.stamp
	$(BIN)/python -m tools.generate

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks

# A local Airflow on SQLite, on 127.0.0.1 only, with the missions of dags/ in it.
airflow: $(VENV)/dev.stamp
	$(BIN)/python -m tools.airflow

# The picture in the README: needs Debian's chromium.
screenshot: $(VENV)/dev.stamp
	$(BIN)/python -m tools.screenshot

clean:
	rm -rf $(VENV) .airflow demo build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt

$(VENV)/core.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -qq -c constraints.txt -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp
	$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev]'
	touch $@
