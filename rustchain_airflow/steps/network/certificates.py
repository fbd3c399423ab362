"""Which certificates of servers the steps of this family trust."""

from __future__ import annotations

import ssl

from rustchain_airflow.steps.sdk import StepContext, StepRefused

_MAX_BYTES = 4 * 1024 * 1024


def trust(context: StepContext, ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """A client's TLS settings: the system's certificates or those of a PEM file, or none checked.

    StepRefused for a file that holds no certificate.
    """
    settings = ssl.create_default_context()
    if not verify:
        settings.check_hostname = False
        settings.verify_mode = ssl.CERT_NONE
    elif ca_file is not None:
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        text = context.workspace.read(ca_file, max_bytes=_MAX_BYTES).decode("ascii", "replace")
        try:
            settings.load_verify_locations(cadata=text)
        except ssl.SSLError as error:
            raise StepRefused(f"ca_file {ca_file} holds no certificate in PEM form") from error
    return settings
