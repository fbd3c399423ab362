"""The connections a mission names: from the environment, from a file as Airflow imports it, or from a URL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from rustchain_airflow.steps.sdk import Connection, StepRefused

ENVIRONMENT_PREFIX: Final = "AIRFLOW_CONN_"
"""``AIRFLOW_CONN_<ID>``, the id in capitals, defines a connection, in Airflow as here."""

_EXTRA_KEY: Final = "__extra__"
_ID = re.compile(r"[\w#!().:/\\-]{1,250}")
_FIELDS: Final = frozenset(
    {"conn_type", "description", "host", "login", "password", "schema", "port", "extra", "extra_dejson", "uri"}
)
_KEYS: Final = _FIELDS | {"conn_id", "team_name"}
_COMMENT = re.compile(r"\s*#")
_QUOTING: Final = "percent-encode / ? # @ : and % in its user name and password"


class InvalidConnections(ValueError):
    """A file of connections cannot be used; ``faults`` are all reasons why, none of which shows a value."""

    def __init__(self, file: Path, faults: list[str]) -> None:
        self.file = file
        self.faults = faults
        super().__init__(f"connections file {file}: " + "; ".join(faults))


class LocalConnections:
    """Resolves connections without Airflow, to what Airflow would find in the same environment and file.

    An id is looked up as ``AIRFLOW_CONN_<ID>`` in the environment (a URI, or JSON), then in ``file``, which is in
    one of the formats of ``airflow connections import``: the environment comes first there too. Anything with
    ``://`` in it is a URL and stands for itself.

    The file is read once, here; raises InvalidConnections with every fault it has.
    """

    def __init__(self, environment: Mapping[str, str], file: Path | None = None) -> None:
        self._environment = environment
        self._imported = {} if file is None else read_file(file)

    def resolve(self, reference: str) -> Connection:
        """The connection of an id or a URL. Raises StepRefused for one that is not defined or cannot be read."""
        if "://" in reference:
            return of_url(reference)
        check_id(reference)
        variable = ENVIRONMENT_PREFIX + reference.upper()
        if value := self._environment.get(variable, "").strip():
            try:
                return _of_text(value)
            except _Unreadable as error:
                raise StepRefused(f'connection "{reference}": {variable} {error}') from None
        if found := self._imported.get(reference):
            return found
        near = get_close_matches(reference, self._ids(), n=3)
        raise StepRefused(
            f'connection "{reference}" is not defined'
            + (f"; did you mean {' or '.join(map(_quoted, near))}?" if near else "")
            + f": set {variable}, give a file that defines it with --connections, or write a URL"
        )

    def _ids(self) -> list[str]:
        from_environment = (
            name.removeprefix(ENVIRONMENT_PREFIX).lower()
            for name in self._environment
            if name.startswith(ENVIRONMENT_PREFIX)
        )
        return sorted({*self._imported, *from_environment})


def check_id(reference: str) -> None:
    """Refuse what cannot be the id of a connection; unseen, as it may be a driver's text with a password in it."""
    if not _ID.fullmatch(reference):
        raise StepRefused("a connection is an id, or a URL (scheme://user:password@host:port/database)")


def of_url(url: str) -> Connection:
    """A URL as a connection that keeps it whole in ``uri``. Raises StepRefused; never shows the URL."""
    try:
        return _of_parts(_split(url), uri=url)
    except _Unreadable as error:
        raise StepRefused(f"the connection URL {error}") from None


def of_airflow(
    *,
    conn_type: str | None,
    host: str | None,
    port: int | None,
    login: str | None,
    password: str | None,
    schema: str | None,
    extra: Mapping[str, Any] | None,
) -> Connection:
    """The connection with the fields of an Airflow connection."""
    return Connection(
        kind=conn_type or "",
        host=host or None,
        port=port,
        login=login,
        password=password,
        database=schema or None,
        extra=extra or None,
    )


class _Unreadable(Exception):
    """What is wrong with a definition, as the end of a sentence about it; shows no value."""


# --- one connection -------------------------------------------------------------------------------


def _of_text(text: str, *, typed_extra: bool = False) -> Connection:
    """A connection as URI or JSON: Airflow's two text forms."""
    if not text.startswith("{"):
        return _of_uri(text, typed_extra=typed_extra)
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise _Unreadable(f"is not JSON{_where(error)}") from None
    return _of_fields(fields)


