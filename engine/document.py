"""A YAML text read into a tree in which every value and every key knows its place.

The tree is built from PyYAML's events and never by recursion, so that size, depth and aliases are bounded before
anything is made of them. Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema):
`1e-4` is a number, `16:9`, `on` and `yes` are texts, `010` is ten. Tags are refused, keys are texts and stand once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from vflow.engine.pieces import Findings, Mark, Piece, Place, scalar, show
from vflow.engine.problems import Problem

#: A text may have this many bytes, nest this deep, hold this many keys and values, and repeat this much by aliases.
MAX_BYTES = 4 << 20
MAX_DEPTH = 50
MAX_VALUES = 250_000
MAX_ALIASED = 200_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Document:
    """What `parse` read. `root` is None when the text cannot be read to its end, or is empty."""

    file: str
    text: str
    root: Piece | None = None
    problems: list[Problem] = field(default_factory=list)


def parse(text: str, file: str = "") -> Document:
    """Read a YAML text. Whatever is wrong stands in the document's `problems`; nothing is raised."""
    findings = Findings()
    document = _parsed(text, file, findings)
    document.problems += findings.rest(file)
    return document


def _parsed(text: str, file: str, findings: Findings) -> Document:
    document = Document(file, text, problems=findings.problems)
    if len(text) > MAX_BYTES:
        findings.add(Place(file), "", f"the text is longer than {MAX_BYTES >> 20} MiB", "a graph file is far smaller")
        return document
    if strange := _UNPRINTABLE.search(text):
        before = text[: strange.start()]
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        findings.add(place, "", f"the character {strange[0]!a} is not allowed in YAML", "remove it, or save as UTF-8")
        return document
    builder = _Builder(file, findings)
    try:
        _read(text, builder)
    except _Stop:
        return document
    except yaml.MarkedYAMLError as error:
        _tell_syntax(error, text, file, findings)
        return document
    except yaml.YAMLError as error:
        findings.add(Place(file), "", f"this is not YAML: {error}")
        return document
    document.root = builder.root
    return document


def _read(text: str, builder: _Builder) -> None:
    """Hand every event of a text to a builder (as `yaml.parse`, without a generator around each of many events)."""
    loader = _LOADER(text)
    try:
        event, take = loader.get_event(), builder.take
        while event is not None:
            take(event)
            event = loader.get_event()
    finally:
        loader.dispose()


class _Stop(Exception):
    """Reading ends here; why is among the findings."""


@dataclass(slots=True)
class _Level:
    """A list or mapping that is being read. `key` is the key whose value comes next; `keep` is False to drop it."""

    piece: Piece
    anchor: str | None
    key: str | None = None
    key_mark: Mark | None = None
    keep: bool = True


