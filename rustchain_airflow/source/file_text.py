"""The bytes of a file, and the text that they encode."""

from __future__ import annotations

import os
import stat

from rustchain_airflow.source.faults import Fault, SourceError
from rustchain_airflow.source.spans import Lines


def read_bytes(name: str, limit: int) -> bytes:
    # O_NONBLOCK: opening a pipe that nobody writes to would wait forever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(name, flags)
        try:
            return _read_descriptor(descriptor, name, limit)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(name, [Fault("RC016", "there is no such file")]) from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(name, [Fault("RC018", f"the file cannot be read: {reason.lower()}")]) from None


def _read_descriptor(descriptor: int, name: str, limit: int) -> bytes:
    before = os.fstat(descriptor)
    if stat.S_ISDIR(before.st_mode):
        raise SourceError(name, [Fault("RC017", "this is a directory, not a file")])
    if not stat.S_ISREG(before.st_mode):
        raise SourceError(name, [Fault("RC019", "this is not a regular file")])
    if before.st_size > limit:
        raise _oversized(name, before.st_size, limit)
    chunks: list[bytes] = []
    room = before.st_size + 1  # one more than there should be, to see whether it grew
    while room and (chunk := os.read(descriptor, room)):
        chunks.append(chunk)
        room -= len(chunk)
    after = os.fstat(descriptor)
    if room != 1 or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceError(name, [Fault("RC023", "the file changed while it was read", help="try again")])
    return b"".join(chunks)


def _oversized(name: str, size: int, limit: int) -> SourceError:
    return SourceError(name, [Fault("RC020", f"the file has {size:,} bytes; the limit is {limit:,}")])


def decode(text: str | bytes, name: str, limit: int) -> tuple[bytes, str]:
    """The bytes as they are and the text without byte order mark."""
    if isinstance(text, str):
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            fault = Fault("RC022", "the text holds half of a surrogate pair", Lines(text).span(error.start, error.end))
            raise SourceError(name, [fault], text.encode(errors="replace").decode()) from None
    else:
        data = text
    if len(data) > limit:
        raise _oversized(name, len(data), limit)
    if _looks_like_utf_16(data):
        raise SourceError(name, [Fault("RC022", "the file is encoded in UTF-16, not UTF-8", help="save it as UTF-8")])
    if (nul := data.find(0)) >= 0:
        raise SourceError(name, [Fault("RC021", f"this is not a text file: byte {nul:,} is NUL")])
    try:
        return data, data.decode().lstrip("\ufeff")
    except UnicodeDecodeError as error:
        # Every byte that is no UTF-8 becomes one character, so offsets up to the first are right.
        shown = data.decode(errors="replace")
        start = len(data[: error.start].decode())
        fault = Fault(
            "RC022",
            f"the file is not encoded in UTF-8: byte 0x{data[error.start]:02x} at offset {error.start:,}",
            Lines(shown).span(start, start + 1),
            help="save it as UTF-8",
        )
        raise SourceError(name, [fault], shown) from None


def _looks_like_utf_16(data: bytes) -> bool:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    head = data[:1024]
    nul = [place % 2 for place, byte in enumerate(head) if byte == 0]  # the high halves of Western text
    return len(nul) > 0.4 * len(head) and len(set(nul)) == 1
