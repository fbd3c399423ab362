"""YAML text to a value, and to its events, by libyaml's parser."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from rustchain_airflow.source.builder import Builder, Stop, shortened
from rustchain_airflow.source.events import END, LIST, MAPPING, SCALAR, Event
from rustchain_airflow.source.faults import Fault
from rustchain_airflow.source.limits import Limits
from rustchain_airflow.source.numbers import UNREPRESENTABLE
from rustchain_airflow.source.yaml_scalars import CORE, SCALAR_TAGS, TYPED, cached_meaning, meaning, tagged

_CACHED_LENGTH: Final = 64
_GROWTH: Final = 10
_MERGE: Final = object()
"""Stands for the key ``<<``; told apart by identity."""


class _Anchor(NamedTuple):
    value: Any
    nodes: int
    """How many nodes an alias adds; 0 while the anchored node is still open."""
    height: int = 0
    """How many levels of lists and mappings it is."""
    key: str | None = None
    """The text as a key, when it is a scalar."""


class YamlBuilder(Builder):
    """Builds the value of a YAML text from its events."""

    def __init__(self, text: str, limits: Limits) -> None:
        super().__init__(text, limits)
        self._anchors: dict[str, _Anchor] = {}
        self._added = 0

    def _value(self) -> Any:
        """The loop that all of a file goes through: kept flat, because calls are what it would cost most."""
        import yaml

        parser = _parser_class()(self._text)
        next_event = parser.get_event
        scalar, alias = yaml.ScalarEvent, yaml.AliasEvent
        mapping_start, sequence_start = yaml.MappingStartEvent, yaml.SequenceStartEvent
        ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        anchors, short_meaning = self._anchors, cached_meaning
        max_depth, max_nodes = self._limits.max_depth, self._limits.max_nodes
        keys: dict[str, str] = {}  # equal keys are one object: a large mission repeats a few hundred times

        roots: list[Any] = []
        stack: list[tuple[Any, Any, dict[Any, int], list[Any], str | None, int, int]] = []
        container: Any = roots
        key: Any = None
        seen: dict[Any, int] = {}
        merged: list[Any] = []
        nodes = 0
        height = 0  # levels below the open container
        odd_key_depth = 0  # above zero inside a list or mapping that stands as a key: one fault is enough
        try:
            while True:
                event = next_event()
                kind = event.__class__
                if kind is scalar:
                    nodes += 1
                    text = value = event.value
                    if event.tag is not None:
                        value = self._tagged_scalar(event)
                    elif not event.style and text[:1] in TYPED:
                        value = short_meaning(text) if len(text) < _CACHED_LENGTH else meaning(text)
                        if value is not text:
                            if len(stack) == 1 and key == "version" and type(value) in (int, float):
                                value = text
                            elif value is UNREPRESENTABLE and (key is not None or container.__class__ is list):
                                self._unrepresentable(text, *_extent(event))
                    if event.anchor is not None:
                        anchors[event.anchor] = _Anchor(value, 1, key=text)
                elif kind in ends:
                    value, text = container, None
                    if merged:
                        for base in merged:
                            for name, item in base.items():
                                value.setdefault(name, item)
                    container, key, seen, merged, anchor, before, beside = stack.pop()
                    height += 1
                    if anchor is not None:
                        anchors[anchor] = _Anchor(value, nodes - before, height)
                    if beside > height:
                        height = beside
                    if len(stack) < odd_key_depth:
                        odd_key_depth = 0
                elif kind is mapping_start or kind is sequence_start:
                    nodes += 1
                    if len(stack) >= max_depth:
                        self._too_deep(event.start_mark.index)
                    if event.tag is not None:
                        self._collection_tag(event, "map" if kind is mapping_start else "seq")
                    if key is None and container.__class__ is dict and not odd_key_depth:
                        self._odd_key(event)
                        odd_key_depth = len(stack) + 1
                    stack.append((container, key, seen, merged, event.anchor, nodes - 1, height))
                    if event.anchor is not None:
                        anchors[event.anchor] = _Anchor(None, 0)
                    height = 0
                    container = {} if kind is mapping_start else []
                    key, seen, merged = None, {}, []
                    continue
                elif kind is alias:
                    target = self._alias(event, nodes)
                    value, text = target.value, target.key
                    nodes += target.nodes
                    height = max(height, target.height)
                    if len(stack) + target.height > max_depth:
                        self._too_deep(event.start_mark.index)
                    if text is None and key is None and container.__class__ is dict:
                        self._odd_key(event)
                elif kind is yaml.DocumentStartEvent:
                    if roots:
                        help = "put each mission into a file of its own"
                        start = event.start_mark.index
                        self._stop("RC003", "a second document starts here", start, start + 3, help)
                    continue
                elif kind is yaml.StreamEndEvent:
                    break
                else:
                    continue

                if nodes > max_nodes:
                    start = event.start_mark.index
                    self._stop("RC010", f"the document holds more than {max_nodes:,} values", start, start + 1)
                if container.__class__ is list:
                    container.append(value)
                elif key is None:
                    start = event.start_mark.index
                    if text is None:  # a faulty key: anything that is not there yet
                        key = f"\0{start}"
                    elif text == "<<" and kind is scalar and not event.style and event.tag is None:
                        key = _MERGE
                    else:
                        key = keys.setdefault(text, text)
                    first = seen.setdefault(key, start)
                    if first != start and not odd_key_depth:
                        self._duplicate_key(key, first, event)
                elif key is _MERGE:
                    merged.extend(self._merge(value, seen[key]))
                    key = None
                else:
                    container[key] = value
                    key = None
        except yaml.YAMLError as error:
            self._syntax(error)
            raise Stop from None
        finally:
            parser.dispose()
        if not roots or (roots[0] is None and not text):
            self.faults.append(Fault("RC015", "the file is empty" if roots else "the file holds nothing but comments"))
            raise Stop
        return roots[0]

    def _duplicate_key(self, key: Any, first: int, event: Any) -> None:
        if key is _MERGE:
            self._duplicate("<<", first, *_extent(event), help="merge several with <<: [*one, *other]")
        else:
            self._duplicate(key, first, *_extent(event))

    def _alias(self, event: Any, nodes: int) -> _Anchor:
        start, end = _extent(event)
        target = self._anchors.get(event.anchor)
        if target is None:
            help = f'define it above with "&{event.anchor}", or quote the value if it is text'
            self._fault("RC006", f'alias "*{event.anchor}" has no anchor above it', start, end, help)
        elif target.nodes == 0:
            self._fault("RC007", f'alias "*{event.anchor}" stands inside the part that it refers to', start, end)
        else:
            written = nodes - self._added
            self._added += target.nodes
            most = max(self._limits.max_expansion, _GROWTH * written)
            if self._added > most:
                message = f"aliases up to here repeat more than {most:,} values"
                self._stop("RC008", message, start, end, "write less with aliases and merge keys")
            return target
        return _Anchor(None, 1, key=f"*{event.anchor}")

    def _merge(self, value: Any, start: int) -> list[dict[str, Any]]:
        bases = value if isinstance(value, list) else [value]
        if all(isinstance(base, dict) for base in bases):
            return bases
        message = '"<<" takes a mapping or a list of mappings'
        self._fault("RC014", message, start, start + 2, 'quote the key if "<<" is meant as text')
        return []

    def _tagged_scalar(self, event: Any) -> Any:
        start, end = _extent(event)
        kind = event.tag.removeprefix(CORE)
        if kind in SCALAR_TAGS and kind != event.tag:
            try:
                value = tagged(kind, event.value)
            except ValueError:
                message = f'"{shortened(event.value)}" is not what its tag !!{kind} says'
                self._fault("RC005", message, start, end)
                return None
            if value is UNREPRESENTABLE:
                self._unrepresentable(event.value, start, end)
            return value
        if event.tag != "!":
            self._bad_tag(event, ("map", "seq"))
        return event.value

    def _collection_tag(self, event: Any, kind: str) -> None:
        if event.tag not in ("!", CORE + kind):
            self._bad_tag(event, ({"map", "seq"} | SCALAR_TAGS) - {kind})

    def _bad_tag(self, event: Any, misplaced: Iterable[str]) -> None:
        start = event.start_mark.index
        tag = "!!" + event.tag.removeprefix(CORE) if event.tag.startswith(CORE) else event.tag
        if written := re.compile(r"(?:&\S+\s+)?(!\S*)").match(self._text, start):
            start, tag = written.start(1), written[1]
        end = start + len(tag)
        if event.tag.removeprefix(CORE) in misplaced and event.tag.startswith(CORE):
            self._fault("RC005", f"the value is not what its tag {tag} says", start, end)
        else:
            self._fault(
                "RC004", f'tag "{shortened(tag)}" is not known here', start, end, "remove the tag, or quote the value"
            )

    def _odd_key(self, event: Any) -> None:
        start = event.start_mark.index
        if start and self._text.startswith("{{", start - 1):
            start -= 1
        if not self._text.startswith("{{", start):
            self._fault("RC012", "a list or a mapping cannot be a key", start, start + 1, "write the key as text")
            return
        from rustchain_airflow.source.yaml_faults import unquoted_reference

        message, start, help, length = unquoted_reference(self._text, start)
        self._fault("RC011", message, start, start + length, help)

    def _syntax(self, error: Any) -> None:
        """A parser's error in our own words."""
        from rustchain_airflow.source.yaml_faults import complaint_of, control_character

        if not hasattr(error, "problem_mark"):  # the reader's: a character that no YAML text may hold
            message, start, help, length = control_character(self._text)
            self._fault("RC001", message, start, start + length, help)
            return
        mark, opened = error.problem_mark, error.context_mark
        start = mark.index if mark is not None else len(self._text)
        complaint = complaint_of(self._text, self._lines, error.problem or "", start, opened.index if opened else start)
        line, _ = self._lines.position(start)
        if any(fault.code == "RC011" and fault.span and fault.span.line == line for fault in self.faults):
            return  # the rest of a value that begins with an unquoted reference
        self._mishap(complaint)


