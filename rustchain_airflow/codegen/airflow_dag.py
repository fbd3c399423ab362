"""Plan to the source text of an Airflow DAG, as somebody would write it by hand."""

from __future__ import annotations

import json
import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

from rustchain_airflow.codegen.airflow_settings import Settings, Uncompilable
from rustchain_airflow.codegen.pysource import (
    WIDTH,
    Call,
    Commented,
    Name,
    comment,
    docstring,
    expression,
    one_line,
    statement,
)
from rustchain_airflow.expressions import MISSING, Reference, parse_with, strings
from rustchain_airflow.plan import DEFAULT_RETRY_DELAY_MS, DEFAULT_STEP_TIMEOUT_SECONDS, Input, Plan, PlannedStep
from rustchain_airflow.step_type import Family

__all__ = ["TABLE_FROM", "Uncompilable", "generate"]

COMPILED_BY: Final = "Compiled by rustchain-airflow"
"""What every generated file says of itself; a file without it is somebody else's."""

TABLE_FROM: Final = 300
"""Steps from which a mission is written as a table: wiring by ``>>`` costs edges times tasks."""

BACKSTOP: Final = timedelta(hours=1)
"""How much later than the mission's own limit Airflow ends the run: it would end ``mission_result`` with it."""

_DISPLAYED: Final = 250
"""Characters of a name that Airflow's database and pages have room for."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the DAG: what both forms print."""

    task_id: str
    operator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()
    remark: str | None = None


def generate(plan: Plan, *, dag_id: str | None = None, version: str, table: bool | None = None) -> str:
    """The source text of the DAG of a plan: the same text for the same plan and compiler.

    ``dag_id`` defaults to one made of the mission's name; ``version`` is the compiler's. ``table`` chooses the form:
    one statement a task, or a table of tasks; by default the number of steps decides. Raises Uncompilable.
    """
    settings = Settings(plan.airflow, ("airflow",))
    settings.timezone()
    tasks = _tasks(plan)
    dag_id = dag_id or settings.text("dag_id") or _identifier(plan.name) or "mission"
    call = _dag(plan, dag_id, settings)
    if table if table is not None else len(plan.steps) > TABLE_FROM:
        body = _table(tasks, call)
    else:
        body = _statements(tasks, call)
    return f"{_docstring(plan, version)}\n\n{_imports(body)}\n{body}"


# --- tasks ----------------------------------------------------------------------------------------


def _tasks(plan: Plan) -> list[Task]:
    """The tasks in the order of the file: start, steps (each with the gate it needs), result."""
    taken = {step.id for step in plan.steps}
    gates = {step_id: _free(f"{step_id}.settled", taken) for step_id in _gated(plan)}
    start, result = _free("mission_start", taken), _free("mission_result", taken)
    names = {step.id: step.name for step in plan.steps}
    policy = _policy(plan)
    tasks = [Task(start, "MissionStartOperator", {"task_id": start})]
    before = {start}
    for step in plan.steps:
        task = _step_task(step, policy, gates, start)
        tasks.append(task)
        before.update(task.upstream)
        if gate := gates.get(step.id):
            arguments = {
                "task_id": gate,
                "task_display_name": f"{_displayed(names[step.id])} (errors tolerated)",
                "trigger_rule": "one_done",
            }
            remark = f"{step.id} may fail: what waits for it among others waits for this gate"
            tasks.append(Task(gate, "EmptyOperator", arguments, (step.id,), remark))
            before.add(step.id)
    leaves = tuple(task.task_id for task in tasks if task.task_id not in before)
    return [*tasks, Task(result, "MissionResultOperator", {"task_id": result}, leaves)]


def _gated(plan: Plan) -> list[str]:
    """Steps whose failure somebody tolerates who also waits for others, in file order (semantics §3.2)."""
    tolerated = {
        edge.upstream for step in plan.steps for edge in step.edges if edge.tolerates_failure and len(step.edges) > 1
    }
    return [step.id for step in plan.steps if step.id in tolerated]


