"""One node of a graph in a plan: its inputs, its keys, what the store has of it, its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vflow.engine import keys
from vflow.engine.values import Items, Value, identity_of

if TYPE_CHECKING:
    from vflow.engine.load import Bound
    from vflow.engine.node import Node
    from vflow.engine.store import Record

State = Literal["undecided", "light", "reused", "run", "computed", "failed", "disabled"]


@dataclass(eq=False)
class Step:
    """One node of the graph in a plan."""

    name: str
    bound: Bound
    index: int
    state: State = "undecided"
    wanted: bool = False
    inputs: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    item_keys: dict[str, str] = field(default_factory=dict)  #: identity of an item's value -> key of its record
    records: dict[str, Record] = field(default_factory=dict)  #: key -> record found in the store
    output: Any = None
    known: bool = False  #: the output's identity is known (it may still have to be computed, if its blobs are gone)
    there: bool = False  #: the output can be used now
    bases: frozenset[str] = frozenset()  #: the bases of the recipes at its ports, once it is ready
    reason: str = ""
    why: list[str] = field(default_factory=list)  #: why it runs: a line, and what belongs below it (`why.explain`)
    stale: str = ""  #: how the environment of kept results differs that are not to be used (`--fresh-env`)
    facts: dict[str, Any] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    pins: dict[str, str] = field(default_factory=dict)  #: what it used of the world outside -> which it was
    read: list[Path] = field(default_factory=list)  #: the files that it looked at while planning
    located: dict[str, Path] = field(default_factory=dict)  #: identity -> where its content lies
    said: list[tuple[str, str]] = field(default_factory=list)  #: (level, message) of what it logged while planning
    _form_work_key: Callable[[], str] = field(default=str, repr=False)

    @cached_property
    def work_key(self) -> str:
        """The name of the work folder; most steps are kept and never need one."""
        return self._form_work_key()

    def set_work_key(self, form: Callable[[], str]) -> None:
        """Say how the name of the work folder is formed when it is asked for."""
        vars(self).pop("work_key", None)
        self._form_work_key = form

    @property
    def node(self) -> Node:
        """The node's validated settings."""
        assert self.bound.node is not None
        return self.bound.node

    @property
    def total(self) -> int:
        """How many results the node has: its items, or 1."""
        return len(self.item_keys) if self.node.per_item else 1

    def missing_items(self, items: Items[Any]) -> list[Value]:
        """Return the values whose results the store lacks, each once, in the list's order."""
        lacking = {identity for identity, key in self.item_keys.items() if key not in self.records}
        return list({value.identity: value for value in items if value.identity in lacking}.values())

    @property
    def missing(self) -> int:
        """How many results the store lacks."""
        if not self.node.per_item:
            return int(self.key not in self.records)
        return sum(key not in self.records for key in self.item_keys.values())

    def outputs(self) -> Iterator[Any]:
        """Yield the recorded outputs of all items as plain data, in the order of `item_keys`."""
        from vflow.engine.store import Record

        return Record.outputs(self.records[key] for key in self.item_keys.values())

    @property
    def results_key(self) -> str:
        """The key of the result; for a list, a digest that stands for the keys of all its items."""
        if not self.bound.type.per_item:
            return self.key
        return keys.digest_bytes("".join((self.key, *self.item_keys.values())).encode())

    @property
    def saved_seconds(self) -> float:
        """What the results found in the store cost when they were computed."""
        return sum(record.seconds for record in self.records.values())


def as_output(node: Node, result: Any) -> Any:
    """Turn what `run` returned into an output: a value, a list, or a dict of named outputs."""
    names = node.outputs
    if result is None or isinstance(result, (Value, Items)):
        return result
    return {name: getattr(result, name) for name in names}


def identity_of_output(output: Any) -> Any:
    """Return the identity of an output, or of each of several."""
    if isinstance(output, Mapping):
        return {name: identity_of(value) for name, value in output.items()}
    return identity_of(output)
