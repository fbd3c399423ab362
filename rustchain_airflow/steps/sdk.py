"""What a step type is made of: its parameters, its output, and the function that does the work."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal, NamedTuple, Protocol, overload

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from logging import Logger

# --- errors ---------------------------------------------------------------------------------------


class StepError(Exception):
    """The work could not be done; another attempt may succeed.

    ``output`` is what the step had produced before it failed: it becomes the ``output`` of the failed
    StepResult, so that ``{{ step.output.x }}`` of a tolerated failure resolves (semantics §3.6).
    """

    def __init__(self, message: str, *, output: Output | Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.output = output


class StepRefused(StepError):
    """The work will never be done as asked, so it is not retried (semantics §5.2).

    Raised for invalid parameters, unresolvable references, safety refusals and missing extras.
    """


def require(module: str, extra: str) -> types.ModuleType:
    """Import an optional dependency where it is used; StepRefused names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise StepRefused(
            f'{module.partition(".")[0]} is not installed; run: pip install "rustchain-airflow[{extra}]"'
        ) from error


# --- parameters -----------------------------------------------------------------------------------


class Alias:
    """Other names under which mission files write a parameter; they load as equals."""

    def __init__(self, *names: str) -> None:
        self.names = names


class PathAccess(StrEnum):
    """What a step does with a path that a parameter names."""

    READ = "read"
    WRITE = "write"


ReadPath = Annotated[str, PathAccess.READ]
"""A path the step reads. Relative to the workspace; judged by the path guard (semantics §8.1)."""

WritePath = Annotated[str, PathAccess.WRITE]
"""A path the step creates, changes or removes. Relative to the workspace; judged by the path guard."""


class Marker(StrEnum):
    """What else the rest of the house has to know about a parameter."""

    CONNECTION = "connection"
    SECRET = "secret"
    NO_REFERENCES = "no-references"


ConnectionReference = Annotated[str, Marker.CONNECTION]
"""An Airflow connection id, or a URL. Its password is masked wherever the value is shown."""

Secret = Annotated[str, Marker.SECRET]
"""A value that is masked wherever it would be shown (semantics §8.4)."""


class Parameters(BaseModel):
    """The parameters of one step type, as the mission gives them after substitution.

    Numbers and booleans given as text ("3", "true") are accepted where they parse; nothing else is
    coerced. Unknown keys are left out here and reported by `check`.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)

    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of parameters of which a mission must give exactly one."""

    at_most_one: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of parameters of which a mission may give no more than one."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        values: dict[str, Any] = {}
        fields = declared(cls)
        for written, value in given.items():
            name = fields.canonical.get(written, written)
            if name in values:
                raise PydanticCustomError(
                    "presence", "{both} say the same thing; give one of them", {"both": _either(cls, given, name)}
                )
            reader = fields.readers.get(name)
            values[name] = reader(value) if reader else value
        for group in cls.exactly_one:
            present = [name for name in group if values.get(name) is not None]
            if len(present) != 1:
                raise PydanticCustomError(
                    "presence",
                    "give exactly one of {names}" + (", not {given}" if present else ""),
                    {"names": ", ".join(group), "given": " and ".join(present)},
                )
        for group in cls.at_most_one:
            present = [name for name in group if values.get(name) is not None]
            if len(present) > 1:
                raise PydanticCustomError("presence", "give only one of {given}", {"given": " and ".join(present)})
        return values


class Options(Parameters):
    """A nested group of parameters (thresholds, credentials …), read by the same rules."""


def _either(model: type[BaseModel], given: Mapping[str, Any], name: str) -> str:
    canonical = declared(model).canonical
    return " and ".join(f'"{key}"' for key in given if canonical.get(key, key) == name)


class DeclaredParameters(NamedTuple):
    """What a parameter model says about its names: read once per model."""

    canonical: Mapping[str, str]
    """Every accepted name, canonical or alias, to its canonical name."""
    readers: Mapping[str, Callable[[Any], Any]]
    """Per canonical name, how text is read where a number or a boolean is due."""
    paths: Mapping[str, PathAccess]
    """Path-bearing parameters."""
    markers: Mapping[str, frozenset[Marker]]


@cache
def declared(model: type[BaseModel]) -> DeclaredParameters:
    """The names, aliases and markers that a parameter model declares."""
    canonical: dict[str, str] = {}
    readers: dict[str, Callable[[Any], Any]] = {}
    paths: dict[str, PathAccess] = {}
    markers: dict[str, frozenset[Marker]] = {}
    for name, annotation in typing.get_type_hints(model, include_extras=True).items():
        if name not in model.model_fields:
            continue
        canonical[name] = name
        metadata = list(_metadata(annotation))
        for mark in metadata:
            if isinstance(mark, Alias):
                canonical.update(dict.fromkeys(mark.names, name))
            elif isinstance(mark, PathAccess):
                paths[name] = mark
        markers[name] = frozenset(mark for mark in metadata if isinstance(mark, Marker))
        if reader := _reader(annotation):
            readers[name] = reader
    return DeclaredParameters(canonical, readers, paths, markers)