def _of_uri(uri: str, *, typed_extra: bool = False) -> Connection:
    """An Airflow connection URI, read as Airflow reads it.

    It may hold a second protocol, which belongs to the host (``http://https://host``). Values of its query are
    text; Airflow's database, and so its import, reads them as JSON where they parse (``typed_extra``).
    """
    if "://" not in uri:
        raise _Unreadable("is neither a URI (scheme://user:password@host:port/schema) nor a JSON object")
    if uri.count("://") > 2:
        raise _Unreadable(f"holds more than two ://; {_QUOTING}, and values of its query")
    parts = _split(uri)
    if uri.count("://") == 1:
        return _of_parts(parts, typed_extra=typed_extra)
    rest = uri.replace(f"{parts.scheme}://", "")
    if any(letter in rest.partition("://")[0] for letter in "@:"):
        raise _Unreadable(f"holds a second :// after the user name; {_QUOTING}, and values of its query")
    inner = _of_parts(_split(rest), typed_extra=typed_extra)
    protocol = urlsplit(rest).scheme
    return replace(
        inner,
        kind=_kind(parts.scheme),
        host=f"{protocol}://{inner.host}" if inner.host and protocol else inner.host,
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its message repeats parts of the URL
        raise _Unreadable(f"is not a URL; {_QUOTING}") from None


def _of_parts(parts: SplitResult, *, uri: str | None = None, typed_extra: bool = False) -> Connection:
    try:
        port = parts.port
    except ValueError:  # its message repeats what may be part of a password
        raise _Unreadable(f"has a port that is no number up to 65535; {_QUOTING}") from None
    return Connection(
        kind=_kind(parts.scheme),
        host=_host(parts) or None,
        port=port,
        login=parts.username and unquote(parts.username),
        password=parts.password and unquote(parts.password),
        database=unquote(parts.path[1:]) or None,
        extra=_query(parts.query, typed=typed_extra),
        uri=uri,
    )


def _host(parts: SplitResult) -> str:
    """The host; one that holds an encoded path (a socket, say) keeps its capitals, as in Airflow."""
    host = unquote(parts.hostname or "")
    if "/" not in host:
        return host
    return unquote(parts.netloc.rpartition("@")[2].partition(":")[0])


def _kind(written: str) -> str:
    """Airflow's name of a connection type."""
    return "postgres" if written == "postgresql" else written.replace("-", "_")


def _query(query: str, *, typed: bool) -> Mapping[str, Any] | None:
    values: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if _EXTRA_KEY in values:
        return _extra(values[_EXTRA_KEY])
    if typed:
        values = {name: _json_or_text(value) for name, value in values.items()}
    return values or None


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _extra(extra: Any) -> Mapping[str, Any] | None:
    """The extra of a connection, from an object or from its JSON text."""
    if isinstance(extra, str):
        if not extra:
            return None
        try:
            extra = json.loads(extra)
        except ValueError as error:
            raise _Unreadable(f"has an extra that is not JSON{_where(error)}") from None
    if extra is not None and not isinstance(extra, dict):
        raise _Unreadable("has an extra that is not an object")
    return extra or None


def _of_fields(fields: Any) -> Connection:
    """A connection as an object with Airflow's field names."""
    faults = list(_faults(fields))
    if faults:
        raise _Unreadable(", and ".join(faults))
    if uri := fields.get("uri"):
        return _of_uri(uri, typed_extra=True)
    port, login, schema = fields.get("port"), fields.get("login"), fields.get("schema")
    return of_airflow(
        conn_type=_kind(fields["conn_type"]),
        host=fields.get("host"),
        port=int(port) if port not in (None, "") else None,
        login=login if login is None else str(login),
        password=fields.get("password"),
        schema=schema if schema is None else str(schema),
        extra=_extra(fields.get("extra_dejson", fields.get("extra"))),
    )


def _faults(fields: Any) -> Iterator[str]:
    if not isinstance(fields, dict):
        yield "is neither a URI nor an object"
        return
    for key in fields:
        if key not in _KEYS:
            near = get_close_matches(str(key), _FIELDS, n=1)
            yield f'has an unknown field "{key}"' + (f" (did you mean {near[0]}?)" if near else "")
    given = {key for key in _FIELDS if fields.get(key) not in (None, "")}
    if "uri" in given:
        if beside := sorted(given - {"uri", "description"}):
            yield f"has a uri and also {', '.join(beside)}"
    elif not isinstance(fields.get("conn_type"), str) or not fields["conn_type"]:
        yield "has no conn_type"
    if {"extra", "extra_dejson"} <= given:
        yield "has both extra and extra_dejson"
    for key in ("uri", "host", "password"):
        if not isinstance(fields.get(key), str | None):
            yield f"has a {key} that is not text (put it in quotes)"
    for key in ("login", "schema"):
        value = fields.get(key)
        if not isinstance(value, str | int | None) or isinstance(value, bool):
            yield f"has a {key} that is not text (put it in quotes)"
    if not _is_port(fields.get("port")):
        yield "has a port that is no number up to 65535"


def _is_port(port: Any) -> bool:
    if isinstance(port, str):
        return port == "" or (port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 65536)
    return port is None or (isinstance(port, int) and not isinstance(port, bool) and 0 <= port < 65536)


# --- a file of connections ------------------------------------------------------------------------


class _Entry(NamedTuple):
    line: int | None
    id: Any
    value: Any


def read_file(file: Path) -> dict[str, Connection]:
    """The connections of a ``.yaml``, ``.yml``, ``.json`` or ``.env`` file, as ``airflow connections import`` reads it.

    Raises InvalidConnections with every fault: ids that are given twice or cannot be ids, and definitions that
    cannot be read.
    """
    reader = {".yaml": _yaml_entries, ".yml": _yaml_entries, ".json": _json_entries, ".env": _env_entries}.get(
        file.suffix.lower() or file.name.lower()
    )
    if reader is None:
        raise InvalidConnections(file, ["its name must end in .yaml, .yml, .json or .env"])
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidConnections(file, ["is not UTF-8 text"]) from None
    except OSError as error:
        raise InvalidConnections(file, [f"cannot be read: {error.strerror}"]) from None
    faults: list[str] = []
    defined: dict[str, Connection] = {}
    for entry in reader(text, faults):
        place = "" if entry.line is None else f"line {entry.line}: "
        if not isinstance(entry.id, str) or not _ID.fullmatch(entry.id):
            faults.append(f"{place}a connection id is text of letters, digits and . _ - # ! ( ) : / \\")
        elif entry.id in defined:
            faults.append(f'{place}"{entry.id}" is defined twice')
        else:
            try:
                defined[entry.id] = _of_entry(entry)
            except _Unreadable as error:
                faults.append(f'{place}"{entry.id}" {error}')
                defined[entry.id] = Connection("")
    if faults:
        raise InvalidConnections(file, faults)
    return defined


def _of_entry(entry: _Entry) -> Connection:
    value = entry.value
    if isinstance(value, list):
        if len(value) != 1:
            raise _Unreadable(f"has {len(value)} definitions instead of one")
        value = value[0]
    if isinstance(value, str):
        return _of_text(value.strip(), typed_extra=True)
    if isinstance(value, dict) and value.get("conn_id", entry.id) != entry.id:
        raise _Unreadable("has another conn_id inside")
    return _of_fields(value)


def _env_entries(text: str, faults: list[str]) -> Iterator[_Entry]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or _COMMENT.match(line):
            continue
        connection_id, equals, value = line.partition("=")
        if equals and connection_id.strip() and value.strip():
            yield _Entry(number, connection_id.strip(), value.strip())
        else:
            faults.append(f"line {number}: write ID=URI")


def _json_entries(text: str, faults: list[str]) -> Iterator[_Entry]:
    try:
        # As pairs, so that an id which is given twice is seen; at every depth, as the hook does not know it.
        root = json.loads(text, object_pairs_hook=_Pairs)
    except ValueError as error:
        faults.append(f"is not JSON{_where(error)}")
        return
    if not isinstance(root, _Pairs):
        faults.append("must be one object of connections by id")
        return
    for connection_id, value in root:
        yield _Entry(None, connection_id, _plain(value))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs."""


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(inner) for key, inner in value}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _yaml_entries(text: str, faults: list[str]) -> Iterator[_Entry]:
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            faults.append("must be one mapping of connections by id")
            return
        for key, value in root.value:
            yield _Entry(
                key.start_mark.line + 1,
                loader.construct_object(key, deep=True),
                loader.construct_object(value, deep=True),
            )
    except yaml.YAMLError as error:
        # What it says may repeat a password that begins with * & ! or %.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        faults.append(f"is not YAML{place}; values that begin with a sign need quotes")
    finally:
        loader.dispose()


def _where(error: ValueError) -> str:
    return f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""


def _quoted(text: str) -> str:
    return f'"{text}"'