def yaml_events(text: str) -> Iterator[Event]:
    """The parts of a YAML text in order; an alias counts as a scalar. Raises yaml.YAMLError where it is not YAML."""
    import yaml

    kinds = {
        yaml.ScalarEvent: SCALAR,
        yaml.AliasEvent: SCALAR,
        yaml.MappingStartEvent: MAPPING,
        yaml.SequenceStartEvent: LIST,
        yaml.MappingEndEvent: END,
        yaml.SequenceEndEvent: END,
    }
    parser = _parser_class()(text)
    written = 0  # where the last node ended: a block has no end of its own
    try:
        while (event := parser.get_event()).__class__ is not yaml.StreamEndEvent:
            kind = kinds.get(event.__class__)
            if kind is None:
                continue
            start, end = _extent(event)
            if kind == SCALAR:
                value = getattr(event, "value", None)
                if getattr(event, "style", None) in ("|", ">"):
                    end = start + len(text[start:end].rstrip())
                yield kind, value, start, end
                written = end
            elif kind == END:
                if end > start:
                    written = end
                yield kind, None, start, written
            else:
                yield kind, None, start, end
                written = end if end > start else written
    finally:
        parser.dispose()


@cache
def _parser_class() -> Any:
    import yaml

    if hasattr(yaml, "CSafeLoader"):
        return yaml.CSafeLoader
    warnings.warn(
        "PyYAML was built without libyaml: reading missions takes about ten times as long", RuntimeWarning, stacklevel=2
    )
    return yaml.SafeLoader


def _extent(event: Any) -> tuple[int, int]:
    return event.start_mark.index, event.end_mark.index
