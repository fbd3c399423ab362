"""Connections outside Airflow: what an id or a URL resolves to, and what a bad definition says."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from rustchain_airflow.runtime.connections import InvalidConnections, LocalConnections, read_file
from rustchain_airflow.steps.sdk import Connection, StepRefused

PASSWORD = "pa/ss-w0rd"

URIS = [
    "postgres://user:pa%2Fss@host:5432/db",
    "postgresql://user@host/db",
    "postgresql://host",
    "mysql://user:pass@host:3306/db?charset=utf8mb4&ssl=true",
    "my-own-type://host",
    "google-cloud-platform://?extra__project=p",
    "redis://:secret@cache:6379/2",
    "rediss://cache",
    "sqlite:///folder/file.db",
    "sqlite:////absolute/file.db",
    "sqlite://",
    "http://user:pass@host/path%2Fto?verify=false&n=1&empty=",
    "http://https://host:8443",
    "http://https://user:pass@host/schema",
    "http://http://host",
    "Postgres://HOST/Db",
    "postgres://user:@host",
    "postgres://user@/db",
    "postgres://%2Fvar%2Frun%2FPG/db",
    "postgres://us%40er:p%3A%40ss@host/d%20b",
    "ftp://host/?__extra__=%7B%22a%22%3A+%7B%22b%22%3A+%5B1%2C+2%5D%7D%7D",
    "ftp://host?a=1&a=2",
    "ssh://[::1]:22",
    "aws://key:se+cret@/?region_name=eu",
]

JSONS: list[dict[str, Any]] = [
    {"conn_type": "postgresql", "host": "h", "login": "u", "password": "p", "schema": "d", "port": 5432},
    {"conn_type": "my-own", "port": "99"},
    {"conn_type": "http", "host": "https://h", "extra": {"timeout": 3, "nested": {"a": None}}},
    {"conn_type": "http", "extra": '{"timeout": 3}'},
    {"conn_type": "http", "extra": ""},
    {"conn_type": "sqlite", "schema": "file.db", "description": "a file"},
    {"conn_type": "http", "password": "", "login": ""},
]


def fields(connection: Any) -> dict[str, Any]:
    """Airflow's or our connection by field, where empty text is the same as nothing."""
    if isinstance(connection, Connection):
        kind, database, extra = connection.kind, connection.database, connection.extra
    else:
        kind, database, extra = connection.conn_type, connection.schema, connection.extra_dejson
    return {
        "kind": kind,
        "host": connection.host or None,
        "port": connection.port,
        "login": connection.login or None,
        "password": connection.password or None,
        "database": database or None,
        "extra": dict(extra or {}),
    }


def of_environment(value: str) -> Connection:
    return LocalConnections({"AIRFLOW_CONN_X": value}).resolve("x")


@pytest.mark.airflow
@pytest.mark.parametrize("uri", URIS)
def test_a_uri_in_the_environment_means_what_it_means_to_airflow(uri: str) -> None:
    """Every part of a URI is decoded and placed as a task of Airflow sees it."""
    from airflow.sdk import Connection as AirflowConnection

    assert fields(of_environment(uri)) == fields(AirflowConnection.from_uri(uri, conn_id="x"))


@pytest.mark.airflow
@pytest.mark.parametrize("value", JSONS, ids=json.dumps)
def test_json_in_the_environment_means_what_it_means_to_airflow(value: dict[str, Any]) -> None:
    """The same for the JSON form."""
    from airflow.sdk import Connection as AirflowConnection

    text = json.dumps(value)
    assert fields(of_environment(text)) == fields(AirflowConnection.from_json(text, conn_id="x"))


