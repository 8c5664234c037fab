"""YAML text as plain JSON data, with the line of every value.

YAML is read more narrowly than its libraries read it, so that nothing changes its meaning on the way to a bot:
duplicate keys, keys that are not text, dates, NaN, `yes`/`no`, sexagesimal and octal numbers are refused with the
advice to quote them. Size, depth and the expansion of anchors are bounded, for a plan may come from a stranger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from orchestrator.domain.errors import Problem
from orchestrator.plans.finding import Place, dotted, shortened

SIZE_LIMIT: Final = 1_048_576  # bytes of text
DEPTH_LIMIT: Final = 60  # levels of nesting
VALUE_LIMIT: Final = 100_000  # values, once anchors are expanded
HALF_A_CHARACTER: Final = "holds half of a character (a lone surrogate)"

_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
# True to YAML 1.1; but no key of JSON is true, so that nothing else can be meant.
_PLAIN_ON: Final = ("tag:yaml.org,2002:bool", "on")
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_MAPPING_TAG: Final = "tag:yaml.org,2002:map"
_SEQUENCE_TAG: Final = "tag:yaml.org,2002:seq"
_TEMPLATE_REMEDY: Final = 'quote a template, like "{{ run.id }}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a text held: `data` is JSON (None where the text could not be read), `lines` count from 1."""

    data: Any
    lines: Mapping[Place, int]
    problems: tuple[Problem, ...]

    def line_of(self, place: Place) -> int | None:
        """The line of `place`, or of the nearest thing around it that has one."""
        for length in range(len(place), -1, -1):
            if (line := self.lines.get(place[:length])) is not None:
                return line
        return None


