"""Where the wanted parts of a text stand, found in one pass over its events."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rustchain_airflow.source.events import END, LIST, MAPPING, SCALAR, Event
from rustchain_airflow.source.spans import DocumentPath, Lines, Span


def locate(
    wanted: Collection[tuple[DocumentPath, bool]], events: Iterator[Event], lines: Lines
) -> dict[tuple[DocumentPath, bool], Span]:
    """The spans of paths, or of their keys where the second part of a pair says so; see `Document.locate`."""
    root = _Place()
    for path, _ in wanted:
        place = root
        for segment in path:
            place = place.children.setdefault(segment, _Place())
        place.is_target = True
    _survey(root, events)
    return {(path, at_key): _span(root, path, at_key, lines) for path, at_key in wanted}


def _span(root: _Place, path: DocumentPath, at_key: bool, lines: Lines) -> Span:
    place = root
    for segment in path:
        child = place.children[segment]
        if child.start is None:
            break
        place = child
    if at_key and place.key is not None:
        return lines.span(*place.key)
    start = place.start or 0
    return lines.span(start, start if place.end is None else place.end)


class _Place:
    """A node of the tree of wanted paths, and where the text has it."""

    __slots__ = ("children", "end", "is_target", "key", "start")

    def __init__(self) -> None:
        self.children: dict[str | int, _Place] = {}
        self.is_target = False
        self.key: tuple[int, int] | None = None
        self.start: int | None = None
        self.end: int | None = None

    def targets(self) -> int:
        pending, count = [self], 0
        while pending:
            place = pending.pop()
            count += place.is_target
            pending.extend(place.children.values())
        return count


def _survey(root: _Place, events: Iterator[Event]) -> None:
    """Fill in where the wanted places are; ends when the last of them has."""
    missing = root.targets()
    stack: list[tuple[_Place, bool, int]] = []
    place, is_mapping, index = root, False, -1  # the root stands as the only item of a list without a place
    key: str | None = None
    key_at = (0, 0)
    skipped = 0
    for kind, value, start, end in events:
        if skipped:
            skipped += 1 if kind in (MAPPING, LIST) else -1 if kind == END else 0
            continue
        if kind == END:
            place.end = end
            missing -= place.is_target
            if not missing:
                return
            place, is_mapping, index = stack.pop()
            continue
        if is_mapping and key is None:
            key, key_at = value, (start, end)
            continue
        segment: str | int = index if key is None else key
        child = place.children.get(segment) if index >= 0 or is_mapping else root
        index += 1
        if child is not None and child.start is None:
            child.start, child.end = start, end
            child.key = None if key is None else key_at
            if kind == SCALAR:
                missing -= child.is_target
                if not missing:
                    return
        key = None
        if kind != SCALAR:
            if child is None:
                skipped = 1
            else:
                stack.append((place, is_mapping, index))
                place, is_mapping, index = child, kind == MAPPING, 0