def _step_task(step: PlannedStep, policy: Mapping[str, Any], gates: Mapping[str, str], start: str) -> Task:
    settings = Settings(step.airflow, ("steps", step.position, "airflow"))
    arguments: dict[str, Any] = {"task_id": step.id}
    if step.name != step.id:
        arguments["task_display_name"] = _displayed(step.name)
    upstream = tuple(
        gates[edge.upstream] if edge.tolerates_failure and len(step.edges) > 1 else edge.upstream for edge in step.edges
    )
    if len(step.edges) == 1 and step.edges[0].tolerates_failure:
        arguments["trigger_rule"] = Commented("one_done", f"{step.edges[0].upstream} may fail: continue_on_error")
    arguments["step_type"] = step.step_type.value
    if step.parameters:
        arguments["parameters"] = step.parameters
    if step.bindings:
        arguments["bindings"] = {written: _spelled(meant) for written, meant in step.bindings.items()}
    if step.outputs:
        arguments["outputs"] = step.outputs
    if step.continue_on_error:
        arguments["continue_on_error"] = True
    arguments |= {name: value for name, value in _step_policy(step).items() if policy[name] != value}
    if step.attempts == 1:
        arguments.pop("retry_delay", None)
    given = {
        "pool": settings.text("pool"),
        "pool_slots": settings.integer("pool_slots", at_least=1),
        "queue": settings.text("queue"),
        "priority_weight": settings.integer("priority_weight"),
        "executor": settings.text("executor"),
        "inlets": settings.assets("inlets") or None,
        "outlets": settings.assets("outlets") or None,
    }
    arguments |= {name: value for name, value in given.items() if value is not None}
    return Task(step.id, f"{step.family.capitalize()}Operator", arguments, upstream or (start,))


def _step_policy(step: PlannedStep) -> dict[str, Any]:
    return {
        "retries": step.attempts - 1,
        "retry_delay": timedelta(milliseconds=step.retry_delay_ms),
        "execution_timeout": timedelta(seconds=step.timeout_seconds),
    }


_OPERATOR_POLICY: Final = {
    "retries": 0,
    "retry_delay": timedelta(milliseconds=DEFAULT_RETRY_DELAY_MS),
    "execution_timeout": timedelta(seconds=DEFAULT_STEP_TIMEOUT_SECONDS),
}
"""What a step's operator does when it is told nothing."""


def _policy(plan: Plan) -> dict[str, Any]:
    """What most steps have in common: said once."""
    steps = [_step_policy(step) for step in plan.steps]
    retried = [policy for policy in steps if policy["retries"]]
    return {
        "retries": _commonest((policy["retries"] for policy in steps), _OPERATOR_POLICY["retries"]),
        "retry_delay": _commonest((policy["retry_delay"] for policy in retried), _OPERATOR_POLICY["retry_delay"]),
        "execution_timeout": _commonest(
            (policy["execution_timeout"] for policy in steps), _OPERATOR_POLICY["execution_timeout"]
        ),
    }


def _commonest(values: Iterable[Any], otherwise: Any) -> Any:
    found = Counter(values).most_common(1)
    return found[0][0] if found else otherwise


def _spelled(reference: Reference) -> str:
    if reference.default is MISSING:
        return reference.path
    return f"{reference.path} | default({json.dumps(reference.default)})"


def _displayed(name: str) -> str:
    return name if len(name) <= _DISPLAYED else name[: _DISPLAYED - 1] + "…"


def _free(wanted: str, taken: set[str]) -> str:
    """The wanted id, or with a number where a step has it; taken from here on."""
    number, task_id = 1, wanted
    while task_id in taken:
        number += 1
        task_id = f"{wanted}_{number}"
    taken.add(task_id)
    return task_id


# --- the DAG's own arguments ----------------------------------------------------------------------


