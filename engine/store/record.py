"""What the store remembers of one finished node, or of one finished item."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, NoReturn

from vflow.engine.values import Blob

_START, _MIDDLE, _END = b'{"sha256":"', b'","record":', b"}\n"
_AT_ONCE = 1000  # outputs read together


def _text(data: Any, default: Any = None) -> str:
    # pure ASCII: a file name with undecodable bytes must not make the text unwritable
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True, default=default)


@lru_cache(maxsize=1024)
def _details(text: str) -> Mapping[str, Any]:
    return MappingProxyType(json.loads(text))


def _apart(blobs: Iterable[Any]) -> tuple[str, str]:
    """Return digests with sizes, and suffixes, of [digest, size, suffix] each."""
    blobs = list(blobs)
    return " ".join(f"{digest} {int(size)}" for digest, size, _ in blobs), _text([suffix for _, _, suffix in blobs])


def _one(item: Mapping[str, str]) -> str:
    """Return port and identity as one text.

    Raises:
        ValueError: there are several, or one is no word.
    """
    if not item:
        return ""
    (words,) = item.items()
    if not all(type(word) is str and re.fullmatch(r"\w+", word) for word in words):
        raise ValueError("not an item")
    return " ".join(words)


@lru_cache(maxsize=1024)
def _name_of(details: str) -> str:
    return hashlib.sha256(details.encode()).hexdigest()[:32]


def _checksum(key: str, lines: str) -> str:
    # not against malice: whoever can write the index can write the records
    return f"{zlib.crc32(lines.encode(), zlib.crc32(key.encode())):08x}"


def _framed(body: bytes) -> bytes:
    return b"".join((_START, hashlib.sha256(body).hexdigest().encode(), _MIDDLE, body, _END))


def _detail(name: str, about: str) -> Any:
    return property(lambda record: record.details[name], doc=about)


class Record:
    """Key → output, with all that explains it. Immutable.

    A plan holds a hundred thousand of these, of which it needs output, seconds and blobs: the rest stays text until
    somebody asks, and the items of one node share that text. `item` says of which item it is (port to identity), and
    is one of the `inputs`. `output` is what `values.output_to_json` gave; it is parsed
    anew at each access. `seconds` is what it cost, `created` the time of day in seconds since 1970.
    """

    __slots__ = ("_details", "_item", "_output", "_sizes", "_suffixes", "created", "key", "seconds")
    key: str
    seconds: float
    created: float
    _sizes: str  # "digest size digest size ..."
    _suffixes: str  # JSON
    _output: str
    _item: str  # "port identity", or ""
    _details: str

    #: type and version of the node
    node_type: str = _detail("node_type", "Name of the node's type.")
    version: int = _detail("version", "Version of the node's type.")
    #: what entered the key, kept to explain it later
    settings: Mapping[str, Any] = _detail("settings", "The settings that entered the key.")
    inputs: Mapping[str, Any] = _detail("inputs", "Port to identity of what stood there.")
    #: what did not enter it
    environment: Mapping[str, Any] = _detail("environment", "Versions, device and placed settings.")
    facts: Mapping[str, Any] = _detail("facts", "What the node reported.")
    graph: str = _detail("graph", "Name of the graph that computed it.")
    node: str = _detail("node", "Name of the node in that graph.")

    def __init__(
        self,
        *,
        key: str,
        node_type: str,
        version: int,
        output: Any,
        seconds: float,
        created: float,
        blobs: Iterable[Blob] = (),
        environment: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        item: Mapping[str, str] | None = None,
        graph: str = "",
        node: str = "",
        work: str = "",
    ) -> None:
        details = {
            "node_type": node_type,
            "version": version,
            "settings": dict(settings or {}),
            "inputs": dict(inputs or {}),
            "environment": dict(environment or {}),
            "facts": dict(facts or {}),
            "graph": graph,
            "node": node,
            "work": work,
        }
        # what only explains must not cost a result that took hours: an object in the facts is kept as its text
        parts = (_text(output), _one(item or {}), _text(details, default=str))
        self._fill(key, seconds, created, *_apart([[b.digest, b.size, b.suffix] for b in blobs]), *parts)

    def _fill(self, key: str, seconds: float, created: float, *texts: str) -> None:
        put = object.__setattr__
        put(self, "key", key)
        put(self, "seconds", float(seconds))
        put(self, "created", float(created))
        sizes, suffixes, output, item, details = texts
        put(self, "_sizes", sizes)
        put(self, "_suffixes", suffixes)
        put(self, "_output", output)
        put(self, "_item", item)
        put(self, "_details", details)

    @property
    def output(self) -> Any:
        """Plain data of the output, from which `values.output_from_json` makes it."""
        return json.loads(self._output)

    @staticmethod
    def outputs(records: Iterable[Record]) -> Iterator[Any]:
        """Yield the outputs of many records, of which some are read together: that takes much less than one by one."""
        texts = (record._output for record in records)
        while some := ",".join(islice(texts, _AT_ONCE)):
            yield from json.loads(f"[{some}]")

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The blobs that the output refers to."""
        return tuple(Blob(digest=digest, size=size, suffix=suffix) for digest, size, suffix in self._together())

    @property
    def sizes(self) -> dict[str, int]:
        """Digest to size in bytes of the blobs."""
        if not self._sizes:
            return {}
        words = self._sizes.split()
        return dict(zip(words[::2], map(int, words[1::2]), strict=True))

    def _together(self) -> list[list[Any]]:
        words = self._sizes.split()
        return [list(b) for b in zip(words[::2], map(int, words[1::2]), json.loads(self._suffixes), strict=True)]

    @property
    def work(self) -> str:
        """Name of the work folder with the state from which a longer run goes on; "" where none was told."""
        return str(self.details.get("work", ""))

    @property
    def details(self) -> Mapping[str, Any]:
        """All that explains the record, by name."""
        shared = _details(self._details)
        return {**shared, "inputs": {**shared["inputs"], **self.item}} if self._item else shared

    @property
    def item(self) -> dict[str, str]:
        """The port at which the item stood, and its identity; empty where the record is of a whole node."""
        return dict([self._item.split(" ")]) if self._item else {}

    # --- as a row of the index, and as a file -----------------------------------------------------------------------

    def to_row(self) -> str:
        """Return a checksum and the fields, one a line; the details of an item are only named, see `shared_row`.

        What every lookup of a hundred thousand rows needs is not JSON: parsing it would take longer than reading it.
        """
        head = f"{self.seconds!r}\n{self.created!r}\n{self._sizes}\n{self._suffixes}"
        details = _name_of(self._details) if self._item else self._details
        lines = f"{head}\n{self._output}\n{self._item}\n{details}"
        return f"{_checksum(self.key, lines)}\n{lines}"

    def shared_row(self) -> dict[str, str]:
        """Return, by its name, the text of the row with the details that the items of a node share; {} for others."""
        return {_name_of(self._details): self._details} if self._item else {}

    @classmethod
    def from_rows(
        cls, rows: Mapping[str, str], shared: Callable[[Iterable[str]], Mapping[str, str]]
    ) -> dict[str, Record]:
        """Make the records that `to_row` wrote, by key; rows that are damaged or another key's are left out.

        `shared` returns the shared rows of these names, as far as they are there.
        """
        fields: dict[str, list[str]] = {}
        for key, row in rows.items():
            checksum, *parts = row.split("\n")
            if len(parts) == 7 and checksum == _checksum(key, row[len(checksum) + 1 :]):
                fields[key] = parts
        names = {parts[6] for parts in fields.values() if parts[5]}
        found = shared(names) if names else {}
        details = {name: found[name] for name in names if name in found and name == _name_of(found[name])}
        records: dict[str, Record] = {}
        for key, (seconds, created, *texts, last) in fields.items():
            item = texts[3]
            if not item or last in details:
                records[key] = record = cls.__new__(cls)
                record._fill(key, float(seconds), float(created), *texts, details[last] if item else last)
        return records

    def to_file(self) -> bytes:
        """Return JSON that carries its own SHA-256, so that a torn or altered file is noticed."""
        head = {"key": self.key, "seconds": self.seconds, "created": self.created, "blobs": self._together()}
        head |= {"item": self.item} if self._item else {}
        body = f'{_text(head)[:-1]},"output":{self._output},"details":{self._details}}}'.encode()
        return _framed(body)

    @classmethod
    def from_file(cls, key: str, data: bytes) -> Record:
        """Make the record of this key that `to_file` wrote.

        Raises:
            ValueError: it is damaged, or another record.
        """
        body = data[len(_START) + 64 + len(_MIDDLE) : -len(_END)]
        if data != _framed(body):
            raise ValueError(f"the record {key} is damaged")
        read = json.loads(body)
        if read["key"] != key:
            raise ValueError(f"the record {key} is that of {read['key']}")
        record = cls.__new__(cls)
        parts = (_text(read["output"]), _one(read.get("item", {})), _text(read["details"]))
        record._fill(key, read["seconds"], read["created"], *_apart(read["blobs"]), *parts)
        return record

    # --- as a value -------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a record is immutable: {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and (self.key, self.to_row()) == (other.key, other.to_row())

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Record({self.key[:12]!r}, {self.node_type!r})"
