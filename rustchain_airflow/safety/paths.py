"""The one path guard: every file a step touches is resolved and judged here (semantics §8.1).

How it holds against races: a path is walked one component at a time from a folder handle, links are read and
followed by this module and never by the kernel, and the operation itself is done on a name relative to the last
handle without following a link there. What was judged is therefore what is used. Where the system has no such
calls (``os.supports_dir_fd``), `GuardedWorkspace._place_by_name` checks the resolved name instead, which a
program that swaps links at the same time can beat; nothing else differs.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from rustchain_airflow.steps.sdk import FileEntry, PathAccess, StepError, StepRefused

T = TypeVar("T")

MAX_LINKS = 40
"""Links followed for one path before it is taken for a circle, as in the Linux kernel."""

_TRIES = 16
"""How often a path is walked again when what it names changes kind meanwhile."""

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0) | _NOFOLLOW | _CLOEXEC
_HANDLE = getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER
"""Opens a folder to pass through: needs no permission to list it."""
_READ_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | _NOFOLLOW | _CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC

_BY_HANDLE = os.open in os.supports_dir_fd and os.scandir in os.supports_fd and _NOFOLLOW != 0

_CHANGED_KIND = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR})
_STORAGE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


class PathRefused(StepRefused):
    """The path leaves what the policy allows."""


class Allowed(NamedTuple):
    """A file or folder outside the workspace that the policy opens to steps."""

    path: Path
    access: PathAccess
    """READ allows reading only; WRITE allows both."""


class _Place:
    """Where a path leads: a name in a folder that is held open, and the folders still missing on the way."""

    __slots__ = ("folder", "linked", "missing", "name", "names")

    def __init__(
        self, folder: int | None, name: str, names: tuple[str, ...], missing: tuple[str, ...], linked: bool
    ) -> None:
        self.folder = folder
        self.name = name
        self.names = names
        """The absolute path with links resolved, by component."""
        self.missing = missing
        self.linked = linked
        """The path as written ends in a link."""

    def __enter__(self) -> _Place:
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            os.close(self.folder)

    def status(self) -> os.stat_result:
        """What is there, without following a link. OSError when nothing is."""
        if self.missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def status_of_target(self) -> os.stat_result | None:
        """What is there, where links were followed before; None when nothing is."""
        try:
            status = self.status()
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(status.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return status

    def open(self, flags: int, mode: int = 0o777) -> int:
        if self.missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return os.open(self.name, flags, mode, dir_fd=self.folder)

    def make_parents(self) -> None:
        """Make the folders that are missing on the way, and step into them."""
        if self.folder is None:
            Path(self.name).parent.mkdir(parents=True, exist_ok=True)
        while self.missing:
            name = self.missing[0]
            assert self.folder is not None
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=self.folder)
            inner = os.open(name, _HANDLE, dir_fd=self.folder)
            os.close(self.folder)
            self.folder = inner
            self.missing = self.missing[1:]

    @contextmanager
    def listed(self) -> Iterator[int | str]:
        """The folder at this place, as `os.scandir` takes it."""
        if self.folder is None:
            yield self.name
            return
        handle = self.open(os.O_RDONLY | _FOLDER)
        try:
            yield handle
        finally:
            os.close(handle)


class GuardedWorkspace:
    """The `Workspace` of a run: its folder, and what the policy allows besides.

    Making one touches no file and holds none open, so it may be shared by threads and survive a fork. ``root``
    must exist when the first method is called. Paths are those of the protocol: relative ones start at the root,
    ``..`` and links are fine where the result stays inside, ``~`` is an ordinary character.

    Raises PathRefused for what leaves the allowed folders (or is empty, or holds a NUL), StepError for a file
    that is missing, of the wrong kind, or cannot be used; both name the path as the mission wrote it.
    """

    def __init__(self, root: Path, *, also: Sequence[Allowed] = ()) -> None:
        self.root = Path(root).absolute()
        self._as_given = _components(os.fspath(self.root))
        self._names = _components(os.path.realpath(self.root))
        self._allowed = [(tuple(self._names), PathAccess.WRITE)]
        self._allowed += [(tuple(_components(os.path.realpath(path))), access) for path, access in also]

    # --- naming -----------------------------------------------------------------------------------

    def locate(self, path: str, *, access: PathAccess = PathAccess.READ) -> Path:
        """The absolute path with links resolved, for programs and libraries that open by name.

        What is there may be swapped before the name is used, so prefer the other methods where they serve.
        """
        return self._at(path, access, lambda place: Path("/", *place.names))

    def relative(self, path: str | Path) -> str:
        """How outputs name a path: relative to the workspace where it is inside, else absolute.

        Always valid Unicode: bytes of a file name that are not UTF-8 are shown as ``\\xNN``.
        """
        text = os.fspath(path)
        parts = _components(text)
        if ".." in parts:
            parts, text = _components(os.fspath(self.locate(text))), "/"
        if text.startswith("/"):
            for root in (self._names, self._as_given):
                if parts[: len(root)] == root:
                    parts = parts[len(root) :]
                    break
            else:
                return _unicode("/" + "/".join(parts))
        return _unicode("/".join(parts)) or "."

    # --- looking ----------------------------------------------------------------------------------

    def entry(self, path: str) -> FileEntry | None:
        """What is there, links followed; None when nothing is. ``is_link`` says whether the path ends in a link."""

        def look(place: _Place) -> FileEntry | None:
            status = place.status_of_target()
            if status is None:
                return None
            text = self._usable(path, place)
            return _entry(text.rpartition("/")[2], text, status, is_link=place.linked)

        try:
            return self._at(path, PathAccess.READ, look)
        except StepError as error:
            if isinstance(error.__cause__, NotADirectoryError):
                return None
            raise

    def scan(self, path: str) -> list[FileEntry]:
        """The entries of a folder in name order, links not followed; StepError when it is not a folder.

        An entry's path is one that every other method takes.
        """

        def list_entries(place: _Place) -> list[FileEntry]:
            prefix = _prefix(self._usable(path, place))
            entries = []
            with place.listed() as folder, os.scandir(folder) as found:
                for item in found:
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    is_link = stat.S_ISLNK(status.st_mode)
                    entries.append(_entry(item.name, prefix + item.name, status, is_link=is_link))
            entries.sort(key=lambda entry: entry.name)
            return entries

        return self._at(path, PathAccess.READ, list_entries)

    def walk(self, path: str, *, hidden: bool = True) -> Iterator[FileEntry]:
        """All entries below a folder: each folder before what it holds, siblings in name order, links not entered.

        Without ``hidden``, names that start with a dot are left out with all below them. What disappears
        meanwhile is left out too. Holds no file open between entries.
        """
        levels = [iter(self.scan(path))]
        while levels:
            entry = next(levels[-1], None)
            if entry is None:
                levels.pop()
                continue
            if not hidden and entry.name.startswith("."):
                continue
            yield entry
            if entry.is_dir:
                try:
                    levels.append(iter(self.scan(entry.path)))
                except StepError as error:
                    if not isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
                        raise

    def read_link(self, path: str) -> str:
        """The text of a link, wherever it leads; StepError when there is no link."""

        def read(place: _Place) -> str:
            text = None if place.missing else _link_text(place.name, place.folder)
            if text is None:
                raise StepError(f"{_shown(path)} is not a link")
            return text

        return self._at(path, PathAccess.READ, read, follow=False)

    # --- reading ----------------------------------------------------------------------------------

    def open(self, path: str) -> BinaryIO:
        """A regular file, for reading; StepError for anything else. Never blocks on a pipe or a device."""

        def open_file(place: _Place) -> BinaryIO:
            handle = place.open(_READ_FILE)
            try:
                mode = os.fstat(handle).st_mode
                if not stat.S_ISREG(mode):
                    raise StepError(f"{_shown(path)} is {_kind(mode)}, not a file")
                return os.fdopen(handle, "rb")
            except BaseException:
                os.close(handle)
                raise

        return self._at(path, PathAccess.READ, open_file)

    def open_below(self, path: str, *, wanted: Callable[[str], bool] | None = None) -> Iterator[tuple[str, int, int]]:
        """Every regular file below a folder in the order of `walk`, open for reading: path, descriptor and size.

        ``wanted`` is asked with each file's path below the folder. The descriptor belongs to the iteration, which
        closes it when it goes on. For reading very many files: it saves the walk to each of them.
        """
        top = self._listing(path)
        base = len(top[0])
        levels = [top]
        folder: int | None = None
        try:
            while levels:
                prefix, items = levels[-1]
                for name, is_folder in items:
                    if is_folder:
                        try:
                            levels.append(self._listing(prefix + name))
                        except StepError as error:
                            if isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
                                continue
                            raise
                        break
                    if wanted is not None and not wanted(prefix[base:] + name):
                        continue
                    if folder is None:
                        folder = self._at(
                            prefix or ".", PathAccess.READ, lambda place: place.open(os.O_RDONLY | _FOLDER)
                        )
                    try:
                        handle = os.open(name, _READ_FILE, dir_fd=folder)
                    except OSError as error:
                        if error.errno in (errno.ENOENT, errno.ENXIO, *_CHANGED_KIND):
                            continue
                        raise _fault(error, prefix + name) from error
                    try:
                        status = os.fstat(handle)
                        if stat.S_ISREG(status.st_mode):
                            yield prefix + name, handle, status.st_size
                    finally:
                        os.close(handle)
                else:
                    levels.pop()
                if folder is not None:
                    os.close(folder)
                    folder = None
        finally:
            if folder is not None:
                os.close(folder)

    def _listing(self, path: str) -> tuple[str, Iterator[tuple[str, bool]]]:
        """The files and folders of a folder in name order, without links, and what their paths begin with."""

        def list_names(place: _Place) -> tuple[str, Iterator[tuple[str, bool]]]:
            with place.listed() as folder, os.scandir(folder) as found:
                items = sorted(
                    (item.name, item.is_dir(follow_symlinks=False)) for item in found if not item.is_symlink()
                )
            return _prefix(self._usable(path, place)), iter(items)

        return self._at(path, PathAccess.READ, list_names)

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """The whole content; StepError when it is larger than ``max_bytes``."""
        with self.open(path) as file:
            size = os.fstat(file.fileno()).st_size
            # Room is made for what the file holds, not for all that is allowed; the size is a promise only.
            content = file.read(size + 1) if size <= max_bytes else b""
            if size < len(content) <= max_bytes:
                content += file.read(max_bytes + 1 - len(content))
        if size > max_bytes or len(content) > max_bytes:
            raise StepError(f"{_shown(path)} has {max(size, len(content))} bytes, more than max_bytes = {max_bytes}")
        return content

    # --- writing ----------------------------------------------------------------------------------

    @contextmanager
    def write(
        self, path: str, *, mode: int | None = None, overwrite: bool = True, durable: bool = True
    ) -> Iterator[BinaryIO]:
        """A file that appears whole or not at all.

        Written beside its destination, flushed to disk and renamed when the block ends without an error; removed
        otherwise. Parents are made. A new file has mode 0666 less the umask, a replaced one keeps its mode,
        unless ``mode`` says otherwise. A link is written through, where it leads inside. Without ``overwrite``
        an existing file is a StepError, and of several writers one wins. Without ``durable`` the flush is left
        out, which is most of the time of a small file: for what is built in `staging`.
        """
        draft = self._at(
            path, PathAccess.WRITE, lambda place: _Draft(place, path, mode=mode, overwrite=overwrite, durable=durable)
        )
        try:
            # The file object must not own the handle: wrappers (text, zip) close it, and fsync comes after that.
            with os.fdopen(draft.handle, "wb", closefd=False) as file:
                yield file
            draft.publish()
        except OSError as error:
            if error.errno in _STORAGE or draft.publishing:
                raise _fault(error, path) from error
            raise
        finally:
            draft.close()

    def make_folder(self, path: str) -> None:
        """A folder and its parents; an existing one is fine, anything else there is a StepError."""

        def make(place: _Place) -> None:
            place.make_parents()
            try:
                os.mkdir(place.name, dir_fd=place.folder)
            except FileExistsError:
                status = place.status_of_target()
                if status is None or not stat.S_ISDIR(status.st_mode):
                    raise

        self._at(path, PathAccess.WRITE, make)

    def make_link(self, path: str, target: str) -> None:
        """A symbolic link at ``path`` with the text ``target``; it must lead inside, as seen from its folder."""
        parts = path.rstrip("/").rpartition("/")
        seen_from = target if target.startswith("/") or not parts[0] else f"{parts[0]}/{target}"

        def link(place: _Place) -> None:
            self.locate(seen_from)
            place.make_parents()
            os.symlink(target, place.name, dir_fd=place.folder)

        self._at(path, PathAccess.WRITE, link, follow=False)

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits of a file or folder."""

        def change(place: _Place) -> None:
            handle = place.open(_READ_FILE)
            try:
                os.fchmod(handle, mode)
            finally:
                os.close(handle)

        self._at(path, PathAccess.WRITE, change)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, a link, or (recursive) a folder with all it holds; links are not followed."""

        def remove(place: _Place) -> None:
            self._refuse_roots(place, path)
            if not stat.S_ISDIR(place.status().st_mode):
                os.unlink(place.name, dir_fd=place.folder)
            elif not recursive:
                raise StepError(f"{_shown(path)} is a folder; it is only removed with recursive: true")
            else:
                _remove_tree(place)

        self._at(path, PathAccess.WRITE, remove, follow=False)

    def move(self, source: str, destination: str, *, overwrite: bool = True) -> None:
        """Rename within a device; StepError with errno EXDEV as cause across devices.

        A link is moved, not followed. A file replaces a file, a folder an empty folder; parents are made.
        """

        def leave(origin: _Place) -> None:
            self._refuse_roots(origin, source)
            moved = origin.status()

            def arrive(place: _Place) -> None:
                self._refuse_roots(place, destination)
                place.make_parents()
                _rename(origin, moved, place, source, destination, overwrite=overwrite)

            self._at(destination, PathAccess.WRITE, arrive, follow=False)

        self._at(source, PathAccess.WRITE, leave, follow=False)

    @contextmanager
    def staging(self, path: str) -> Iterator[str]:
        """A new hidden folder beside ``path``, to build in what `move` then puts in place; removed at the end."""

        def make(place: _Place) -> str:
            place.make_parents()
            name = _hidden_name()
            beside = name if place.folder is not None else str(Path(place.name).with_name(name))
            os.mkdir(beside, dir_fd=place.folder)
            # Nothing is beside the workspace itself, so there the new folder is inside.
            above = place.names if place.name == "." else place.names[:-1]
            return self._text((*above, name))

        folder = self._at(path, PathAccess.WRITE, make)
        try:
            yield folder
        finally:
            try:
                self.remove(folder, recursive=True)
            except StepError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise

    # --- the guard --------------------------------------------------------------------------------

    def _at(self, path: str, access: PathAccess, operation: Callable[[_Place], T], *, follow: bool = True) -> T:
        """Do one operation at the place a path leads to; the only door to the file system."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._place(path, access, follow=follow) as place:
                    return operation(place)
            except OSError as error:
                if error.errno in _CHANGED_KIND and tries_left:
                    continue
                raise _fault(error, path) from error
        raise AssertionError("unreachable")

    def _place(self, path: str, access: PathAccess, *, follow: bool) -> _Place:
        """Walk a path and judge where it leads. OSError for what cannot be passed, PathRefused for what leaves."""
        if not path:
            raise PathRefused("the path is empty")
        if "\0" in path:
            raise PathRefused(f"path {_quoted(path)} holds a NUL byte")
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise PathRefused(f"path {_quoted(path)} is not valid text") from None
        if not _BY_HANDLE:
            return self._place_by_name(path, access, follow=follow)

        links, through, linked = 0, None, False
        rest = _components(path)
        folder, names, rest = self._begin(rest if path.startswith("/") else [*self._names, *rest])
        try:
            while rest:
                name, rest = rest[0], rest[1:]
                if name == "..":
                    again = [*names[:-1], *rest]
                else:
                    try:
                        found = _look(folder, name, last=not rest) if rest or follow else None
                    except OSError:
                        self._judge([*names, name], access, path, through)
                        raise
                    if isinstance(found, int):
                        os.close(folder)
                        folder = found
                        names.append(name)
                        continue
                    if isinstance(found, str):
                        links += 1
                        if links > MAX_LINKS:
                            raise StepError(f"{_shown(path)} passes over {MAX_LINKS} links; do they form a circle?")
                        if self._is_inside(names, PathAccess.READ):
                            through = self._text((*names, name))
                        linked = linked or not rest
                        again = [*([] if found.startswith("/") else names), *_components(found), *rest]
                    elif ".." in rest:
                        # Nothing is there to walk back from, so `..` takes back the name before it.
                        again = [*names, *_without_dots([name, *rest])]
                    else:
                        break
                fresh = self._begin(again)
                os.close(folder)
                folder, names, rest = fresh
            else:
                self._judge(names, access, path, through)
                return _Place(folder, ".", tuple(names), (), linked)
            *missing, last = [name, *rest]
            names += [name, *rest]
            self._judge(names, access, path, through)
            return _Place(folder, last, tuple(names), tuple(missing), linked)
        except BaseException:
            os.close(folder)
            raise

    def _begin(self, parts: list[str]) -> tuple[int, list[str], list[str]]:
        """A handle to start an absolute walk from, what it stands for, and what is left to walk."""
        depth = len(self._names)
        if parts[:depth] != self._names:
            return os.open("/", _HANDLE), [], parts
        try:
            return os.open("/" + "/".join(self._names), _HANDLE), list(self._names), parts[depth:]
        except OSError as error:
            raise StepError(f"the workspace {self.root} cannot be used: {error.strerror}") from error

    def _place_by_name(self, path: str, access: PathAccess, *, follow: bool) -> _Place:
        """The place of a path on systems without folder handles: checked, then opened by its resolved name."""
        joined = self.root / path
        if follow or joined.name in ("", "..") or joined == self.root:
            real = os.path.realpath(joined)
        else:
            real = f"{os.path.realpath(joined.parent)}{os.sep}{joined.name}"
        names = _components(real)
        through = path if names != _components(os.path.normpath(joined)) else None
        self._judge(names, access, path, through)
        return _Place(None, real, tuple(names), (), follow and joined.is_symlink())

    def _judge(self, names: Sequence[str], access: PathAccess, path: str, through: str | None) -> None:
        if self._is_inside(names, access):
            return
        if access is PathAccess.WRITE and self._is_inside(names, PathAccess.READ):
            raise PathRefused(f"path {_quoted(path)} may be read but not written")
        if through is not None:
            raise PathRefused(f"path {_quoted(path)} leads outside the workspace (through link {_shown(through)})")
        raise PathRefused(f"path {_quoted(path)} leaves the workspace")

    def _is_inside(self, names: Sequence[str], access: PathAccess) -> bool:
        whole = tuple(names)
        return any(
            whole[: len(root)] == root and (access is PathAccess.READ or granted is PathAccess.WRITE)
            for root, granted in self._allowed
        )

    def _refuse_roots(self, place: _Place, path: str) -> None:
        if any(place.names == root for root, _ in self._allowed):
            raise PathRefused(f"path {_quoted(path)} is the workspace itself, or a folder the policy lists")

    def _usable(self, path: str, place: _Place) -> str:
        """The path as later calls may give it: the mission's own, tidied, or the resolved one where it has `..`."""
        parts = _components(path)
        if path.startswith("/") or ".." in parts:
            return self._text(place.names)
        return "/".join(parts) or "."

    def _text(self, names: Sequence[str]) -> str:
        depth = len(self._names)
        if list(names[:depth]) == self._names:
            return "/".join(names[depth:]) or "."
        return "/" + "/".join(names)