def _dag(plan: Plan, dag_id: str, settings: Settings) -> Call:
    arguments: dict[str, Any] = {"dag_id": dag_id}
    if plan.name != dag_id:
        arguments["dag_display_name"] = _displayed(plan.name)
    doc = settings.text("doc_md")
    # Airflow takes a text that ends in ".md" for the name of a file and shows that file.
    arguments["doc_md"] = Name("__doc__") if doc is None else doc + "\n" if doc.endswith(".md") else doc
    arguments["schedule"] = settings.schedule()
    if arguments["schedule"] is not None:
        _refuse_required_inputs(plan)
    default_args = _default_args(plan, settings)
    optional = {
        "start_date": settings.date("start_date"),
        "end_date": settings.date("end_date"),
        "catchup": settings.flag("catchup") or None,
        "max_active_runs": settings.integer("max_active_runs", at_least=1),
        "max_active_tasks": plan.max_concurrent_steps,
        "params": _params(plan, settings) or None,
        "default_args": default_args or None,
        "tags": ["rustchain", *dict.fromkeys(tag for tag in settings.texts("tags") if tag != "rustchain")],
    }
    arguments |= {name: value for name, value in optional.items() if value is not None}
    if plan.timeout_seconds is not None:
        limit = timedelta(seconds=plan.timeout_seconds)
        arguments["dagrun_timeout"] = Commented(
            limit + BACKSTOP, "a backstop: the steps keep mission_timeout themselves"
        )
    return Call("DAG", keywords=arguments, exploded=True)


def _refuse_required_inputs(plan: Plan) -> None:
    for position, declared in enumerate(plan.inputs):
        if declared.required and declared.default is None and declared.name not in plan.variables:
            message = f'a mission with a schedule starts by itself, and this one needs a value for "{declared.name}"'
            raise Uncompilable(("parameters", position), message, "give it a default, or take the schedule away")


def _default_args(plan: Plan, settings: Settings) -> dict[str, Any]:
    policy = _policy(plan)
    arguments: dict[str, Any] = {}
    if (owner := settings.text("owner")) is not None:
        arguments["owner"] = owner
    if len(plan.name) > _DISPLAYED:
        arguments["mission_name"] = plan.name
    if plan.version != "1.0":
        arguments["mission_version"] = plan.version
    if plan.config and _reads_config(plan):
        arguments["mission_config"] = plan.config
    if plan.timeout_seconds is not None:
        arguments["mission_timeout"] = timedelta(seconds=plan.timeout_seconds)
    if (priority := settings.integer("priority")) is not None:
        arguments["mission_priority"] = priority
    if not plan.fail_fast:
        arguments["fail_fast"] = False
    if policy["retries"]:
        arguments["retries"] = policy["retries"]
    if policy["retries"] or policy["retry_delay"] != _OPERATOR_POLICY["retry_delay"]:
        arguments["retry_delay"] = policy["retry_delay"]
    if policy["execution_timeout"] != _OPERATOR_POLICY["execution_timeout"]:
        arguments["execution_timeout"] = policy["execution_timeout"]
    for name in ("pool", "queue"):
        if (value := settings.text(name)) is not None:
            arguments[name] = value
    return arguments


def _reads_config(plan: Plan) -> bool:
    return any(
        reference.head == "config" for step in plan.steps for reference in (*_references(step), *step.bindings.values())
    )


def _references(step: PlannedStep) -> Iterable[Reference]:
    for _, text in strings(dict(step.parameters)):
        if (template := parse_with(text, step.bindings)) is not None:
            yield from template.references


def _params(plan: Plan, settings: Settings) -> dict[str, Any]:
    """Context variables the run can be given: they show in the trigger form (semantics §7.4)."""
    params: dict[str, Any] = dict(plan.variables)
    for declared in plan.inputs:
        params[declared.name] = _param(declared, params)
    return params | dict(settings.mapping("params"))


