"""Archives: writing and reading tar, compressed in four ways, and zip, member by member."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Literal, Protocol, cast

from rustchain_airflow.steps.sdk import StepError, StepRefused, require

Format = Literal["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"]

SUFFIXES: dict[str, Format] = {
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.bz2": "tar.bz2",
    ".tbz2": "tar.bz2",
    ".tbz": "tar.bz2",
    ".tar.xz": "tar.xz",
    ".txz": "tar.xz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".zip": "zip",
}

LEVELS: dict[Format, range] = {
    "tar": range(0),
    "tar.gz": range(1, 10),
    "tar.bz2": range(1, 10),
    "tar.xz": range(10),
    "tar.zst": range(1, 23),
    "zip": range(10),
}

_LONGEST_HEADER = 1024 * 1024
"""Bytes of one name or attribute block of a tar member; they are read into memory whole."""
_LONGEST_LINK = 4096
_LARGEST_WINDOW = 2**27
"""Bytes of memory a zstd archive may ask for, as the zstd program has it."""
_ZIP64_FROM = 2**31 - 2**20
"""Size of a file from which room for larger sizes is reserved in a zip."""
_FIRST_ZIP_YEAR, _LAST_ZIP_YEAR = 1980, 2107


def format_of(path: str) -> Format | None:
    """The format that the suffix of a path names."""
    name = path.rpartition("/")[2].lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


# --- writing --------------------------------------------------------------------------------------


class ArchiveWriter(Protocol):
    """Takes members in the order they are to have. Owners are left out, so that equal files make equal archives."""

    def add_folder(self, name: str, mode: int, modified: float) -> None: ...
    def add_link(self, name: str, target: str, modified: float) -> None: ...
    def add_file(self, name: str, mode: int, modified: float, size: int, content: BinaryIO) -> None: ...


@contextmanager
def writing(file: BinaryIO, kind: Format, level: int | None) -> Iterator[ArchiveWriter]:
    """An archive written to ``file``, complete when the block ends without an error."""
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            yield _ZipWriter(archive, 6 if level is None else level)
        return
    with _compressing(file, kind, level) as stream:
        # not a with block: what failed is not to be given an end mark
        tar = tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, copybufsize=1024 * 1024)
        yield _TarWriter(tar)
        tar.close()


@contextmanager
def _compressing(file: BinaryIO, kind: Format, level: int | None) -> Iterator[Any]:
    match kind:
        case "tar.gz":
            with gzip.GzipFile("", "wb", 6 if level is None else level, file, mtime=0) as stream:
                yield stream
        case "tar.bz2":
            with bz2.BZ2File(file, "wb", compresslevel=9 if level is None else level) as stream:
                yield stream
        case "tar.xz":
            with lzma.LZMAFile(file, "wb", preset=6 if level is None else level) as stream:
                yield stream
        case "tar.zst":
            zstandard = require("zstandard", "system")
            compressor = zstandard.ZstdCompressor(level=3 if level is None else level, write_checksum=True)
            with compressor.stream_writer(file, closefd=False) as stream:
                yield stream
        case _:
            yield file


class _TarWriter:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add_folder(self, name: str, mode: int, modified: float) -> None:
        self._tar.addfile(self._member(name, tarfile.DIRTYPE, mode, modified))

    def add_link(self, name: str, target: str, modified: float) -> None:
        member = self._member(name, tarfile.SYMTYPE, 0o777, modified)
        member.linkname = target
        self._tar.addfile(member)

    def add_file(self, name: str, mode: int, modified: float, size: int, content: BinaryIO) -> None:
        member = self._member(name, tarfile.REGTYPE, mode, modified)
        member.size = size
        self._tar.addfile(member, content)
        self._tar.members.clear()  # type: ignore[attr-defined]  # it would remember every member it wrote

    @staticmethod
    def _member(name: str, kind: bytes, mode: int, modified: float) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.mode = mode & 0o777
        member.mtime = int(modified)
        return member


class _ZipWriter:
    def __init__(self, archive: zipfile.ZipFile, level: int) -> None:
        self._archive = archive
        self._level = level

    def add_folder(self, name: str, mode: int, modified: float) -> None:
        member = self._member(f"{name}/", stat.S_IFDIR | mode & 0o777, modified)
        member.external_attr |= 0x10  # what DOS calls a directory
        member.compress_type = zipfile.ZIP_STORED
        self._archive.writestr(member, b"")

    def add_link(self, name: str, target: str, modified: float) -> None:
        self._archive.writestr(self._member(name, stat.S_IFLNK | 0o777, modified), target.encode())

    def add_file(self, name: str, mode: int, modified: float, size: int, content: BinaryIO) -> None:
        member = self._member(name, stat.S_IFREG | mode & 0o777, modified)
        with self._archive.open(member, "w", force_zip64=size >= _ZIP64_FROM) as target:
            left = size
            while left and (chunk := content.read(min(left, 1024 * 1024))):
                target.write(chunk)
                left -= len(chunk)
        if left:
            raise OSError("unexpected end of data")

    def _member(self, name: str, mode: int, modified: float) -> zipfile.ZipInfo:
        moment = time.gmtime(max(modified, 0))[:6]
        year = min(max(moment[0], _FIRST_ZIP_YEAR), _LAST_ZIP_YEAR)
        member = zipfile.ZipInfo(name, moment if year == moment[0] else (year, 1, 1, 0, 0, 0))
        member.create_system = 3  # Unix: the upper half of external_attr is a mode
        member.external_attr = mode << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        member._compresslevel = self._level  # type: ignore[attr-defined]  # there is no public way before 3.13
        return member


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive that is being read; ``open`` is for a file, and before the next member."""

    name: str
    kind: Literal["file", "folder", "link", "same", "special"]
    """``same`` is a second name of the file ``target``; ``special`` a device or a pipe."""
    mode: int | None
    target: str
    open: Callable[[], IO[bytes]]