def _metadata(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is Annotated:
        inner, *marks = typing.get_args(annotation)
        yield from marks
        yield from _metadata(inner)
    else:
        for argument in typing.get_args(annotation):
            yield from _metadata(argument)


_BOOLEANS = {"true": True, "false": False}


def _read_boolean(value: Any) -> Any:
    return _BOOLEANS.get(value.strip().lower(), value) if isinstance(value, str) else value


def _read_integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return int(value) if len(value) < 100 and "_" not in value else value
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read_number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value) if "_" not in value else value
        except ValueError:
            return value
    return value


def _reader(annotation: Any) -> Callable[[Any], Any] | None:
    """How text is read for a field of this type; None where text stays as it is."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _reader(arguments[0])
    if annotation is bool:
        return _read_boolean
    if annotation is int:
        return _read_integer
    if annotation is float:
        return _read_number
    if origin in (typing.Union, types.UnionType):
        members = [argument for argument in arguments if argument is not type(None)]
        if any(_accepts_text(member) for member in members):
            return None
        readers = [reader for member in members if (reader := _reader(member))]
        return readers[0] if len(readers) == 1 else None
    if origin in (list, Sequence, tuple) and arguments and (item := _reader(arguments[0])):
        return lambda value: [item(each) for each in value] if isinstance(value, list) else value
    return None


def _accepts_text(annotation: Any) -> bool:
    if typing.get_origin(annotation) is Annotated:
        return _accepts_text(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is Literal:
        return any(isinstance(choice, str) for choice in typing.get_args(annotation))
    return annotation in (str, Any, object)


# --- output ---------------------------------------------------------------------------------------


class Output(BaseModel):
    """What a step gives back: a JSON object whose fields later steps may refer to.

    ``main`` names the field that the shorthand ``{{ NAME_result }}`` means (semantics §7.3).
    """

    model_config = ConfigDict(extra="forbid", defer_build=True)

    main: ClassVar[str | None] = None


# --- what the work can use ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One entry of a folder."""

    name: str
    path: str
    """Relative to the workspace where it is inside, with forward slashes; every method takes it."""
    is_dir: bool
    is_link: bool
    size: int
    modified: float
    """Seconds since the epoch."""
    mode: int
    """Permission bits."""


class Workspace(Protocol):
    """The files a step may touch; every method takes a path as the mission wrote it.

    Relative paths start at the workspace. Each method resolves links itself, relative to directory
    handles, and raises StepRefused for a path that leaves what the policy allows (semantics §8.1);
    a file that is missing or of the wrong kind is a StepError.
    """

    @property
    def root(self) -> Path: ...

    def locate(self, path: str, *, access: PathAccess = PathAccess.READ) -> Path:
        """The absolute path with links resolved, for programs and libraries that open by name."""

    def relative(self, path: str | Path) -> str:
        """How outputs name a path: relative to the workspace where it is inside, else absolute. Valid Unicode."""

    def entry(self, path: str) -> FileEntry | None:
        """What is there, links followed; None when nothing is."""

    def open(self, path: str) -> BinaryIO:
        """A regular file, for reading. Never blocks on a pipe or a device."""

    def open_below(self, path: str, *, wanted: Callable[[str], bool] | None = None) -> Iterator[tuple[str, int, int]]:
        """Every regular file below a folder, open for reading: path, descriptor and size.

        ``wanted`` is asked with each file's path below the folder. The iteration closes the descriptor.
        """

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """The whole content; StepError when it is larger than ``max_bytes``."""

    def write(
        self, path: str, *, mode: int | None = None, overwrite: bool = True, durable: bool = True
    ) -> AbstractContextManager[BinaryIO]:
        """A file that appears whole or not at all.

        Written beside its destination, flushed to disk and renamed when the block ends without an
        error. Parents are made; a replaced file keeps its mode unless ``mode`` says otherwise. Without
        ``durable`` the flush is left out, where many files are built in `staging`.
        """

    def make_folder(self, path: str) -> None:
        """A folder and its parents; an existing one is fine."""

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, a link, or (recursive) a folder with all it holds; links are not followed."""

    def move(self, source: str, destination: str, *, overwrite: bool = True) -> None:
        """Rename within a device; StepError with errno EXDEV as cause across devices."""

    def scan(self, path: str) -> list[FileEntry]:
        """The entries of a folder in name order, links not followed."""

    def walk(self, path: str, *, hidden: bool = True) -> Iterator[FileEntry]:
        """All entries below a folder: each folder before what it holds, in name order, links not entered."""

    def staging(self, path: str) -> AbstractContextManager[str]:
        """A new hidden folder beside ``path``, to build in what `move` then puts in place; removed at the end."""

    def read_link(self, path: str) -> str:
        """The text of a link; StepError when there is no link."""

    def make_link(self, path: str, target: str) -> None:
        """A symbolic link with the text ``target``, which must lead inside."""

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits of a file or folder."""


class ProcessResult(NamedTuple):
    """How a program ended. ``exit_code`` is negative for a signal, as in `subprocess`."""

    exit_code: int
    stdout: str
    stderr: str
    truncated: bool
    duration_ms: int