@pytest.mark.airflow
@pytest.mark.parametrize("suffix", ["yaml", "json", "env"])
def test_a_file_means_what_it_means_to_airflows_import(suffix: str, tmp_path: Path) -> None:
    """A file of every format defines the connections that `airflow connections import` would store."""
    from airflow.secrets.local_filesystem import load_connections_dict

    file = tmp_path / f"connections.{suffix}"
    if suffix == "env":
        file.write_text("# all of them\n\n" + "".join(f"id_{n}={uri}\n" for n, uri in enumerate(URIS)))
    else:
        # Airflow normalises the type of an object only when it comes from the environment
        objects = [{**value, "conn_type": "postgres"} for value in JSONS if not isinstance(value.get("port"), str)]
        file.write_text(json.dumps({f"id_{n}": value for n, value in enumerate([*URIS, *objects, [URIS[0]]])}))
    theirs = load_connections_dict(str(file))
    ours = read_file(file)
    assert {connection_id: fields(connection) for connection_id, connection in ours.items()} == {
        connection_id: fields(connection) for connection_id, connection in theirs.items()
    }


def test_yaml_defines_connections_as_text_or_as_objects(tmp_path: Path) -> None:
    """A YAML file may mix URIs, objects, and objects with JSON text inside."""
    file = tmp_path / "connections.yml"
    file.write_text(
        "warehouse: postgres://me:secret@db/sales\n"
        "cache:\n  conn_type: redis\n  host: cache\n  port: 6379\n  extra: '{\"db\": 3}'\n"
        'api: \'{"conn_type": "http", "extra": {"timeout": 5}}\'\n'
    )
    connections = LocalConnections({}, file)
    assert connections.resolve("warehouse") == Connection(
        "postgres", host="db", login="me", password="secret", database="sales"
    )
    assert connections.resolve("cache") == Connection("redis", host="cache", port=6379, extra={"db": 3})
    assert connections.resolve("api") == Connection("http", extra={"timeout": 5})


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    """As in Airflow, where imported connections are asked for last."""
    file = tmp_path / "connections.env"
    file.write_text("x=http://from-file\ny=http://from-file\n")
    connections = LocalConnections({"AIRFLOW_CONN_X": "http://from-environment"}, file)
    assert [connections.resolve(name).host for name in "xy"] == ["from-environment", "from-file"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql+psycopg://u:p%40@h:1/d?sslmode=require",
            Connection("postgresql+psycopg", "h", 1, "u", "p@", "d", {"sslmode": "require"}),
        ),
        ("sqlite:///a.db", Connection("sqlite", database="a.db")),
        (
            "https://h/cb?next=http://a&other=http://b",
            Connection("https", "h", database="cb", extra={"next": "http://a", "other": "http://b"}),
        ),
    ],
)
def test_a_url_stands_for_itself(url: str, expected: Connection) -> None:
    """It needs no definition, and is kept whole for the client that reads URLs."""
    resolved = LocalConnections({}).resolve(url)
    assert resolved.uri == url
    assert fields(resolved) == fields(expected)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "warehose",
            'connection "warehose" is not defined; did you mean "warehouse"?: set AIRFLOW_CONN_WAREHOSE, '
            "give a file that defines it with --connections, or write a URL",
        ),
        (
            "elsewhere",
            'connection "elsewhere" is not defined: set AIRFLOW_CONN_ELSEWHERE, '
            "give a file that defines it with --connections, or write a URL",
        ),
        (
            "host=h password=hunter2",
            "a connection is an id, or a URL (scheme://user:password@host:port/database)",
        ),
        ("", "a connection is an id, or a URL (scheme://user:password@host:port/database)"),
    ],
)
def test_what_is_not_defined_is_refused(reference: str, message: str) -> None:
    """The refusal names what is near, and each way to define it."""
    with pytest.raises(StepRefused) as refusal:
        LocalConnections({"AIRFLOW_CONN_WAREHOUSE": "postgres://h"}).resolve(reference)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (f"postgres://user:{PASSWORD}@host", "has a port that is no number"),
        ("postgres://user:pa#ss@host", "has a port that is no number"),
        (f"http://a://b://{PASSWORD}", "holds more than two ://"),
        (f"postgres://user:{PASSWORD}://x@host", "holds a second :// after the user name"),
        (f"http://[{PASSWORD}", "is not a URL"),
        (PASSWORD, "is neither a URI"),
        (f'{{"conn_type": "x", "password": {PASSWORD}}}', "is not JSON (line 1, column 32)"),
        ('{"conn_type": "x", "extra": "[1]"}', "has an extra that is not an object"),
        ('{"conn_type": "x", "extra": "{"}', "has an extra that is not JSON"),
        (f'{{"host": 1, "pasword": "{PASSWORD}"}}', 'has an unknown field "pasword" (did you mean password?), and has'),
        ('{"conn_type": "x", "port": "12a"}', "has a port that is no number"),
        ('{"conn_type": "x", "port": 70000}', "has a port that is no number"),
        ('{"conn_type": "x", "password": 123}', "has a password that is not text"),
        ('{"conn_type": "x", "uri": "http://h"}', "has a uri and also conn_type"),
        ("{}", "has no conn_type"),
    ],
)
def test_a_bad_definition_is_refused_without_showing_it(value: str, message: str) -> None:
    """The fault is named with the variable that has it; no part of its value is."""
    with pytest.raises(StepRefused) as refusal:
        of_environment(value)
    assert str(refusal.value).startswith('connection "x": AIRFLOW_CONN_X ' + message)
    assert "ss-w0rd" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [
        ("c.txt", "", ["its name must end in .yaml, .yml, .json or .env"]),
        ("c.json", "", ["is not JSON (line 1, column 1)"]),
        ("c.json", "[]", ["must be one object of connections by id"]),
        ("c.yaml", "", ["must be one mapping of connections by id"]),
        (
            "c.yaml",
            f"a: *{PASSWORD}",
            ["is not YAML at line 1, column 7; values that begin with a sign need quotes"],
        ),
        (
            "c.yaml",
            f"a: http://h\nb: {{conn_type: x, password: 123}}\na: http://{PASSWORD}\n3: http://h\n"
            "c: [http://h, http://i]\nd: {conn_type: x, conn_id: e}\ne: 3\n",
            [
                'line 2: "b" has a password that is not text (put it in quotes)',
                'line 3: "a" is defined twice',
                "line 4: a connection id is text of letters, digits and . _ - # ! ( ) : / \\",
                'line 5: "c" has 2 definitions instead of one',
                'line 6: "d" has another conn_id inside',
                'line 7: "e" is neither a URI nor an object',
            ],
        ),
        ("c.json", '{"a": "http://h", "a": "http://i"}', ['"a" is defined twice']),
        (
            "c.env",
            f"# fine\na=http://h\n{PASSWORD}\nb=\na=http://i\n",
            ["line 3: write ID=URI", "line 4: write ID=URI", 'line 5: "a" is defined twice'],
        ),
        ("c.env", b"\xff=\xfe", ["is not UTF-8 text"]),
    ],
)
def test_a_bad_file_names_all_its_faults_at_once(
    name: str, content: str | bytes, faults: list[str], tmp_path: Path
) -> None:
    """One error, every fault with its line, and nothing of what is secret in it."""
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InvalidConnections) as error:
        LocalConnections({}, file)
    assert sorted(error.value.faults) == sorted(faults)
    assert PASSWORD not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error has the file's path and the system's reason."""
    with pytest.raises(InvalidConnections, match=r"connections file .*gone\.yaml: cannot be read: No such file"):
        LocalConnections({}, tmp_path / "gone.yaml")


@pytest.mark.airflow
def test_in_airflow_the_same_id_gives_the_same_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both engines find what AIRFLOW_CONN_<ID> defines, refuse what nothing defines, and take URLs as they are."""
    from rustchain_airflow.operators._connections import AirflowConnections

    caplog.set_level(logging.CRITICAL)
    uri = "postgresql://me:pa%2Fss@db:5433/sales?sslmode=require"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", uri)
    ours = LocalConnections({"AIRFLOW_CONN_WAREHOUSE": uri})
    assert AirflowConnections().resolve("warehouse") == ours.resolve("warehouse")
    assert AirflowConnections().resolve(uri) == ours.resolve(uri)
    with pytest.raises(StepRefused, match='connection "elsewhere" is not defined: add it in Airflow'):
        AirflowConnections().resolve("elsewhere")