def _param(declared: Input, variables: Mapping[str, Any]) -> Call:
    arguments: list[Any] = []
    kind: Any = declared.type
    if declared.default is not None:
        arguments = [declared.default]
    elif not declared.required:
        arguments, kind = [None], ["null", declared.type]
    elif declared.name in variables:
        arguments = [variables[declared.name]]
    keywords: dict[str, Any] = {"type": kind}
    if declared.description is not None:
        keywords["description"] = declared.description
    if declared.enum is not None:
        keywords["enum"] = [*declared.enum, *([None] if arguments == [None] else [])]
    if declared.minimum is not None:
        keywords["minimum"] = _number(declared.minimum)
    if declared.maximum is not None:
        keywords["maximum"] = _number(declared.maximum)
    return Call("Param", arguments, keywords)


def _number(value: float) -> float:
    return int(value) if value == int(value) else value


# --- text -----------------------------------------------------------------------------------------


def _docstring(plan: Plan, version: str) -> str:
    lines = [*_wrapped(one_line(plan.name) or "Mission"), ""]
    if plan.description and plan.description.strip():
        lines += [wrapped for line in plan.description.strip().split("\n") for wrapped in _wrapped(line)]
        lines.append("")
    source = one_line(plan.source_name)
    digest = f" (sha256 {plan.source_digest[:8]})" if plan.source_digest else ""
    lines += [
        *_wrapped(f"{COMPILED_BY} {version} from {source}{digest}."),
        "Edit the mission, not this file: the next `rustchain-airflow compile` overwrites it.",
    ]
    return docstring(lines)


def _wrapped(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]


_MODULES: Final = (
    ("datetime", ("timedelta",)),
    ("airflow.providers.standard.operators.empty", ("EmptyOperator",)),
    ("airflow.sdk", ("DAG", "Asset", "CronDataIntervalTimetable", "CronTriggerTimetable", "Param")),
)
"""Where the names come from that a file may need besides the operators, in the order imports are sorted."""


def _imports(body: str) -> str:
    """Imports of what the code calls, sorted as a linter wants them."""
    used = set(_CALLED.findall(_STRINGS.sub('""', body)))
    groups: list[list[str]] = [[], []]
    if "pendulum.datetime" in used:
        groups[1].append("import pendulum")
    for module, names in _MODULES:
        if present := [name for name in names if name in used]:
            groups[module != "datetime"].append(_import(module, present))
    ours = sorted((name for name in used if name in _OPERATORS), key=str.lower)
    groups[1].append(_import("rustchain_airflow.operators", ours or ["build_mission"]))
    return "\n".join("\n".join(group) + "\n" for group in groups if group)


_STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'")
_CALLED = re.compile(r"([A-Za-z_][\w.]*)\(")


def _import(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _table(tasks: Sequence[Task], call: Call) -> str:
    rows = [(task.operator, _without_remarks(task.arguments), list(task.upstream)) for task in tasks]
    return f"{statement('TASKS = ', rows)}\n\n{statement('with ', call)} as dag:\n    build_mission(dag, TASKS)\n"


def _without_remarks(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Commented) else value for name, value in arguments.items()}


def _statements(tasks: Sequence[Task], call: Call) -> str:
    variables = _variables(task.task_id for task in tasks)
    blocks = []
    for task in tasks:
        exploded = len(task.arguments) > 1
        creation = Call(task.operator, keywords=task.arguments, exploded=exploded)
        remark = comment(task.remark, indent=4) if task.remark else []
        blocks.append("\n".join([*remark, statement(f"{variables[task.task_id]} = ", creation, indent=4)]))
    start, result = variables[tasks[0].task_id], variables[tasks[-1].task_id]
    edges = [f"    {line}" for line in _edges(tasks, variables)]
    teardown = Call(f"{result}.as_teardown", keywords={"setups": Name(start), "on_failure_fail_dagrun": True})
    ending = [statement("", teardown, indent=4), f"    dag.add_result({result}.output)"]
    return f"{statement('with ', call)} as dag:\n" + "\n\n".join([*blocks, "\n".join(edges), "\n".join(ending)]) + "\n"


