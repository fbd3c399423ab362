"""Laws of the library of step types: the specification's 51, each at home in one file, tested and documented."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from rustchain_airflow.step_type import Family, StepType
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.reference import describe

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "rustchain_airflow" / "steps"

SPECIFIED = """
create_file edit_file delete_file copy_file move_file read_file list_directory file_search
parse_json parse_yaml parse_xml validate_schema csv_process
compile_code run_tests format_code lint_code extract_functions generate_docs
git_commit git_branch git_merge git_status git_diff
process_start process_kill monitor_resources service_health compress
sql_query redis_set redis_get db_backup db_migrate
websocket_connect ftp_upload ftp_download ssh_execute ping_host
generate_embedding similarity_search model_inference
noop command http
llm tool agent chain rag_query rag_add
"""

AVAILABLE = [step_type for step_type in StepType if catalog.available(step_type)]


def test_the_51() -> None:
    """The step types are the 51 of the specification, by name."""
    assert [step_type.value for step_type in StepType] == SPECIFIED.split()
    assert len(StepType) == 51


@pytest.mark.parametrize("step_type", AVAILABLE)
def test_documented(step_type: StepType) -> None:
    """A step type has a page, a summary of one sentence, and a description for each of its parameters."""
    described = describe(step_type)
    assert described["summary"].endswith(".")
    assert (ROOT / "docs" / "steps" / f"{step_type}.md").is_file()
    assert [name for name, field in described["parameters"].items() if not field["description"]] == []


@pytest.mark.parametrize("step_type", AVAILABLE)
def test_tested(step_type: StepType) -> None:
    """A step type has a test file of its own, or shares one with others whose names begin alike."""
    tests = ROOT / "tests" / "steps" / step_type.family
    names = [step_type.value, *(step_type.rpartition("_")[0] for _ in range("_" in step_type))]
    files = [file for name in names if (file := tests / f"test_{name}.py").is_file()]
    assert files, f"no {tests}/test_{step_type}.py"
    assert step_type.value in files[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("step_type", AVAILABLE)
def test_named_alike(step_type: StepType) -> None:
    """Module, function, step type and models carry one name."""
    implementation = catalog.load(step_type)
    camel = "".join(word.capitalize() for word in step_type.split("_"))
    assert implementation.name == step_type
    assert implementation.family == step_type.family
    assert implementation.parameters.__name__ == f"{camel}Parameters"
    assert implementation.output.__name__ == f"{camel}Output"


@pytest.mark.parametrize("path", sorted(STEPS.glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_other_step_types(path: Path) -> None:
    """A module that declares a step is that step type's, in its family; all others only hold what steps share."""
    declares = any(
        isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).split("(")[0] == "step" for decorator in node.decorator_list)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )
    assert declares == (path.stem in StepType.__members__.values() and StepType(path.stem).family == path.parent.name)


@pytest.mark.airflow
@pytest.mark.parametrize("family", Family)
def test_operators(family: Family) -> None:
    """Every family has one operator, in a module of its name, that says which family it runs."""
    module = importlib.import_module(f"rustchain_airflow.operators.{family}")
    operator = getattr(module, f"{family.capitalize()}Operator")
    assert operator.family == family
    assert operator.__doc__
    assert getattr(importlib.import_module("rustchain_airflow.operators"), operator.__name__) is operator
