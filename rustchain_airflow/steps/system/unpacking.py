"""Unpacks an archive into a folder that appears whole: nothing in it can reach another place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Literal

from rustchain_airflow.steps.sdk import StepError, StepRefused, Workspace
from rustchain_airflow.steps.system.archive import Allowance, Member

_CHUNK = 1024 * 1024


def link_stays_inside(name: str, target: str) -> bool:
    """Whether a link in an archive leads to a place in the archive, whatever other links there are.

    Parents are real folders, so ``..`` at the start of the target climbs what the name says it does. After a name it
    could climb from where a link has led, which only the file system would know.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    return climbs <= name.count("/") and ".." not in parts[climbs:]


class Unpacking:
    """The members of one archive, built in a folder of their own.

    Raises StepRefused for a member that leaves the destination (an absolute name, ``..``, a link that leads out, a
    name below a link) and for devices and pipes. Owners, times and set-id bits are not taken over.
    """

    def __init__(self, workspace: Workspace, folder: str, allowance: Allowance) -> None:
        self._workspace = workspace
        self._folder = folder
        self._allowance = allowance
        self._kinds: dict[str, Literal["file", "folder", "link"]] = {}
        self._links: dict[str, str] = {}
        self._modes: dict[str, int] = {}
        self.size = 0
        """Bytes of all files, written so far."""

    @property
    def files(self) -> int:
        """Files and links."""
        return sum(kind != "folder" for kind in self._kinds.values())

    def take(self, members: Iterable[Member]) -> None:
        """Write all members but links, which come last, so that nothing is written through one."""
        self._workspace.make_folder(self._folder)
        for member in members:
            name = _inside(member.name)
            if not name:
                if member.kind != "folder":
                    raise StepRefused(f'the archive holds "{_shown(member.name)}", which is no name for a file')
                continue
            self._note(name, "folder" if member.kind == "folder" else "link" if member.kind == "link" else "file")
            match member.kind:
                case "folder":
                    self._workspace.make_folder(f"{self._folder}/{name}")
                    if member.mode is not None:
                        self._modes[name] = member.mode | 0o700
                case "link":
                    if not link_stays_inside(name, member.target):
                        raise StepRefused(
                            f'the link "{_shown(member.name)}" leads to "{_shown(member.target)}", '
                            "which may be outside the destination"
                        )
                    self._links[name] = member.target
                case "same":
                    self._copy(name, _inside(member.target), member)
                case "file":
                    with member.open() as content:
                        self._write(name, content, member.mode)
                case "special":
                    raise StepRefused(f'"{_shown(member.name)}" is a device or a pipe')
        for name, target in self._links.items():
            self._workspace.make_link(f"{self._folder}/{name}", target)
        for name, mode in reversed(self._modes.items()):
            self._workspace.set_mode(f"{self._folder}/{name}", mode)

    def put_in_place(self, destination: str) -> None:
        """Move all to its destination: at once where nothing is there, else file by file into the folder."""
        there = self._workspace.entry(destination)
        if there is None:
            self._workspace.move(self._folder, destination)
            return
        fresh = self._check(destination)
        for name, kind in self._kinds.items():
            if kind == "folder":
                self._workspace.make_folder(f"{destination}/{name}")
            else:
                self._workspace.move(f"{self._folder}/{name}", f"{destination}/{name}")
        for name, mode in reversed(self._modes.items()):
            if name in fresh:
                self._workspace.set_mode(f"{destination}/{name}", mode)

    def _check(self, destination: str) -> set[str]:
        """Before anything is moved: that all of it can be. Returns the names that are not there yet."""
        fresh = set()
        for name, kind in self._kinds.items():
            parent = name.rpartition("/")[0]
            there = None if parent in fresh else self._workspace.entry(f"{destination}/{name}")
            shown = self._workspace.relative(f"{destination}/{name}")
            if there is None:
                fresh.add(name)
            elif kind == "folder" and there.is_link:
                raise StepRefused(f"{shown} is a link, and the archive has a folder there")
            elif there.is_dir and not there.is_link and kind != "folder":
                raise StepError(f"{shown} is a folder, and the archive has a file there")
            elif not there.is_dir and kind == "folder":
                raise StepError(f"{shown} is a file, and the archive has a folder there")
        return fresh

    def _note(self, name: str, kind: Literal["file", "folder", "link"]) -> None:
        """Take note of a member. Of two with the same name the later counts, as everywhere with archives."""
        parts = name.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if self._kinds.setdefault(parent, "folder") != "folder":
                raise StepRefused(f'"{_shown(name)}" lies below "{_shown(parent)}", which is no folder in the archive')
        before = self._kinds.get(name)
        if before is not None and (before == "folder") != (kind == "folder"):
            raise StepRefused(f'the archive holds "{_shown(name)}" as a folder and as a file')
        if before == "file" and kind == "link":
            self._workspace.remove(f"{self._folder}/{name}")
        if before == "link":
            del self._links[name]
        self._kinds[name] = kind

    def _copy(self, name: str, original: str, member: Member) -> None:
        """A second name of a file becomes a file of its own."""
        if self._kinds.get(original) != "file" or original == name:
            raise StepRefused(f'"{_shown(name)}" is to be the same as "{_shown(original)}", which is no file before it')
        with self._workspace.open(f"{self._folder}/{original}") as content:
            self._write(name, content, member.mode)

    def _write(self, name: str, content: IO[bytes], mode: int | None) -> None:
        path = f"{self._folder}/{name}"
        with self._workspace.write(path, mode=None if mode is None else mode | 0o400, durable=False) as file:
            while chunk := content.read(_CHUNK):
                self.size += len(chunk)
                self._allowance.check(self.size)
                file.write(chunk)


def _inside(name: str) -> str:
    """A name without what says nothing; StepRefused for one that leaves the destination."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise StepRefused(f'the archive holds "{_shown(name)}", which leaves the destination')
    return "/".join(parts)


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:200])
