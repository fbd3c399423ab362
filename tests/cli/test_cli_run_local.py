"""``run-local``: what a mission is given, what it prints, what it keeps to itself, and how it is planned."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from cli_program import Call, Program

ROOT = Path(__file__).resolve().parents[2]
SPECIFICATION = ROOT / "dags" / "error_handling_workflow.yaml"

TELL = "steps: [{id: a, step_type: noop, parameters: {message: '%s'}}]"

PLAN = """\
Robust Error Handling (version 1.0)
at most 4 steps at a time, fail_fast off

wave 1
  risky_operation  command
      4 attempts, 1000 ms apart, 300 s each, its failure is tolerated

wave 2
  fallback_operation  create_file
      4 attempts, 1000 ms apart, 300 s each
      after risky_operation (even if it fails)
      writes fallback.txt

wave 3
  always_execute  create_file
      4 attempts, 1000 ms apart, 300 s each
      after fallback_operation
      writes completion.log
"""


def told(stdout: str) -> object:
    """The message of the only step, of a result that must be all there is on standard output."""
    return json.loads(stdout)["step_results"]["a"]["output"]["message"]


def test_json_is_all(program: Program) -> None:
    """With --output json standard output is one MissionResult (semantics §6.3), even with findings and logs."""
    ended = program("--debug", "run-local", "-", "--output", "json", stdin=TELL % "hello" + "\ncolour: red\n")
    assert ended.returncode == 0
    result = json.loads(ended.stdout)
    assert list(result) == ["status", "step_results", "total_duration_ms", "timestamp", "mission", "run_id"]
    assert list(result["step_results"]["a"]) == ["step_id", "status", "output", "error", "duration_ms", "attempts"]
    assert "colour" in ended.stderr


def test_text_is_a_line_each(call: Call) -> None:
    """Piped, every step is told in plain lines, and the last line is the verdict."""
    steps = "steps: [{id: a, step_type: command, continue_on_error: true, parameters: {command: 'false'}}, %s]"
    result = call("run-local", "-", stdin=steps % "{id: b, step_type: noop, depends_on: [a]}")
    first, *rest, last = result.stdout.splitlines()
    assert ": 2 steps, run " in first
    assert [line.split()[:2] for line in rest] == [
        ["started", "a"],
        ["failed", "a"],
        ["started", "b"],
        ["success", "b"],
    ]
    assert last.startswith("Completed in ")
    assert last.endswith(": 1 success, 1 failed")


CONTROL = r"""
steps:
  - id: a
    step_type: command
    parameters: {command: 'printf "\033[31mred\007" >&2; exit 1', shell: true}
"""


def test_no_escape_codes(program: Program) -> None:
    """Output without a terminal has no control characters, even where the mission's programs and findings do."""
    for mission in (
        CONTROL,
        'steps: [{id: a, step_type: "n\\eop"}]',
        'name: "\\e[31m"\nsteps: [{id: a, step_type: noop}]',
    ):
        ended = program("run-local", "-", stdin=mission, env={"TERM": "xterm-256color"})
        shown = (ended.stdout + ended.stderr).replace("\n", "")
        assert shown.isprintable(), shown
    planned = program("run-local", "-", "--dry-run", stdin='name: "\\e[31m"\nsteps: [{id: a, step_type: noop}]')
    assert planned.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--var", "who=me"], "me"),
        (["--var", "who="], ""),
        (["--var", "who=a=b"], "a=b"),
        (["--var", "who=one", "--var", "who=two"], "two"),
        (["--var", "who={{env.HOME}}"], "{{env.HOME}}"),
        (["--var", "who=Zoë 🎈"], "Zoë 🎈"),
    ],
)
def test_variables(call: Call, arguments: list[str], expected: str) -> None:
    """--var gives a context variable: all after the first = sign, the last of one name, never looked into again."""
    result = call("run-local", "-", "--output", "json", *arguments, stdin=TELL % "{{who}}")
    assert result.exit_code == 0
    assert told(result.stdout) == expected


INPUT = "parameters: [{name: n, type: integer, required: true, maximum: 9}]\n" + TELL % "{{n}}"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "give it with --var n=..."),
        (["--var", "n=3"], 0, ""),
        (["--var", "n=ten"], 2, '"n" must be an integer'),
        (["--var", "n=10"], 2, '"n" must be at most 9'),
    ],
)
def test_inputs(call: Call, arguments: list[str], code: int, said: str) -> None:
    """A mission's declared input is asked for, read as its type, and held to its limits before anything runs."""
    result = call("run-local", "-", "--output", "json", *arguments, stdin=INPUT)
    assert result.exit_code == code
    assert said in result.stderr
    assert bool(result.stdout) is (code == 0)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("WHO=me", "me"),
        ("export WHO='me too'", "me too"),
        ('# a comment\n\nWHO="a # b"  # c', "a # b"),
        ("WHO=${HOME}", "${HOME}"),
        ("WHO", ""),
        ("\ufeffWHO=me", "me"),
        ("WHO=one\nWHO=two", "two"),
    ],
)
def test_env_file(call: Call, here: Path, line: str, expected: str) -> None:
    """--env-file adds to the environment of the steps, and wins over what was there."""
    (here / "given.env").write_text(line + "\n", encoding="utf-8")
    mission = TELL % "{{env.WHO}}"
    result = call("run-local", "-", "--output", "json", "--env-file", "given.env", stdin=mission, env={"WHO": "before"})
    assert result.exit_code == 0, result.stderr
    assert told(result.stdout) == expected


