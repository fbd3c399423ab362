"""RC202: steps that wait for each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from rustchain_airflow.check.draft import Dependency, Draft
from rustchain_airflow.check.rule import Found, rule


@rule("RC202", "dependency-cycle")
def dependency_cycle(draft: Draft) -> Iterator[Found]:
    """Steps depend on each other in a circle, so none of them could ever start. A step that waits for itself is one.

    References count as dependencies: a step that reads another's output has to wait for it (semantics §2.1, §2.2).
    """
    for cycle in _cycles(draft.dependencies):
        names = [draft.at(index).step.id for index in cycle]
        following = cycle[1] if len(cycle) > 1 else cycle[0]
        edge = next(edge for edge in draft.dependencies[cycle[0]] if edge.upstream == following)
        if len(names) == 1:
            yield Found(
                edge.path,
                f"dependency cycle: {names[0]} → {names[0]}",
                "a step cannot wait for itself",
                within=edge.within,
            )
        else:
            yield Found(
                edge.path, f"dependency cycle: {_circle(names)}", "remove one of these dependencies", within=edge.within
            )


def _circle(names: list[str]) -> str:
    """The cycle in the order things would run: ``names`` lists each step before the one it waits for."""
    first, *others = names
    return " → ".join([first, *reversed(others), first])


def _cycles(dependencies: dict[int, list[Dependency]]) -> Iterator[list[int]]:
    """One cycle for each group of steps that cannot be ordered, from its earliest step, along "waits for"."""
    remaining = _unorderable(dependencies)
    for start in sorted(remaining):
        place: dict[int, int] = {}
        walk: list[int] = []
        here = start
        while here in remaining and here not in place:
            place[here] = len(walk)
            walk.append(here)
            here = next((edge.upstream for edge in dependencies[here] if edge.upstream in remaining), -1)
        if here in place:
            cycle = walk[place[here] :]
            earliest = cycle.index(min(cycle))
            yield cycle[earliest:] + cycle[:earliest]
        remaining.difference_update(walk)


def _unorderable(dependencies: dict[int, list[Dependency]]) -> set[int]:
    """The steps left when all that can be ordered have been (Kahn)."""
    waiting = {index: len(edges) for index, edges in dependencies.items()}
    dependents: dict[int, list[int]] = {index: [] for index in dependencies}
    for index, edges in dependencies.items():
        for edge in edges:
            dependents[edge.upstream].append(index)
    ready = deque(index for index, count in waiting.items() if count == 0)
    while ready:
        for dependent in dependents[ready.popleft()]:
            waiting[dependent] -= 1
            if waiting[dependent] == 0:
                ready.append(dependent)
    return {index for index, count in waiting.items() if count > 0}
