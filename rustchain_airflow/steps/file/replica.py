"""A copy of a file or folder, built beside its destination and verified before it is put in place."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import BinaryIO

from rustchain_airflow.steps.sdk import FileEntry, PathAccess, StepError, StepRefused, Workspace

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """What a file or folder holds."""

    size: int
    """Bytes of all files."""
    files: int
    sha256: str
    """Of a file: of its bytes. Of a folder: of the lines ``DIGEST  NAME`` of all its files in name order, and
    ``-> TARGET  NAME`` of its links: what ``sha256sum`` prints for them, names relative to the folder."""


def destination_for(source: str, destination: str) -> str:
    """Where a file goes: a destination that ends with a slash is the folder to put it in."""
    return destination + source.rstrip("/").rpartition("/")[2] if destination.endswith("/") else destination


def existing(workspace: Workspace, path: str) -> FileEntry:
    """What is at a path; StepError when nothing is."""
    entry = workspace.entry(path)
    if entry is None:
        raise StepError(f"no such file: {workspace.relative(path)}") from FileNotFoundError(path)
    return entry


def copy(workspace: Workspace, source: str, destination: str, *, overwrite: bool, verify: bool) -> Content:
    """Copy a file or folder with its modes; links below a folder stay links.

    The destination appears whole or not at all. A folder that is there is merged into, file by file; what it has
    besides stays. StepRefused for a copy onto or into itself, and for a link below the source that leads outside.
    """
    origin = existing(workspace, source)
    here, there = workspace.locate(source), workspace.locate(destination, access=PathAccess.WRITE)
    if here == there:
        raise StepRefused(f"source and destination are the same: {workspace.relative(source)}")
    if origin.is_dir and here in there.parents:
        raise StepRefused(f"{workspace.relative(source)} cannot be copied into itself")
    target = workspace.entry(destination)
    if target is not None:
        if not overwrite:
            raise StepError(f"{workspace.relative(destination)} exists already") from FileExistsError(destination)
        if target.is_dir and not origin.is_dir:
            shown = workspace.relative(destination)
            raise StepError(f'{shown} is a folder; write "{shown}/" to copy the file into it')
        if origin.is_dir and not target.is_dir:
            raise StepError(f"{workspace.relative(destination)} is a file and {workspace.relative(source)} is a folder")
    # Links are followed here once: a file is copied through a link at its destination, as everywhere.
    destination = os.fspath(there)
    with workspace.staging(destination) as staging:
        built = f"{staging}/{here.name}"
        content = _copy_tree(workspace, source, built) if origin.is_dir else _copy_file(workspace, source, built)
        if verify and content_of(workspace, built) != content:
            raise StepError(f"the copy of {workspace.relative(source)} differs from it; it was not put in place")
        if target is not None and target.is_dir:
            _merge(workspace, built, destination)
        else:
            workspace.move(built, destination, overwrite=overwrite)
    return content


def content_of(workspace: Workspace, path: str) -> Content:
    """Size, number and digest of the files there."""
    if not existing(workspace, path).is_dir:
        with workspace.open(path) as file:
            size, digest = _read_through(file, None)
        return Content(size, 1, digest)
    listing = _Listing()
    prefix = None
    for entry in workspace.walk(path):
        if prefix is None:
            prefix = len(entry.path) - len(entry.name)
        if entry.is_link:
            listing.add_link(entry.path[prefix:], workspace.read_link(entry.path))
        elif not entry.is_dir:
            with workspace.open(entry.path) as file:
                listing.add_file(entry.path[prefix:], *_read_through(file, None))
    return listing.content()


class _Listing:
    """Collects what a folder holds."""

    def __init__(self) -> None:
        self._lines: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._files = 0

    def add_file(self, name: str, size: int, digest: str) -> None:
        self._lines.append((os.fsencode(name), digest.encode()))
        self._size += size
        self._files += 1

    def add_link(self, name: str, target: str) -> None:
        self._lines.append((os.fsencode(name), b"-> " + os.fsencode(target)))

    def content(self) -> Content:
        digest = hashlib.sha256()
        for name, what in sorted(self._lines):
            digest.update(what + b"  " + name + b"\n")
        return Content(self._size, self._files, digest.hexdigest())


def _copy_file(workspace: Workspace, source: str, destination: str) -> Content:
    with workspace.open(source) as origin:
        mode = os.fstat(origin.fileno()).st_mode & 0o777
        with workspace.write(destination, mode=mode, overwrite=False) as target:
            size, digest = _read_through(origin, target)
    return Content(size, 1, digest)


def _copy_tree(workspace: Workspace, source: str, destination: str) -> Content:
    listing = _Listing()
    folders = [("", existing(workspace, source).mode)]
    workspace.make_folder(destination)
    for folder, _ in folders:
        for entry in workspace.scan(f"{source}/{folder}"):
            name = folder + entry.name
            if entry.is_link:
                workspace.locate(f"{source}/{name}")
                text = workspace.read_link(f"{source}/{name}")
                workspace.make_link(f"{destination}/{name}", text)
                listing.add_link(name, text)
            elif entry.is_dir:
                workspace.make_folder(f"{destination}/{name}")
                folders.append((f"{name}/", entry.mode))
            else:
                copied = _copy_file(workspace, f"{source}/{name}", f"{destination}/{name}")
                listing.add_file(name, copied.size, copied.sha256)
    for folder, mode in reversed(folders):
        # Last, because a folder that may not be written could not be filled.
        workspace.set_mode(f"{destination}/{folder}", mode)
    return listing.content()


def _merge(workspace: Workspace, built: str, destination: str) -> None:
    """Put each file of a finished copy in place by a rename."""
    prefix = None
    for entry in workspace.walk(built):
        if prefix is None:
            prefix = len(entry.path) - len(entry.name)
        target = f"{destination}/{entry.path[prefix:]}"
        if entry.is_dir:
            workspace.make_folder(target)
        else:
            workspace.move(entry.path, target)


def _read_through(origin: BinaryIO, target: BinaryIO | None) -> tuple[int, str]:
    """Read to the end, writing along; size and SHA-256 of what was read."""
    digest = hashlib.sha256()
    size = 0
    while chunk := origin.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
    return size, digest.hexdigest()
