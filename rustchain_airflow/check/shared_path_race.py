"""RC204: two steps that may use one file at the same time."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from itertools import pairwise

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import DraftStep
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.diagnostics import Severity
from rustchain_airflow.source import DocumentPath
from rustchain_airflow.steps.sdk import PathAccess

MOST_STEPS = 20_000
"""Beyond this many steps the question would cost more memory than the answer is worth."""


@rule("RC204", "shared-path-race", Severity.WARNING)
def shared_path_race(draft: Draft) -> Iterator[Found]:
    """Two steps with no path between them use the same file, and one of them writes it.

    Which one comes first is decided by chance; order them with ``depends_on`` (semantics §2.5).
    """
    if len(draft.steps) > MOST_STEPS:
        return
    touched: dict[str, list[tuple[DraftStep, DocumentPath, PathAccess]]] = {}
    for step in draft.steps:
        for name, path, access in literal_paths(step):
            touched.setdefault(posixpath.normpath(path), []).append((step, (*step.path, "parameters", name), access))
    for path, accesses in touched.items():
        for (first, _, how), (second, place, other) in pairwise(accesses):
            if first is second or PathAccess.WRITE not in (how, other):
                continue
            ancestry = draft.ancestry
            if ancestry.precedes(first.index, second.index) or ancestry.precedes(second.index, first.index):
                continue
            names = ", ".join(f'"{name}"' for name in [*second.step.depends_on, first.step.id])
            yield Found(
                place,
                f'steps "{first.step.id}" and "{second.step.id}" both use "{path}" and nothing orders them',
                f'in step "{second.step.id}", write depends_on: [{names}]',
            )


def literal_paths(step: DraftStep) -> Iterator[tuple[str, str, PathAccess]]:
    """The paths a step names without references, by the key they are written under."""
    if step.implementation is None:
        return
    for name, access in step.implementation.declared.paths.items():
        written = step.written_key(name)
        value = step.step.parameters.get(written)
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, str) and path and "{{" not in path:
                yield written, path, access