class _Draft:
    """A temporary file beside the file it will become."""

    def __init__(self, place: _Place, path: str, *, mode: int | None, overwrite: bool, durable: bool) -> None:
        if path.endswith("/"):
            raise StepError(f"{_shown(path)} names a folder, not a file")
        place.make_parents()
        there = place.status_of_target()
        if there is not None:
            if not stat.S_ISREG(there.st_mode):
                raise StepError(f"{_shown(path)} is {_kind(there.st_mode)}, not a file")
            if not overwrite:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            if mode is None:
                # Without the set-id bits: they spoke of the content that is being replaced.
                mode = there.st_mode & 0o777
        self._name = place.name
        self._overwrite = overwrite
        self._durable = durable
        self.publishing = False
        self._temporary = _hidden_name()
        if place.folder is None:
            self._folder = None
            self._temporary = str(Path(place.name).with_name(self._temporary))
        else:
            self._folder = os.dup(place.folder)
        with ExitStack() as undo:
            if self._folder is not None:
                undo.callback(os.close, self._folder)
            self.handle = os.open(self._temporary, _NEW_FILE, 0o666 if mode is None else 0o600, dir_fd=self._folder)
            undo.callback(os.close, self.handle)
            undo.callback(os.unlink, self._temporary, dir_fd=self._folder)
            if mode is not None:
                os.fchmod(self.handle, mode)
            undo.pop_all()

    def publish(self) -> None:
        """Flush to disk and put in place."""
        self.publishing = True
        if self._durable:
            os.fsync(self.handle)
        if self._overwrite:
            os.replace(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            _link_new(self._temporary, self._folder, self._name, self._folder)
        if self._durable:
            _flush_folder(self._folder)

    def close(self) -> None:
        """Let go of everything; the temporary file goes unless it was put in place."""
        os.close(self.handle)
        with suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._folder)
        if self._folder is not None:
            os.close(self._folder)