class _Builder:
    """Turns events into pieces, with a stack of its own."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file, self.findings = file, findings
        self.root: Piece | None = None
        self.levels: list[_Level] = []
        self.anchors: dict[str, Piece] = {}
        self.values = self.aliased = self.documents = 0
        self.take_by_type: dict[type, Any] = {
            yaml.ScalarEvent: self.take_scalar,
            yaml.AliasEvent: self.take_alias,
            yaml.MappingStartEvent: self.take_start,
            yaml.SequenceStartEvent: self.take_start,
            yaml.MappingEndEvent: self.take_end,
            yaml.SequenceEndEvent: self.take_end,
            yaml.DocumentStartEvent: self.take_document,
        }

    def take(self, event: Any) -> None:
        """Take the next event."""
        if handler := self.take_by_type.get(type(event)):
            handler(event)

    def take_document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.stop(event.start_mark, "a second document begins here", "a graph file holds one; drop the `---`")

    def take_scalar(self, event: Any) -> None:
        if event.tag is not None:
            self.refuse_tag(event)
        plain = event.implicit[0]
        data = scalar(event.value) if plain else event.value
        size = len(event.value) + 1
        piece = Piece(data, self.file, event.start_mark, event.end_mark, None, size)
        if event.anchor:
            self.anchors[event.anchor] = piece
        self.put(piece, event.value)

    def take_start(self, event: Any) -> None:
        if len(self.levels) >= MAX_DEPTH:
            self.stop(event.start_mark, f"this nests deeper than {MAX_DEPTH} levels", "a graph needs far fewer")
        if self.levels and (above := self.levels[-1]).key is None and type(above.piece.data) is dict:
            self.stop(event.start_mark, "a list or mapping stands where a key is expected", "a key is a text")
        if event.tag is not None:
            self.refuse_tag(event)
        data: Any = {} if type(event) is yaml.MappingStartEvent else []
        self.levels.append(_Level(Piece(data, self.file, event.start_mark, None, None, 1, 1), event.anchor))

    def take_end(self, event: Any) -> None:
        level = self.levels.pop()
        level.piece.end = event.end_mark
        if level.anchor:
            self.anchors[level.anchor] = level.piece
        self.put(level.piece)

    def take_alias(self, event: Any) -> None:
        found = self.anchors.get(event.anchor)
        if any(level.anchor == event.anchor for level in self.levels):
            self.stop(event.start_mark, f"*{event.anchor} stands inside the value that it repeats")
        if found is None:
            self.stop(event.start_mark, f"*{event.anchor} repeats a value that is not marked before as &{event.anchor}")
            return
        self.aliased += found.weight
        if self.aliased > MAX_ALIASED or len(self.levels) + found.height > MAX_DEPTH:
            self.stop(event.start_mark, f"*{event.anchor} makes the file too large", "repeat less by aliases")
        piece = found.with_data(found.data)
        piece.start, piece.end, piece.key = event.start_mark, event.end_mark, None
        self.put(piece, None if found.height else str(found.data))

    def put(self, piece: Piece, raw: str | None = None) -> None:
        """Put a finished piece where it belongs: the document, a list, a mapping's key or its value."""
        self.values += 1
        if self.values > MAX_VALUES:
            self.stop(piece.start, f"the file holds more than {MAX_VALUES} keys and values", "split the graph")
        if not self.levels:
            self.root = piece
            return
        level = self.levels[-1]
        above = level.piece
        if type(above.data) is dict:
            if level.key is None:
                self.put_key(level, piece, raw)
                return
            if level.keep:
                piece.key = level.key_mark
                above.data[level.key] = piece
                above.weight += len(level.key)
            level.key, level.keep = None, True
        else:
            above.data.append(piece)
        above.weight += piece.weight
        above.height = max(above.height, piece.height + 1)

    def put_key(self, level: _Level, piece: Piece, raw: str | None) -> None:
        if raw is None:
            self.stop(piece.start, "a list or mapping stands where a key is expected", "a key is a text")
        level.key, level.key_mark = raw or "", piece.start
        if type(piece.data) is not str:
            self.tell(piece.start, f"a key must be a text, not {show(piece.data)}", f"put it in quotes: '{raw}'")
        elif raw == "<<":
            self.tell(piece.start, "'<<' merges nothing in YAML 1.2", "write the settings out, or use a profile")
            level.keep = False
        elif raw in level.piece.data:
            first = level.piece.data[raw].place(key=True).line
            self.tell(piece.start, f"the key {show(raw)} stands twice, first in line {first}", "keep one of the two")
            level.keep = False

    def refuse_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self.tell(event.start_mark, f"the tag {show(tag)} is refused: a graph is plain data", "drop the tag")

    def tell(self, mark: Mark | None, message: str, remedy: str = "") -> None:
        steps = [level.key[:60] for level in self.levels[:5] if level.key]
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        self.findings.add(place, ".".join(steps), message, remedy)

    def stop(self, mark: Mark | None, message: str, remedy: str = "") -> None:
        """Tell a problem with which reading ends.

        Raises:
            _Stop: always.
        """
        self.tell(mark, message, remedy)
        raise _Stop


#: What the parser says (a part of it), what it means, what to do, and whether to point at where it begins.
_SYNTAX = (
    ("undefined tag handle", "a tag (`!...`) is refused: a graph is plain data", "drop it, or quote the text", False),
    ("mapping values are not", "a second ':' in this line, or a wrong indentation", "quote a text with ': '", False),
    ("block sequence entries are not", "a list cannot begin here", "begin it in a line of its own", False),
    ("expected key", "this does not continue the mapping", "check indentation, quotes and brackets", False),
    ("expected '-' indicator", "this does not continue the list", "check the indentation", False),
    ("expected ':'", "a key without its ':'", "write `key: value`", True),
    ("expected ',' or ']'", "a '[' is not closed", "close it, or put a comma between the entries", True),
    ("expected ',' or '}'", "a '{' is not closed", "close it, or put a comma between the entries", True),
    ("unexpected end of stream", "a quote is not closed", "close it", True),
    ("unknown escape character", "a backslash in double quotes", "use single quotes, or double it", False),
    ("found a tab", "a tab where YAML takes only spaces", "indent with spaces", False),
    ("alphabetic or numeric", "a text cannot start with '&', '*' or '!'", "put the text in quotes", True),
    ("expected comment or line break", "a text after '|' or '>' begins in the next line", "break the line", False),
    ("expected <document start>", "this does not continue the mapping", "check the indentation", False),
    ("expected node content", "a value is missing, or a bracket is not closed", "write it, or close it", False),
)


def _tell_syntax(error: yaml.MarkedYAMLError, text: str, file: str, findings: Findings) -> None:
    mark: Any = error.problem_mark or error.context_mark
    problem = error.problem or "it cannot be read"
    at, before = (text[mark.index : mark.index + 1], text[mark.index - 1 : mark.index]) if mark else ("", "")
    message, remedy, opening = next(
        ((m, r, o) for part, m, r, o in _SYNTAX if part in problem), (f"this is not YAML: {problem}", "", False)
    )
    if "cannot start any token" in problem:
        message = "a tab where YAML takes only spaces" if at == "\t" else f"a text cannot start with {at!r}"
        remedy = "indent with spaces" if at == "\t" else "put the text in quotes"
    elif at == "{" and before == "$":
        message, remedy, opening = "inside brackets a parameter needs quotes", "write '${name}' in quotes", False
    if opening and error.context_mark:
        mark = error.context_mark
    findings.add(Place(file, mark.line + 1, mark.column + 1) if mark else Place(file), "", message, remedy)