class Processes(Protocol):
    """Programs that end with the step: on timeout or cancel their process group is stopped."""

    def run(
        self,
        arguments: Sequence[str],
        *,
        working_dir: str = ".",
        environment: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        max_output_bytes: int = 1024 * 1024,
        shell: bool = False,
        capture: bool = True,
    ) -> ProcessResult:
        """Run a program to its end, without a shell unless ``shell``; ``arguments[0]`` is then the script.

        ``environment`` is added to the step's own. Output beyond ``max_output_bytes`` per stream is
        read and dropped; without ``capture`` it goes to the step's log line by line instead. Raises
        StepError for a program that does not exist, StepRefused for a command the policy forbids,
        StepTimedOut or StepCancelled when it was stopped.
        """

    def spawn(
        self,
        arguments: Sequence[str],
        *,
        keeper: Sequence[str],
        stdout: int,
        stderr: int,
        working_dir: str = ".",
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start a program that outlives the step: the one exception to the above.

        It is started by ``keeper``, the words put before ``arguments``, which detaches itself and from then on
        answers for the program; the policy judges ``arguments`` alone. ``stdout``, ``stderr`` and ``pass_fds``
        are descriptors the keeper is given. Raises as `run` does, but for the program's own failure to start,
        which the keeper has to tell.
        """


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a service is and how to log in, from an Airflow connection or a URL."""

    kind: str
    """The scheme or connection type: postgresql, mysql, redis, ssh, ftp …"""
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = None
    database: str | None = None
    extra: Mapping[str, Any] | None = None
    uri: str | None = None
    """The URL as given, with credentials; never shown."""


class Connections(Protocol):
    """Resolves what a mission writes where a connection is due, the same in both engines."""

    def resolve(self, reference: str) -> Connection:
        """The connection of an id or a URL. Its password is masked from here on. StepRefused if unknown."""


class StepContext(Protocol):
    """All that a step may use of the run around it."""

    @property
    def step_id(self) -> str: ...
    @property
    def mission_name(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def workspace(self) -> Workspace: ...
    @property
    def processes(self) -> Processes: ...
    @property
    def connections(self) -> Connections: ...
    @property
    def environment(self) -> Mapping[str, str]: ...
    @property
    def logger(self) -> Logger: ...

    def remaining(self) -> float:
        """Seconds left of this attempt: what a client's own time-outs should be set to."""

    def check_host(self, host: str) -> None:
        """Refuse a host the policy forbids (semantics §8.3)."""

    def mask(self, secret: str) -> None:
        """Mask a value from here on in output, errors and logs."""


class StepTimedOut(StepError):
    """The attempt used up its time and was stopped (semantics §5.3)."""


class StepCancelled(StepError):
    """The mission was cancelled, or ran out of time, while the step was running."""


# --- declaration ----------------------------------------------------------------------------------


class RunsAs(StrEnum):
    """How the executor contains the work of a step type."""

    INLINE = "inline"
    """In the worker thread: everything it does is bounded by construction."""
    COMMAND = "command"
    """In the worker thread, but all waiting is for programs started through ``context.processes``."""
    ISOLATED = "isolated"
    """In a child of the fork server, which can be stopped at any moment."""


Run = Callable[[Any, Any], Output]


@dataclass(frozen=True)
class StepImplementation:
    """A step type as its module declares it."""

    name: str
    family: str
    page: str
    parameters: type[Parameters]
    output: type[Output]
    run: Run
    runs_as: RunsAs
    idempotent: bool
    prepare: Callable[[], object] | None = None

    @property
    def summary(self) -> str:
        return self.page.partition("\n")[0]

    @cached_property
    def declared(self) -> DeclaredParameters:
        return declared(self.parameters)


@overload
def step(run: Run, /) -> StepImplementation: ...
@overload
def step(
    *, runs_as: RunsAs = ..., idempotent: bool = ..., prepare: Callable[[], object] | None = ...
) -> Callable[[Run], StepImplementation]: ...
def step(
    run: Run | None = None,
    /,
    *,
    runs_as: RunsAs = RunsAs.ISOLATED,
    idempotent: bool = False,
    prepare: Callable[[], object] | None = None,
) -> StepImplementation | Callable[[Run], StepImplementation]:
    """Declare a step type; name, family, models and page come from the function.

    The function is named like its module and the step type, and takes ``(parameters, context)``.
    ``idempotent`` says that after a crash the step may simply run again. ``prepare`` is called once in
    the process that all isolated steps are forked from, so that its imports are not paid for by each
    of them: it may raise StepRefused, and must start no thread and open nothing that stays open.
    """

    def declare(run: Run) -> StepImplementation:
        hints = typing.get_type_hints(run)
        return StepImplementation(
            name=run.__name__,
            family=run.__module__.split(".")[-2],
            page=inspect.getdoc(run) or "",
            parameters=hints["parameters"],
            output=hints["return"],
            run=run,
            runs_as=runs_as,
            idempotent=idempotent,
            prepare=prepare,
        )

    return declare(run) if run else declare