def _rename(
    origin: _Place, moved: os.stat_result, place: _Place, source: str, destination: str, *, overwrite: bool
) -> None:
    try:
        there = place.status()
    except FileNotFoundError:
        there = None
    is_folder = stat.S_ISDIR(moved.st_mode)
    if there is not None:
        if not overwrite:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if stat.S_ISDIR(there.st_mode) != is_folder:
            kinds = ("a folder", "a file") if is_folder else ("a file", "a folder")
            raise StepError(f"{_shown(destination)} is {kinds[1]} and {_shown(source)} is {kinds[0]}")
        if os.path.samestat(moved, there) and origin.names != place.names:
            # Two names of one file: rename would do nothing and leave both.
            os.unlink(origin.name, dir_fd=origin.folder)
            return
    if is_folder and place.names[: len(origin.names)] == origin.names and place.names != origin.names:
        raise StepError(f"{_shown(source)} cannot be moved into itself")
    if overwrite or is_folder:
        os.replace(origin.name, place.name, src_dir_fd=origin.folder, dst_dir_fd=place.folder)
    else:
        _link_new(origin.name, origin.folder, place.name, place.folder)
        os.unlink(origin.name, dir_fd=origin.folder)
    _flush_folder(place.folder)
    _flush_folder(origin.folder)