def parse(text: str) -> Source:
    """Read `text`; whatever it is, the answer is a Source: problems instead of exceptions."""
    loader: _Composer | None = None
    try:
        loader = _Composer(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return _unreadable(_words_of(error), line=_line_of(error))
    except yaml.reader.ReaderError as error:
        # `position` counts characters of the text for a str.
        return _unreadable(
            f"contains a character YAML does not allow: {error.reason}", line=_line_at(text, error.position)
        )
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF" that names no character
        return _unreadable(
            f"contains an escape that names no character: {error}", line=loader.line + 1 if loader else None
        )
    return _Builder(loader).source(node)


def from_json(data: Any, *, root: str = "plan") -> Source:
    """The same for data that came as JSON: it has no lines, and is held to the same bounds as a text.

    What is wrong with the whole is called `root`.
    """
    problems: list[Problem] = []
    values = 0
    waiting: list[tuple[Any, Place]] = [(data, ())]
    while waiting:
        value, place = waiting.pop()
        values += 1
        if values > VALUE_LIMIT or len(place) >= DEPTH_LIMIT:
            bound = f"more than {VALUE_LIMIT} values" if values > VALUE_LIMIT else f"{DEPTH_LIMIT} levels and more"
            return Source(data=None, lines={}, problems=(_beyond(f"holds {bound}", root=root),))
        if isinstance(value, dict):
            waiting += [(one, (*place, key) if is_utf8(key) else place) for key, one in value.items()]
            problems += [_not_json(place, HALF_A_CHARACTER, root=root) for key in value if not is_utf8(key)]
        elif isinstance(value, list):
            waiting += [(one, (*place, index)) for index, one in enumerate(value)]
        elif isinstance(value, str) and not is_utf8(value):
            problems.append(_not_json(place, HALF_A_CHARACTER, root=root))
        elif isinstance(value, float) and not math.isfinite(value):
            problems.append(_not_json(place, "is not a finite number, which JSON does not have", root=root))
    return Source(data=None if problems else data, lines={}, problems=tuple(problems))


def _not_json(place: Place, message: str, *, root: str) -> Problem:
    return Problem(path=dotted(place) if place else root, message=message, remedy="leave it out, or write it as text")


def _beyond(message: str, *, root: str = "plan") -> Problem:
    return Problem(path=root, message=message, remedy=f"split the {root}, or pass references instead of data")


def _unreadable(message: str, *, line: int | None) -> Source:
    problem = Problem(path="plan", message=f"not YAML: {message}", line=line, remedy="mend the YAML around this line")
    return Source(data=None, lines={}, problems=(problem,))


def _words_of(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part) or "cannot be read"


def _line_of(error: yaml.MarkedYAMLError) -> int | None:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark is not None else None


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


class _Composer(yaml.SafeLoader):
    """PyYAML's composer with a bound on depth: it recurses, so a bound is the only way not to exhaust the stack."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            mark = self.get_mark()
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {DEPTH_LIMIT} levels", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _TooManyValuesError(Exception):
    """Anchors expanded beyond the bound."""


@dataclass(slots=True)
class _Builder:
    """Turns nodes into data, noting lines and problems as it walks."""

    loader: _Composer
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    values: int = 0
    open_nodes: list[yaml.Node] = field(default_factory=list)

    def source(self, node: yaml.Node | None) -> Source:
        data: Any = None
        try:
            data = self.build(node, ()) if node is not None else None
        except _TooManyValuesError:
            self.refuse(
                (), 1, f"holds more than {VALUE_LIMIT} values once its anchors are expanded", "use fewer aliases"
            )
        return Source(data=data, lines=self.lines, problems=tuple(self.problems))

    def refuse(self, place: Place, line: int, message: str, remedy: str) -> None:
        self.problems.append(Problem(path=dotted(place), message=message, line=line, remedy=remedy))

    def build(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        self.values += 1
        if self.values > VALUE_LIMIT:
            raise _TooManyValuesError
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, place)
        with self.opened(node, place) as fresh:
            if not fresh:
                return None
            return self.mapping(node, place) if isinstance(node, yaml.MappingNode) else self.sequence(node, place)

    @contextmanager
    def opened(self, node: yaml.Node, place: Place) -> Iterator[bool]:
        message = None
        if any(node is other for other in self.open_nodes):
            message = "an anchor holds itself"
        elif len(self.open_nodes) >= DEPTH_LIMIT:  # shallow anchors can be stacked
            message = f"nested deeper than {DEPTH_LIMIT} levels once its anchors are expanded"
        if message is not None:
            self.refuse(place, node.start_mark.line + 1, message, "write the value out")
            yield False
            return
        self.open_nodes.append(node)
        try:
            yield True
        finally:
            self.open_nodes.pop()

    def sequence(self, node: yaml.Node, place: Place) -> list[Any]:
        self.check_tag(node, place, _SEQUENCE_TAG)
        return [self.build(child, (*place, index)) for index, child in enumerate(node.value)]

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        self.check_tag(node, place, _MAPPING_TAG)
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:  # first, so that a key of its own keeps its own line
            if key_node.tag == _MERGE_TAG:
                merged = {**self.merge(value_node, place), **merged}
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE_TAG and (key := self.key(key_node, place, own)) is not None:
                self.lines[(*place, key)] = key_node.start_mark.line + 1
                own[key] = self.build(value_node, (*place, key))
        return {**merged, **own}

    def merge(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        """What `<<` brings in: a mapping, or a list of them of which earlier ones win."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for part in parts:
            brought = self.build(part, place)
            if not isinstance(brought, dict):
                self.refuse(place, node.start_mark.line + 1, "<< merges mappings only", "name an anchor of a mapping")
                continue
            result = {**brought, **result}
        return result

    def key(self, node: yaml.Node, place: Place, seen: Mapping[str, Any]) -> str | None:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            self.refuse(place, line, "a key must be text", _TEMPLATE_REMEDY)
            return None
        if node.tag != _TEXT_TAG and (node.tag, node.value) != _PLAIN_ON:
            self.refuse(place, line, f"the key {node.value} is not text to YAML", f'quote it: "{node.value}"')
            return None
        if node.value in seen:
            first = self.lines[(*place, node.value)]
            self.refuse((*place, node.value), line, f"is given twice (first on line {first})", "keep one of them")
            return None
        return str(node.value)

    def check_tag(self, node: yaml.Node, place: Place, expected: str) -> None:
        if node.tag != expected:
            self.refuse(place, node.start_mark.line + 1, f"has the tag {node.tag}", "leave YAML tags out")

    def tagged(self, node: yaml.ScalarNode) -> bool:
        """True where the text alone would not have made it the kind it is; constructors then fail in their own ways."""
        kinds = (node.style is None, node.style is not None)
        implicit = self.loader.resolve(yaml.ScalarNode, node.value, kinds)  # type: ignore[no-untyped-call]  # so are the stubs
        return node.tag not in {implicit, _TEXT_TAG}

    def scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        line = node.start_mark.line + 1
        if self.tagged(node):
            self.refuse(place, line, f"has the tag {node.tag}", "leave YAML tags out")
            return None
        try:
            value = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self.refuse(
                place, line, f"{shortened(node.value)} is no value of its YAML kind", f'quote it: "{node.value[:40]}"'
            )
            return None
        if (message := _refused(node, value)) is not None:
            self.refuse(place, line, message, f'quote it: "{node.value[:40]}"')
            return None
        return value


def _refused(node: yaml.ScalarNode, value: Any) -> str | None:
    """Why a scalar may not pass: not JSON, or read one way by YAML 1.1 and another by YAML 1.2."""
    text = node.value
    if isinstance(value, str):
        return None if is_utf8(value) else HALF_A_CHARACTER
    if isinstance(value, bool):
        return (
            None
            if text.lower() in {"true", "false"}
            else f"{text} is true or false to some YAML readers and text to others"
        )
    if isinstance(value, int | float):
        return _refused_number(text, value)
    return None if value is None else f"{shortened(text)} is a {type(value).__name__} to YAML, which JSON does not have"


def _refused_number(text: str, value: float) -> str | None:
    if not math.isfinite(value):
        return f"{text} is not a finite number, which JSON does not have"
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    if octal or ":" in text or "_" in text or digits.startswith("0b"):
        return f"{text} is {value} to some YAML readers and something else to others"
    return None


def is_utf8(text: str) -> bool:
    """False for text that holds half of a surrogate pair: it cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