QUERY = "steps: [{id: a, step_type: sql_query, parameters: {connection: books, query: SELECT title FROM book}}]"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("connections.yaml", "books: sqlite:///books.db\n"),
        ("connections.json", '{"books": {"conn_type": "sqlite", "host": "books.db"}}'),
        ("connections.env", "books=sqlite:///books.db\n"),
    ],
)
def test_connections(program: Program, here: Path, name: str, content: str) -> None:
    """--connections takes each format of ``airflow connections import``."""
    database = sqlite3.connect(here / "books.db")
    database.executescript("CREATE TABLE book (title TEXT); INSERT INTO book VALUES ('Emma');")
    database.close()
    (here / name).write_text(content)
    ended = program("run-local", "-", "--output", "json", "--connections", name, stdin=QUERY)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads(ended.stdout)["step_results"]["a"]["output"]["rows"] == [{"title": "Emma"}]


SECRETIVE = """
steps:
  - {id: show, step_type: command, parameters: {command: echo, args: ["it is {{env.API_TOKEN}}"]}}
  - {id: fail, step_type: command, continue_on_error: true, depends_on: [show],
     parameters: {command: cat, args: ["no/{{env.API_TOKEN}}"]}}
  - {id: a, step_type: noop, depends_on: [fail], parameters: {message: "{{show.output.stdout}}"}}
"""


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_secrets(program: Program, here: Path, output: str, source: str) -> None:
    """A secret-looking value of the environment is in no output: not in text, not in JSON, not in debug logs."""
    secret = "correct-horse-battery"
    (here / "given.env").write_text(f"API_TOKEN={secret}\n" if source == "env file" else "")
    ended = program(
        *["--debug", "run-local", "-", "--output", output, "--env-file", "given.env"],
        stdin=SECRETIVE,
        env={"API_TOKEN": secret} if source == "environment" else {},
    )
    assert ended.returncode == 0, ended.stderr
    assert secret not in ended.stdout + ended.stderr
    assert "no/***" in ended.stdout


def test_workspace(call: Call, here: Path) -> None:
    """--workspace is where relative paths start; it is made when it is not there, and nothing appears beside it."""
    mission = "steps: [{id: a, step_type: create_file, parameters: {path: made.txt, content: x}}]"
    assert call("run-local", "-", "--workspace", "new/work", stdin=mission).exit_code == 0
    assert (here / "new" / "work" / "made.txt").read_text() == "x"
    assert [path.name for path in here.iterdir()] == ["new"]


def test_plan_as_text(call: Call, here: Path) -> None:
    """--dry-run prints the plan of the specification's error-handling mission so, and runs nothing."""
    result = call("run-local", str(SPECIFICATION), "--dry-run", "--max-concurrent", "4")
    assert (result.exit_code, result.stdout) == (0, PLAN)
    assert list(here.iterdir()) == []


def test_plan_as_json(call: Call, here: Path) -> None:
    """--dry-run --output json is the same plan as data."""
    result = call("run-local", str(SPECIFICATION), "--dry-run", "--output", "json", "--max-concurrent", "4")
    plan = json.loads(result.stdout)
    assert [[step["id"] for step in wave] for wave in plan["waves"]] == [
        ["risky_operation"],
        ["fallback_operation"],
        ["always_execute"],
    ]
    fallback = plan["waves"][1][0]
    assert fallback["depends_on"] == [{"id": "risky_operation", "tolerates_failure": True, "inferred": False}]
    assert (fallback["attempts"], fallback["retry_delay_ms"], fallback["timeout_seconds"]) == (4, 1000, 300)
    assert fallback["touches"] == [{"access": "write", "path": "fallback.txt"}]
    assert (plan["max_concurrent_steps"], plan["fail_fast"]) == (4, False)
    assert list(here.iterdir()) == []


def test_plan_of_references(call: Call) -> None:
    """The plan says what a step refers to, and which dependency it has only because of that."""
    mission = """
steps:
  - {id: a, step_type: noop, parameters: {message: "{{env.HOME}}"}}
  - {id: b, step_type: noop, parameters: {message: "{{a.output.message}}"}}
"""
    result = call("run-local", "-", "--dry-run", stdin=mission)
    assert "    uses env.HOME\n" in result.stdout
    assert "    after a (because of a reference)\n" in result.stdout
    assert "    uses a.output.message\n" in result.stdout
