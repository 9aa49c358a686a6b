"""What the store remembers of one finished node, or of one finished item."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NoReturn

from vflow.engine.values import Blob

_START, _MIDDLE, _END = b'{"sha256":"', b'","record":', b"}\n"


def _text(data: Any, default: Any = None) -> str:
    # pure ASCII: a file name with undecodable bytes must not make the text unwritable
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True, default=default)


@lru_cache(maxsize=1024)
def _details(text: str) -> Mapping[str, Any]:
    return MappingProxyType(json.loads(text))


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
    somebody asks, and items of one node share that text. `output` is what `values.output_to_json` gave; it is parsed
    anew at each access. `seconds` is what it cost, `created` the time of day in seconds since 1970.
    """

    __slots__ = ("_blobs", "_details", "_output", "created", "key", "seconds")
    key: str
    seconds: float
    created: float
    _blobs: list[Any]  # [digest, size, suffix] of each
    _output: str
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
        graph: str = "",
        node: str = "",
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
        }
        # what only explains must not cost a result that took hours: an object in the facts is kept as its text
        parts = (_text(output), _text(details, default=str))
        self._fill(key, seconds, created, [[b.digest, b.size, b.suffix] for b in blobs], *parts)

    def _fill(self, key: str, seconds: float, created: float, blobs: list[Any], output: str, details: str) -> None:
        put = object.__setattr__
        put(self, "key", key)
        put(self, "seconds", seconds)
        put(self, "created", created)
        put(self, "_blobs", blobs)
        put(self, "_output", output)
        put(self, "_details", details)

    @property
    def output(self) -> Any:
        """Plain data of the output, from which `values.output_from_json` makes it."""
        return json.loads(self._output)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The blobs that the output refers to."""
        return tuple(Blob(digest=digest, size=size, suffix=suffix) for digest, size, suffix in self._blobs)

    @property
    def sizes(self) -> dict[str, int]:
        """Digest to size in bytes of the blobs."""
        return {digest: size for digest, size, _ in self._blobs}

    @property
    def details(self) -> Mapping[str, Any]:
        """All that explains the record, by name."""
        return _details(self._details)

    # --- as a row of the index, and as a file -----------------------------------------------------------------------

    def to_row(self) -> str:
        """Return four lines: a checksum, what every lookup needs, the output, the details."""
        lines = "\n".join((_text([self.seconds, self.created, self._blobs]), self._output, self._details))
        return f"{_checksum(self.key, lines)}\n{lines}"

    @classmethod
    def from_row(cls, key: str, row: str, shared: dict[str, str]) -> Record:
        """Make the record that `to_row` wrote. Equal details become one text, kept in `shared`.

        Raises:
            ValueError: the row is something else, or that of another key.
        """
        checksum, _, lines = row.partition("\n")
        if checksum != _checksum(key, lines):
            raise ValueError(f"the row of {key} is damaged")
        head, output, details = lines.split("\n")
        seconds, created, blobs = json.loads(head)
        record = cls.__new__(cls)
        record._fill(key, seconds, created, blobs, output, shared.setdefault(details, details))
        return record

    def to_file(self) -> bytes:
        """Return JSON that carries its own SHA-256, so that a torn or altered file is noticed."""
        head = {"key": self.key, "seconds": self.seconds, "created": self.created, "blobs": self._blobs}
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
        record._fill(
            key, read["seconds"], read["created"], read["blobs"], _text(read["output"]), _text(read["details"])
        )
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
