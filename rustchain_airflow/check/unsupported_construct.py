"""RC108: a construct of other mission formats that has no meaning here."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule


@rule("RC108", "unsupported-construct")
def unsupported_construct(draft: Draft) -> Iterator[Found]:
    """Stacks (``missions:``) and phases are refused rather than ignored: they would change what runs when."""
    for finding in draft.canonical.findings:
        if finding.code == "RC108":
            yield Found(finding.path, finding.message, finding.help, finding.at_key)