def _link_new(source: str, source_folder: int | None, name: str, folder: int | None) -> None:
    """Give a file a name that must be free; the source may keep its own. FileExistsError for all but one caller."""
    try:
        os.link(source, name, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without hard links: taking the name first makes sure that only one caller gets it.
        os.close(os.open(name, _NEW_FILE, 0o600, dir_fd=folder))
        os.replace(source, name, src_dir_fd=source_folder, dst_dir_fd=folder)


def _remove_tree(place: _Place) -> None:
    """Remove a folder, children first, never through a link and with three handles at most."""
    if place.folder is None:
        import shutil

        shutil.rmtree(place.name)
        return
    pending: list[tuple[str, ...]] = [(place.name,)]
    while pending:
        names = pending[-1]
        try:
            parent = _descend(place.folder, names[:-1])
        except FileNotFoundError:
            pending.pop()
            continue
        try:
            folders = _clear(parent, names[-1])
            if folders:
                pending += [(*names, name) for name in folders]
            else:
                with suppress(FileNotFoundError):
                    os.rmdir(names[-1], dir_fd=parent)
                pending.pop()
        finally:
            os.close(parent)


def _descend(folder: int, names: Sequence[str]) -> int:
    handle = os.dup(folder)
    for name in names:
        try:
            inner = os.open(name, _HANDLE, dir_fd=handle)
        finally:
            os.close(handle)
        handle = inner
    return handle


def _clear(parent: int, name: str) -> list[str]:
    """Remove all of a folder but its folders, which are returned."""
    folders: list[str] = []
    try:
        handle = os.open(name, os.O_RDONLY | _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        return folders
    try:
        with os.scandir(handle) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.name)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(item.name, dir_fd=handle)
    finally:
        os.close(handle)
    return folders


def _flush_folder(folder: int | None) -> None:
    """Make a rename last through a power cut, where the folder may be read and the system can."""
    if folder is None:
        return
    with suppress(OSError):
        handle = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=folder)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _look(folder: int, name: str, *, last: bool) -> int | str | None:
    """One step of a walk: a handle on a folder to pass, the text of a link, or None where neither is.

    The last name of a path is not entered, so for it only a link is something. OSError (ENOTDIR) for a file on
    the way.
    """
    if last:
        return _link_text(name, folder)
    try:
        return os.open(name, _HANDLE, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        text = _link_text(name, folder) if error.errno in _CHANGED_KIND else None
        if text is None:
            raise
        return text


def _link_text(name: str, folder: int | None) -> str | None:
    """What a link says; None for anything else, and for nothing."""
    try:
        return os.readlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _prefix(folder: str) -> str:
    """What the paths of a folder's entries begin with."""
    return "" if folder == "." else folder.rstrip("/") + "/"


def _without_dots(parts: list[str]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if part == ".." and kept and kept[-1] != "..":
            kept.pop()
        else:
            kept.append(part)
    return kept


def _hidden_name() -> str:
    import secrets

    return f".rustchain-{secrets.token_hex(8)}"


def _entry(name: str, path: str, status: os.stat_result, *, is_link: bool) -> FileEntry:
    return FileEntry(
        name=name,
        path=path,
        is_dir=stat.S_ISDIR(status.st_mode),
        is_link=is_link,
        size=status.st_size,
        modified=status.st_mtime,
        mode=stat.S_IMODE(status.st_mode),
    )


def _unicode(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _shown(path: str) -> str:
    """A path on one line, whatever characters it has."""
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in path
    )
    return shown if len(shown) <= 300 else f"{shown[:300]}…"


def _quoted(path: str) -> str:
    return f'"{_shown(path)}"'


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a link" if stat.S_ISLNK(mode) else "a device"


_FAULTS = {
    errno.ENOENT: "no such file: {path}",
    errno.ENOTDIR: "{path} is not a folder, or leads through a file",
    errno.EISDIR: "{path} is a folder, not a file",
    errno.EEXIST: "{path} exists already",
    errno.ENOTEMPTY: "folder is not empty: {path}",
    errno.EACCES: "permission denied: {path}",
    errno.EPERM: "not permitted: {path}",
    errno.ENOSPC: "no space left on the device for {path}",
    errno.EDQUOT: "the disk quota is used up: {path}",
    errno.EFBIG: "{path} would be larger than the limit on file sizes",
    errno.EROFS: "on a read-only file system: {path}",
    errno.ENAMETOOLONG: "file name is too long: {path}",
    errno.EXDEV: "{path} is on another device",
    errno.ELOOP: "{path} keeps changing while it is used",
    errno.ENXIO: "{path} is a socket or a device, not a file",
    errno.EMFILE: "too many files are open: {path}",
}


def _fault(error: OSError, path: str) -> StepError:
    message = _FAULTS.get(error.errno or 0, "{path}: {reason}")
    return StepError(message.format(path=_shown(path), reason=error.strerror or type(error).__name__))
