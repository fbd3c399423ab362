"""The step type ftp_upload."""

from __future__ import annotations

import ftplib
from contextlib import suppress
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import Field

from rustchain_airflow.steps.network.ftp_session import (
    CHUNK,
    FtpParameters,
    FtpSession,
    remote_path,
    session,
    temporary_name,
)
from rustchain_airflow.steps.sdk import Output, ReadPath, StepContext, StepError, step


class FtpUploadParameters(FtpParameters):
    """What to send where."""

    local_file: ReadPath = Field(description="The file to send.")
    remote_file: str = Field(description="Its path on the server; one that is there is replaced.")
    create_dirs: bool = Field(False, description="Make the folders on the way that are missing.")
    atomic: bool = Field(True, description="Send to a temporary name and rename, so that nobody sees half a file.")


class FtpUploadOutput(Output):
    """What was sent."""

    main: ClassVar[str | None] = "remote_file"

    remote_file: str
    size: int = Field(description="Bytes sent.")
    verified: bool = Field(description="Whether the server said that it has so many bytes; false where it cannot say.")


@step(idempotent=True)
def ftp_upload(parameters: FtpUploadParameters, context: StepContext) -> FtpUploadOutput:
    """Send a file to an FTP server, over TLS where it is offered.

    With `tls: auto` the session is encrypted where the server offers TLS (AUTH TLS, data connections
    included), and the certificate is checked as with `true`: one that is not trusted fails the step,
    rather than fall back to plain FTP. Only `true` protects against somebody on the way who hides the
    offer.

    The server's count of the bytes is compared with what was sent; where they differ the step fails.
    With `atomic` the file is built under a hidden temporary name in the same folder, checked, and renamed;
    on a failure it is removed, over a new session where the old one broke. What a killed step leaves under
    that name is overwritten by its next attempt.
    """
    target = remote_path(parameters.remote_file)
    place = temporary_name(target, context) if parameters.atomic else target
    try:
        with session(parameters, context) as ftp:
            if parameters.create_dirs:
                _make_folders(ftp, target)
            size = _send(parameters, context, ftp, place)
            there = ftp.size(place)
            if there is not None and there != size:
                raise StepError(f"{ftp.place} has {there} bytes of the {size} that were sent")
            if parameters.atomic:
                ftp.client.rename(place, target)
    except StepError:
        if parameters.atomic:
            _clean_up(parameters, context, place)
        raise
    return FtpUploadOutput(remote_file=target, size=size, verified=there is not None)


def _send(parameters: FtpUploadParameters, context: StepContext, ftp: FtpSession, place: str) -> int:
    sent = 0

    def count(chunk: bytes) -> None:
        nonlocal sent
        sent += len(chunk)

    with context.workspace.open(parameters.local_file) as file:
        ftp.client.storbinary(f"STOR {place}", file, CHUNK, count)
    return sent


def _make_folders(ftp: FtpSession, target: str) -> None:
    folders = [str(folder) for folder in PurePosixPath(target).parents if str(folder) not in (".", "/")]
    for folder in reversed(folders):
        try:
            ftp.client.mkd(folder)
        except ftplib.error_perm as error:
            here = ftp.client.pwd()
            try:  # a folder that is there already is told from one that may not be made by entering it
                ftp.client.cwd(folder)
            except ftplib.error_perm:
                raise error from None
            ftp.client.cwd(here)


def _clean_up(parameters: FtpUploadParameters, context: StepContext, place: str) -> None:
    """Remove what a failed upload may have left, as far as the server still can be reached."""
    with suppress(StepError), session(parameters, context) as ftp:
        ftp.client.delete(place)