class Allowance:
    """How much an archive may unpack to, counted as it is unpacked: what its headers say is only a claim."""

    free_bytes = 1024**3
    """Up to here no ratio is asked about: logs and tables of zeros shrink to a thousandth, and do no harm."""

    def __init__(self, *, max_bytes: int, max_ratio: float, max_entries: int, archive_size: int) -> None:
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._max_entries = max_entries
        self._archive_size = archive_size
        self._entries = 0

    def entry(self) -> None:
        self._entries += 1
        if self._entries > self._max_entries:
            raise StepRefused(f"the archive holds more than {self._max_entries} entries (max_entries)")

    def check(self, unpacked: int) -> None:
        """StepRefused once so many bytes are too many."""
        if unpacked > self._max_bytes:
            raise StepRefused(f"the archive unpacks to more than {self._max_bytes} bytes (max_size)")
        if unpacked > self.free_bytes and unpacked > self._archive_size * self._max_ratio:
            raise StepRefused(
                f"the archive unpacks to more than {self._max_ratio:g} times its size (max_ratio); is it a bomb?"
            )


@contextmanager
def reading(file: BinaryIO, kind: Format, allowance: Allowance) -> Iterator[Iterator[Member]]:
    """The members of an archive in its order. StepError for a damaged one, which the end of the block may find out."""
    try:
        if kind == "zip":
            with zipfile.ZipFile(file) as archive:
                yield _zip_members(archive, allowance)
        else:
            with _decompressing(file, kind) as stream:
                counted = _Counted(stream, allowance)
                with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|", tarinfo=_BoundedTarInfo) as tar:
                    yield _tar_members(tar, allowance)
                # what follows the end mark holds the checksum of what came before it
                while counted.read(1024 * 1024):
                    pass
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError) as error:
        raise StepError(f"the archive is damaged or not a {kind} archive: {_reason(error)}") from error
    except NotImplementedError as error:
        raise StepRefused(f"the archive cannot be read: {_reason(error)}") from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 say so of bad data
            raise StepError(f"the archive is damaged or not a {kind} archive: {_reason(error)}") from error
        raise
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise StepError(f"the archive is damaged or not a {kind} archive: {_reason(error)}") from error
        raise


@contextmanager
def _decompressing(file: BinaryIO, kind: Format) -> Iterator[Any]:
    match kind:
        case "tar.gz":
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                yield stream
        case "tar.bz2":
            with bz2.BZ2File(file, "rb") as stream:
                yield stream
        case "tar.xz":
            with lzma.LZMAFile(file, "rb") as stream:
                yield stream
        case "tar.zst":
            zstandard = require("zstandard", "system")
            decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
            with decompressor.stream_reader(file, read_across_frames=True, closefd=False) as stream:
                yield stream
        case _:
            yield file


class _Counted:
    """A stream whose bytes count against an allowance."""

    def __init__(self, stream: Any, allowance: Allowance) -> None:
        self._stream = stream
        self._allowance = allowance
        self._unpacked = 0

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        self._unpacked += len(data)
        self._allowance.check(self._unpacked)
        return data


class _BoundedTarInfo(tarfile.TarInfo):
    """Refuses headers that would fill the memory, and does not take a damaged header for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _BoundedTarInfo:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            said = f"damaged or not a tar archive: {error}" if buf else "cut short: it has no end mark"
            raise StepError(f"the archive is {said}") from error
        is_header = member.type in (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if is_header and member.size > _LONGEST_HEADER:
            raise StepRefused(f"the archive has a header of {member.size} bytes; is it a bomb?")
        return member


def _tar_members(tar: tarfile.TarFile, allowance: Allowance) -> Iterator[Member]:
    while (member := tar.next()) is not None:
        allowance.entry()
        kind: Literal["file", "folder", "link", "same", "special"]
        if member.isdir():
            kind = "folder"
        elif member.issym():
            kind = "link"
        elif member.islnk():
            kind = "same"
        else:
            kind = "file" if member.isreg() else "special"

        def content(member: tarfile.TarInfo = member) -> IO[bytes]:
            opened = tar.extractfile(member)
            assert opened is not None
            return opened

        yield Member(member.name, kind, member.mode & 0o777, member.linkname, content)
        tar.members.clear()  # type: ignore[attr-defined]


def _zip_members(archive: zipfile.ZipFile, allowance: Allowance) -> Iterator[Member]:
    for member in archive.infolist():
        allowance.entry()
        name = _zip_name(member)
        if member.flag_bits & 0x1:
            raise StepRefused(f'"{name}" is encrypted, and there is no way to give a password')
        mode = member.external_attr >> 16 if member.create_system == 3 else 0
        permissions = mode & 0o777 or None

        def content(member: zipfile.ZipInfo = member) -> IO[bytes]:
            return archive.open(member)

        if stat.S_ISLNK(mode):
            with archive.open(member) as opened:
                target = opened.read(_LONGEST_LINK + 1)
            if len(target) > _LONGEST_LINK:
                raise StepRefused(f'the link "{name}" is too long')
            yield Member(name, "link", None, target.decode("utf-8", "surrogateescape"), content)
        elif member.is_dir():
            yield Member(name, "folder", permissions, "", content)
        else:
            kind: Literal["file", "special"] = "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "special"
            yield Member(name, kind, permissions, "", content)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The name as it was packed: on Unix plain bytes, which only zip's own standard takes for a DOS alphabet."""
    says_utf8, from_unix = member.flag_bits & 0x800, member.create_system == 3
    if says_utf8 or not from_unix:
        return member.filename
    return member.orig_filename.encode("cp437").decode("utf-8", "surrogateescape")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
