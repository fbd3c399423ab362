"""The step type ftp_download."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rustchain_airflow.steps.network.ftp_session import CHUNK, FtpParameters, remote_path, session
from rustchain_airflow.steps.sdk import Output, StepContext, StepError, WritePath, step


class FtpDownloadParameters(FtpParameters):
    """What to fetch, and where to."""

    remote_file: str = Field(description="The path of the file on the server.")
    local_file: WritePath = Field(description="Where it goes; folders are made, a file that is there is replaced.")


class FtpDownloadOutput(Output):
    """What was fetched."""

    main: ClassVar[str | None] = "local_file"

    local_file: str
    size: int = Field(description="Bytes received.")
    verified: bool = Field(description="Whether the server said that the file has so many; false where it cannot say.")


@step(idempotent=True)
def ftp_download(parameters: FtpDownloadParameters, context: StepContext) -> FtpDownloadOutput:
    """Fetch a file from an FTP server, over TLS where it is offered (see ftp_upload for what that means).

    The file appears whole or not at all: it is written beside its place and renamed when the transfer is
    complete and its size is what the server says. A connection that is cut leaves nothing, and an earlier
    file as it was.
    """
    source = remote_path(parameters.remote_file)
    received = 0
    with context.workspace.write(parameters.local_file) as file, session(parameters, context) as ftp:
        expected = ftp.size(source)

        def keep(chunk: bytes) -> None:
            nonlocal received
            try:
                file.write(chunk)
            except OSError as error:  # not to be taken for a fault of the connection
                raise StepError(f"{parameters.local_file} cannot be written: {error.strerror}") from error
            received += len(chunk)

        ftp.client.retrbinary(f"RETR {source}", keep, CHUNK)
        if expected is not None and received != expected:
            raise StepError(f"{ftp.place} sent {received} bytes of the {expected} that the file has")
    workspace = context.workspace
    return FtpDownloadOutput(
        local_file=workspace.relative(workspace.locate(parameters.local_file)),
        size=received,
        verified=expected is not None,
    )
