"""Pack files into an archive, or unpack one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Literal

from pydantic import BeforeValidator, Field

from rustchain_airflow.steps.sdk import (
    FileEntry,
    Output,
    Parameters,
    PathAccess,
    ReadPath,
    StepContext,
    StepError,
    StepRefused,
    Workspace,
    WritePath,
    step,
)
from rustchain_airflow.steps.system.archive import (
    LEVELS,
    SUFFIXES,
    Allowance,
    ArchiveWriter,
    Format,
    format_of,
    reading,
    writing,
)
from rustchain_airflow.steps.system.registry import FOLDER
from rustchain_airflow.steps.system.unpacking import Unpacking, link_stays_inside


def _as_format(value: Any) -> Any:
    return SUFFIXES.get(f".{value.strip().lower().lstrip('.')}", value) if isinstance(value, str) else value


class CompressParameters(Parameters):
    source: ReadPath | list[ReadPath] = Field(
        min_length=1, description="What to pack: a file, a folder, or a list of them; or the archive to unpack."
    )
    destination: WritePath = Field(description="The archive to write, or the folder to unpack into.")
    format: Annotated[Format | None, BeforeValidator(_as_format, json_schema_input_type=str | None)] = Field(
        None, description="tar, tar.gz, tar.bz2, tar.xz, tar.zst or zip; default from the archive's suffix."
    )
    action: Literal["compress", "extract"] = Field("compress", description="compress, or extract.")
    level: int | None = Field(
        None, description="How hard to compress: gz and bz2 1-9, xz and zip 0-9, zst 1-22; default the format's own."
    )
    max_size: int = Field(10 * 1024**3, ge=0, description="Bytes an archive may unpack to; beyond it is refused.")
    max_ratio: float = Field(1000, gt=0, description="How many times its size it may unpack to, beyond the first GiB.")
    max_entries: int = Field(1_000_000, ge=1, description="Files and folders it may hold.")


class CompressOutput(Output):
    main: ClassVar[str | None] = "destination"

    destination: str = Field(description="The archive, or the folder it was unpacked into.")
    format: Format = Field(description="The archive's format.")
    files: int = Field(description="Files and links in it; folders are not counted.")
    size: int = Field(description="Bytes of the archive.")
    original_size: int = Field(description="Bytes of all files.")
    ratio: float = Field(description="original_size / size.")


@step(idempotent=True)
def compress(parameters: CompressParameters, context: StepContext) -> CompressOutput:
    """Pack files and folders into an archive, or unpack one.

    A packed folder keeps its name in the archive, a file its own; the workspace itself (``.``) gives its content
    without a name, and without the archive being written or what rustchain-airflow keeps in ``.rustchain``. Order,
    owners and headers do not depend on machine or moment: the same files with the same times give the same bytes.
    Links are packed as links where they lead to a place in the archive, and are refused otherwise.

    Unpacking takes over names, content, links and permissions. A new folder appears whole; into one that is there,
    files are moved when all have been unpacked, replacing those of the same name. Refused are names and links that
    leave the destination, devices and pipes, encrypted members, and archives beyond ``max_size``, ``max_ratio`` or
    ``max_entries``, counted as they are unpacked. A damaged or truncated archive leaves nothing.
    """
    archive = parameters.destination if parameters.action == "compress" else _only_source(parameters)
    kind = parameters.format or format_of(archive)
    if kind is None:
        raise StepRefused(f'"{archive}" does not say its format; give format, or a suffix of {", ".join(SUFFIXES)}')
    try:
        if parameters.action == "compress":
            return _pack(parameters, kind, context)
        return _unpack(parameters, archive, kind, context)
    except OSError as error:
        raise StepError(f'cannot {parameters.action} "{archive}": {error.strerror or error}') from error


# --- packing --------------------------------------------------------------------------------------


def _pack(parameters: CompressParameters, kind: Format, context: StepContext) -> CompressOutput:
    workspace = context.workspace
    if parameters.level is not None and parameters.level not in LEVELS[kind]:
        allowed = LEVELS[kind]
        raise StepRefused(
            f"level of {kind} is {allowed.start} to {allowed.stop - 1}" if allowed else f"{kind} has no level"
        )
    sources = parameters.source if isinstance(parameters.source, list) else [parameters.source]
    # listed before the archive is begun, so that it does not find itself
    listed = list(_listed(workspace, sources, os.fspath(workspace.locate(parameters.destination))))
    files = size = 0
    with workspace.write(parameters.destination) as file, writing(file, kind, parameters.level) as archive:
        for name, entry in listed:
            try:
                size += _add(archive, name, entry, workspace)
            except UnicodeEncodeError:
                raise StepRefused(
                    f"{workspace.relative(entry.path)}: {kind} cannot hold a name that is not UTF-8"
                ) from None
            files += entry.is_link or not entry.is_dir
    written = workspace.entry(parameters.destination)
    assert written is not None
    return _output(parameters.destination, kind, files, written.size, size, workspace)


def _listed(workspace: Workspace, sources: list[str], archive: str) -> Iterator[tuple[str, FileEntry]]:
    """What to pack and its name in the archive, in an order that depends on nothing but the names."""
    root = os.fspath(workspace.locate("."))
    seen: set[str] = set()
    for source in sources:
        entry = workspace.entry(source)
        if entry is None:
            raise StepError(f'"{source}" does not exist')
        name = "" if os.fspath(workspace.locate(source)) == root else _own_name(workspace, source)
        if name:
            _once(name, seen)
            yield name, replace(entry, is_link=False)  # what is asked for by name is followed
        if not entry.is_dir:
            continue
        skipped: str | None = None
        prefix: int | None = None
        for below in workspace.walk(source):
            if prefix is None:
                prefix = len(below.path) - len(below.name)
            inner = below.path[prefix:]
            if skipped is not None and below.path.startswith(skipped):
                continue
            skipped = None
            if not name and inner == FOLDER:
                skipped = f"{below.path}/"
                continue
            if not below.is_dir and not below.is_link and str(Path(root, below.path)) == archive:
                continue
            if not name and "/" not in inner:
                _once(inner, seen)
            yield f"{name}/{inner}" if name else inner, below


def _once(name: str, seen: set[str]) -> None:
    if name in seen:
        raise StepRefused(f'two sources are called "{name}" in the archive; pack a folder that holds both')
    seen.add(name)


def _own_name(workspace: Workspace, source: str) -> str:
    last = source.rstrip("/").rpartition("/")[2]
    return workspace.locate(source).name if last in ("", ".", "..") else last


def _add(archive: ArchiveWriter, name: str, entry: FileEntry, workspace: Workspace) -> int:
    """Bytes of the file that was packed; 0 for links and folders."""
    if entry.is_link:
        target = workspace.read_link(entry.path)
        if not link_stays_inside(name, target):
            shown = workspace.relative(entry.path)
            raise StepRefused(f'the link {shown} leads to "{target}", which may be outside the archive; leave it out')
        archive.add_link(name, target, entry.modified)
    elif entry.is_dir:
        archive.add_folder(name, entry.mode, entry.modified)
    else:
        with workspace.open(entry.path) as content:
            return _add_file(archive, name, content, workspace.relative(entry.path))
    return 0


def _add_file(archive: ArchiveWriter, name: str, content: BinaryIO, shown: str) -> int:
    status = os.fstat(content.fileno())
    try:
        archive.add_file(name, status.st_mode, status.st_mtime, status.st_size, content)
    except OSError as error:
        if error.errno is None:
            raise StepError(f"{shown} became shorter while it was read") from error
        raise
    return status.st_size


# --- unpacking ------------------------------------------------------------------------------------


def _unpack(parameters: CompressParameters, archive: str, kind: Format, context: StepContext) -> CompressOutput:
    workspace, destination = context.workspace, parameters.destination.rstrip("/") or "/"
    if parameters.level is not None:
        raise StepRefused("level goes with compress: an archive is unpacked as it was packed")
    # links on the way are followed here once, so that what is built stands beside where it goes
    place = os.fspath(workspace.locate(destination, access=PathAccess.WRITE))
    there = workspace.entry(place)
    if there is not None and not there.is_dir:
        raise StepError(f"{workspace.relative(place)} is a file, not a folder to unpack into")
    with workspace.open(archive) as file:
        size = os.fstat(file.fileno()).st_size
        allowance = Allowance(
            max_bytes=parameters.max_size,
            max_ratio=parameters.max_ratio,
            max_entries=parameters.max_entries,
            archive_size=size,
        )
        # beside the files it will replace, which for a folder that is there is inside it
        with workspace.staging(place if there is None else f"{place}/.unpacked") as staging:
            unpacking = Unpacking(workspace, f"{staging}/unpacked", allowance)
            with reading(file, kind, allowance) as members:
                unpacking.take(members)
            unpacking.put_in_place(place)
    return _output(destination, kind, unpacking.files, size, unpacking.size, workspace)


def _only_source(parameters: CompressParameters) -> str:
    if isinstance(parameters.source, str):
        return parameters.source
    if len(parameters.source) != 1:
        raise StepRefused("one archive is unpacked at a time")
    return parameters.source[0]


def _output(
    destination: str, kind: Format, files: int, size: int, original_size: int, workspace: Workspace
) -> CompressOutput:
    return CompressOutput(
        destination=workspace.relative(destination),
        format=kind,
        files=files,
        size=size,
        original_size=original_size,
        ratio=round(original_size / size, 3) if size else 0.0,
    )
