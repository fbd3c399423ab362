"""RC203: a dependency that only a reference tells."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Ancestry, Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.diagnostics import Severity


@rule("RC203", "inferred-dependency", Severity.NOTE)
def inferred_dependency(draft: Draft) -> Iterator[Found]:
    """A step reads the result of a step that its ``depends_on`` does not imply; it waits for it all the same.

    Writing the dependency makes the graph in the file the graph that runs (semantics §2.1).
    """
    inferred = [(step, edge) for step in draft.steps for edge in draft.dependencies[step.index] if edge.inferred]
    if not inferred:
        return
    written = Ancestry(
        {index: [edge.upstream for edge in edges if not edge.inferred] for index, edges in draft.dependencies.items()}
    )
    for step, edge in inferred:
        if edge.upstream != step.index and not written.precedes(edge.upstream, step.index):
            upstream = draft.at(edge.upstream).step.id
            names = ", ".join(f'"{name}"' for name in [*step.step.depends_on, upstream])
            yield Found(
                edge.path,
                f'step "{step.step.id}" reads "{upstream}" and therefore waits for it',
                f"write depends_on: [{names}]",
                within=edge.within,
            )