def _variables(task_ids: Iterable[str]) -> dict[str, str]:
    """A variable a task, named like it wherever that is a name and free."""
    imported = {name for _, names in _MODULES for name in names}
    taken = {"dag", "pendulum", "__doc__", *imported, *_OPERATORS, *keyword.kwlist}
    variables = {}
    for task_id in task_ids:
        name = re.sub(r"\W", "_", task_id, flags=re.ASCII)
        if not name.isidentifier():
            name = f"step_{name}"
        if name in taken:
            name = _free(f"{name}_", taken) if f"{name}_" in taken else f"{name}_"
        taken.add(name)
        variables[task_id] = name
    return variables


_OPERATORS: Final = frozenset(f"{family.capitalize()}Operator" for family in Family) | {
    "MissionStartOperator",
    "MissionResultOperator",
}


def _edges(tasks: Sequence[Task], variables: Mapping[str, str]) -> list[str]:
    """Every edge once: as lines where tasks follow each other, as lists where ways part or meet."""
    place = {task.task_id: position for position, task in enumerate(tasks)}
    followers: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        if task.upstream:
            followers.setdefault(tuple(sorted(task.upstream, key=place.__getitem__)), []).append(task.task_id)
    # What meets in one task is a link of its own for each such task; what one task parts into is one link.
    links = [
        (before, targets)
        for before, after in followers.items()
        for targets in ([tuple(after)] if len(before) == 1 else [(task_id,) for task_id in after])
    ]
    waiting: dict[tuple[str, ...], list[int]] = {}
    for number, (before, _) in enumerate(links):
        waiting.setdefault(before, []).append(number)
    ends = {targets for _, targets in links}
    done: set[int] = set()
    chains = []
    # Lines begin where nothing leads to, so that each is as long as it can be.
    for number in sorted(range(len(links)), key=lambda number: links[number][0] in ends):
        if number in done:
            continue
        done.add(number)
        chain = [*links[number]]
        while following := [other for other in waiting.get(chain[-1], []) if other not in done]:
            done.add(following[0])
            chain.append(links[following[0]][1])
        chains.append(chain)
    chains.sort(key=lambda chain: [place[task_id] for group in chain[:2] for task_id in group])
    return [text for chain in chains for text in _edge_lines(chain, variables)]


def _edge_lines(chain: Sequence[tuple[str, ...]], variables: Mapping[str, str]) -> list[str]:
    """A chain of groups on as many lines as the width asks for."""
    groups = [_group(group, variables) for group in chain]
    lines = [groups[0]]
    for before, group in pairwise(groups):
        if 4 + len(lines[-1]) + len(" >> ") + len(group) <= WIDTH:
            lines[-1] += f" >> {group}"
        elif lines[-1] == before:
            lines[-1] = f"{before} >> {group}"
        else:
            lines.append(f"{before} >> {group}")
    return [line if len(line) + 4 <= WIDTH else _broken(line) for line in lines]


def _broken(edge: str) -> str:
    """One edge that is too long for a line: a list an item a line, names beyond that as a call."""
    before, after = edge.split(" >> ")
    many, one = (before, after) if before.startswith("[") else (after, before)
    if len(one) > WIDTH - 16 or not many.startswith("["):
        call = Call(f"{one}.set_{'up' if many == before else 'down'}stream", [_names(many)], exploded=True)
        return statement("", call, indent=4).lstrip()
    listed = expression(_names(many), indent=4, column=WIDTH)
    return f"{listed} >> {after}" if many == before else f"{before} >> {listed}"


def _names(group: str) -> Any:
    return [Name(name) for name in group[1:-1].split(", ")] if group.startswith("[") else Name(group)


def _group(group: Sequence[str], variables: Mapping[str, str]) -> str:
    names = [variables[task_id] for task_id in group]
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _identifier(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:200]
