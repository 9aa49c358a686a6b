"""Frozen outputs: what nodes gave where a pack was made, kept beside the unpacked graph as `GRAPH.frozen`.

A light node that looks at files or at the hub cannot do so on a machine that lacks them; yet to find results in the
store, a plan needs no more than the identity of what it gave. So a pack holds these:

- recipes as they are, since nothing but a name and a digest is in them;
- everything else *sealed*, the identity only, unless the pack was made with the user's files.

How they stand in for their nodes is in `thawing`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import GraphError
from vflow.engine.values import Blob, Item, Items, Recipe, Value, blobs_of, value_from_json

if TYPE_CHECKING:
    from vflow.engine.node import Node, Port

SUFFIX = ".frozen"
FORMAT = 1
_FILE = re.compile(r"files/[0-9A-Za-z_-]{1,128}(\.[0-9a-z]{1,8})?")


class Sealed(Value):
    """A value of which only the identity is known here, and the name of its type."""

    kind: str
    seal: str

    @cached_property
    def identity(self) -> str:
        """The identity of the value that it stands for."""
        return self.seal


# no record and no recipe may say that it is a sealed value: it would have whatever identity it likes
del Value.kinds["Sealed"]


@dataclass(frozen=True)
class Entry:
    """What one node gave. `print` is its fingerprint; `files` maps located identities to (path, SHA-256), or to None.

    `output` is in the form of `encode`; `facts` are for plans.
    """

    print: str
    output: Any
    files: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    observed: Any = None

    def blobs(self) -> Iterator[Blob]:
        """Yield the blobs that are told of."""
        yield from blobs_of(decode(self.output))
        yield from blobs_of(decode(self.observed))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"print": self.print, "output": self.output, "files": dict(self.files), "facts": dict(self.facts)} | (
            {} if self.observed is None else {"observed": self.observed}
        )


# --- outputs as plain data -------------------------------------------------------------------------------------------


def encode(output: Any, whole: Callable[[Value], Value | None]) -> Any:
    """Return plain data for an output. `whole` gives the form in which a value may be told, or None to seal it.

    A form that would have another identity is not told: the value is sealed.
    """
    if output is None:
        return None
    if isinstance(output, Items):
        return {"items": [[row, encode(value, whole)] for row, value in output.items()]}
    if isinstance(output, Mapping):
        return {"outputs": {name: encode(value, whole) for name, value in output.items()}}
    if isinstance(output, Sealed):
        return {"sealed": [output.kind, output.seal]}
    told = whole(output)
    if told is not None and told.identity == output.identity:
        return {"value": told.to_json()}
    return {"sealed": [type(output).__name__, output.identity]}


def decode(data: Any) -> Any:
    """Make again what `encode` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is something else, or of a type that is not known here.
    """
    if data is None:
        return None
    if "items" in data:
        return Items(Item(str(row), decode(value)) for row, value in data["items"])
    if "outputs" in data:
        return {name: decode(value) for name, value in data["outputs"].items()}
    if "sealed" in data:
        kind, seal = data["sealed"]
        return Sealed(kind=kind, seal=seal)
    return value_from_json(data["value"])


def recipes_only(value: Value) -> Value | None:
    """Tell recipes, and seal the rest: windows, captions and results are the user's own."""
    return value if isinstance(value, Recipe) else None


def has_sealed(output: Any) -> bool:
    """Tell whether something in an output is sealed."""
    if isinstance(output, Mapping):
        return any(map(has_sealed, output.values()))
    return any(isinstance(v, Sealed) for v in output) if isinstance(output, Items) else isinstance(output, Sealed)


def fits(cls: type[Node], output: Any) -> bool:
    """Tell whether an output could come from a node of this type; sealed values fit everywhere, and observed ports may
    be missing. A stranger's file says what it likes, and nodes rely on what stands at their ports."""
    if not isinstance(output, Mapping):
        return len(cls.outputs) == 1 and _fits_port(next(iter(cls.outputs.values())), output)
    ports = cls.outputs
    needed = {name for name, port in ports.items() if not port.observed}
    return needed <= output.keys() and all(name in ports and _fits_port(ports[name], v) for name, v in output.items())


def _fits_port(port: Port, value: Any) -> bool:
    if value is None:
        return port.optional
    kinds: tuple[type[Value], ...] = (Sealed, *port.types)
    if port.many:
        return isinstance(value, Items) and all(isinstance(one, kinds) for one in value)
    return isinstance(value, kinds)


def write(entries: Mapping[str, Entry]) -> bytes:
    """Return the bytes of the file."""
    nodes = {name: entries[name].to_json() for name in sorted(entries)}
    return (json.dumps({"frozen": FORMAT, "nodes": nodes}, separators=(",", ":")) + "\n").encode()


def read(data: bytes, name: str) -> dict[str, Entry]:
    """Read what `write` wrote.

    Raises:
        GraphError: it is something else; `name` says where.
    """
    try:
        read = json.loads(data)
        if read["frozen"] != FORMAT:
            raise GraphError(f"{name} has format {read['frozen']}, this vflow knows {FORMAT}", "update vflow")
        entries = {node: Entry(**entry) for node, entry in read["nodes"].items()}
        for entry in entries.values():
            decode(entry.output)
            decode(entry.observed)
            if not all(found is None or _FILE.fullmatch(found[0]) for found in entry.files.values()):
                raise ValueError("a file lies elsewhere")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GraphError(f"{name} is not what `vflow unpack` wrote: {error}", "unpack the pack again") from error
    return entries
