"""The plan decides what back ends could get wrong: attempts, time limits, tolerance, edges, bindings."""

from __future__ import annotations

from typing import Any

import pytest

from rustchain_airflow.check import check_text
from rustchain_airflow.plan import Edge, Plan


def plan_of(text: str) -> Plan:
    return check_text(text).require_plan()


@pytest.mark.parametrize(
    ("config", "step", "expected"),
    [
        ("{}", "", {"attempts": 1, "retry_delay_ms": 1000, "timeout_seconds": 300, "continue_on_error": False}),
        ("{retry_attempts: 3, retry_delay_ms: 20}", "", {"attempts": 4, "retry_delay_ms": 20}),
        ("{retry_attempts: 3}", "retry_attempts: 0,", {"attempts": 1}),
        ('{retry_attempts: "2"}', 'retry_delay_ms: "7",', {"attempts": 3, "retry_delay_ms": 7}),
        ("{timeout_seconds: 9}", "", {"timeout_seconds": 300}),
        ("{}", "timeout_seconds: 2.5,", {"timeout_seconds": 2.5}),
        ("{}", "continue_on_error: true,", {"continue_on_error": True}),
        ("{}", 'continue_on_error: "false",', {"continue_on_error": False}),
    ],
)
def test_policy(config: str, step: str, expected: dict[str, Any]) -> None:
    """The step's own setting wins over the mission's, the mission's over the default (semantics §5.1, §5.3)."""
    planned = plan_of(f"config: {config}\nsteps: [{{id: a, {step} step_type: noop}}]").steps[0]
    assert {name: getattr(planned, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("step", "timeout"),
    [
        ("parameters: {command: ls, timeout: 7}", 7),
        ('parameters: {command: ls, timeout: "7"}', 7),
        ("timeout_seconds: 3, parameters: {command: ls, timeout: 7}", 3),
    ],
)
def test_the_timeout_of_a_command_is_the_steps(step: str, timeout: float) -> None:
    """``timeout`` of a command says what timeout_seconds says, which wins (steps.md, command)."""
    assert plan_of(f"steps: [{{id: a, step_type: command, {step}}}]").steps[0].timeout_seconds == timeout


def test_on_error_continue_of_http_is_tolerance() -> None:
    """``on_error: continue`` of an http step says what continue_on_error says (steps.md, http)."""
    plan = plan_of(
        "steps: [{id: a, step_type: http, parameters: {url: 'http://x', on_error: continue}}, "
        "{id: b, step_type: noop, depends_on: [a]}]"
    )
    assert plan.steps[0].continue_on_error
    assert plan.steps[1].edges == (Edge("a", tolerates_failure=True),)


def test_edges_are_in_file_order_and_each_upstream_once() -> None:
    """What depends_on says and what references add, in file order (semantics §2.1)."""
    plan = plan_of(
        "steps: [{id: a, step_type: noop}, {id: b, step_type: noop}, "
        "{id: c, step_type: noop, continue_on_error: true}, "
        "{id: d, step_type: noop, depends_on: [b, b, a], parameters: "
        "{x: '{{ a.output.message }} {{ c.status }}', y: '{{ c.error }}'}}]"
    )
    assert plan.step("d").edges == (
        Edge("a"),
        Edge("b"),
        Edge("c", tolerates_failure=True, inferred=True),
    )


def test_bindings_hold_only_what_means_something_else() -> None:
    """A reference that says what it means needs no binding; shorthand, set variables and single braces do."""
    plan = plan_of(
        "variables: {v: 1}\n"
        "steps:\n"
        "- {id: make_report, step_type: noop, outputs: {title: message}}\n"
        "- {id: use, step_type: noop, parameters: {a: '{{ make_report.output.message }}', b: '{{ report_result }}', "
        "c: '{{ context.title }}', d: '{make_report_result}', e: '{{ v }}', f: '{{ env.HOME }}'}}\n"
    )
    assert {written: meant.path for written, meant in plan.step("use").bindings.items()} == {
        "{{ report_result }}": "steps.make_report.output.message",
        "{{ context.title }}": "steps.make_report.output.message",
        "{make_report_result}": "steps.make_report.output.message",
    }


def test_config_has_defaults_where_references_may_ask() -> None:
    """``{{ config.x }}`` reads what the mission writes, and the settings that have defaults."""
    plan = plan_of('config: {retry_attempts: "2", mine: 1}\nsteps: [{id: a, step_type: noop}]')
    assert plan.config == {"fail_fast": True, "retry_attempts": 2, "mine": 1}


def test_the_reader_of_a_variable_sees_the_last_setter_before_it() -> None:
    """Where several steps set a variable, a reader depends on the last one written before it (semantics §7.4)."""
    plan = plan_of(
        "steps:\n"
        "- {id: one, step_type: noop, outputs: {v: message}}\n"
        "- {id: read, step_type: noop, parameters: {message: '{{ v }}'}}\n"
        "- {id: two, step_type: noop, outputs: {v: message}}\n"
        "- {id: late, step_type: noop, parameters: {message: '{{ v }}'}}\n"
    )
    assert [edge.upstream for edge in plan.step("read").edges] == ["one"]
    assert [edge.upstream for edge in plan.step("late").edges] == ["two"]
