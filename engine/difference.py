"""What differs between two pieces of plain data, two lists of items, or two graphs: in words."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vflow.engine.graph import NodeSpec
    from vflow.engine.load import Loaded
    from vflow.engine.node import Node

#: Under this name a described value carries its identity: equal ones are not looked into.
SAME = "="
_UNSET: Any = object()
_LONGEST = 40  # letters of one value
_NAMED = 3  # items that are named

Change = tuple[str, Any, Any]


# --- plain data ------------------------------------------------------------------------------------------------------


def changes(old: Any, new: Any, path: str = "") -> Iterator[Change]:
    """Yield (path, before, after) of everything that differs; nested settings have a path (`optimizer.lr`).

    What is only on one side stands as `unset` on the other when it is put in words. Types count: 1 is not 1.0.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if SAME in old and old.get(SAME) == new.get(SAME):
            return
        for name in dict.fromkeys([*old, *new]):
            if name != SAME:
                yield from changes(old.get(name, _UNSET), new.get(name, _UNSET), f"{path}.{name}" if path else name)
    elif (by_name := _named(old)) is not None and (by_new := _named(new)) is not None and (by_name or by_new):
        above = path.rpartition(".")[0]  # the names of a list's parts say more than the list's own
        inside = list(changes(by_name, by_new, above))
        yield from inside or ([] if _alike(old, new) else [(path, old, new)])  # the order, if nothing else
    elif not _alike(old, new):
        yield path, old, new


def words(change: Change) -> str:
    """Return a change in words: `rank 16 → 32`, `warmup unset → 10`, `prompts: 3 added, 1 gone`."""
    path, old, new = change
    if isinstance(old, Mapping) and new is _UNSET:
        return f"{path} gone"
    if isinstance(new, Mapping) and old is _UNSET:
        return f"{path} added"
    before, after = shown(old), shown(new)
    if isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str):
        if len(before) >= _LONGEST or len(after) >= _LONGEST:
            return f"{path}: {_counts(old, new)}"
    elif before == after:  # only beyond what is shown, or in type
        return f"{path} changed" if len(before) >= _LONGEST else f"{path} {old!r} → {new!r}"
    return f"{path} {before} → {after}".strip()


def all_words(old: Any, new: Any) -> list[str]:
    """Return every change of plain data in words."""
    return [words(change) for change in changes(old, new)]


def shown(value: Any) -> str:
    """Return a value as people write it, short."""
    if value is _UNSET:
        return "unset"
    if value is None:
        return "none"
    if isinstance(value, str):
        text = value if value and not any(c.isspace() or c in "→,;" for c in value) else json.dumps(value)
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items() if k != SAME) + "}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(shown(entry) for entry in value[:_LONGEST]) + "]"
    else:
        text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _alike(old: Any, new: Any) -> bool:
    """Tell whether two pieces of data are the same in value and type, at any depth."""
    return type(old) is type(new) and _text(old) == _text(new)


def _text(data: Any) -> str:
    return json.dumps(data, sort_keys=True, default=repr)


def _named(data: Any) -> dict[str, Any] | None:
    """Return a list of typed parts (transformations) or of pairs (row, value) as a mapping; None for other data."""
    if not isinstance(data, (list, tuple)):
        return None
    if all(isinstance(entry, Mapping) and isinstance(entry.get("type"), str) for entry in data):
        names = [entry["type"] for entry in data]
    elif all(isinstance(e, (list, tuple)) and len(e) == 2 and isinstance(e[0], str) for e in data):
        rows = {f"{row!r}": value for row, value in data}
        return rows if len(rows) == len(data) else None
    else:
        return None
    seen: Counter[str] = Counter()
    found: dict[str, Any] = {}
    for name, entry in zip(names, data, strict=True):
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} {seen[name]}"] = entry
    return found


def _counts(old: Sequence[Any], new: Sequence[Any]) -> str:
    before, after = Counter(map(_text, old)), Counter(map(_text, new))
    added, gone = (after - before).total(), (before - after).total()
    parts = [f"{number} {word}" for number, word in ((added, "added"), (gone, "gone")) if number]
    return ", ".join(parts) or "another order"


# --- lists of items --------------------------------------------------------------------------------------------------


@dataclass
class ListDifference:
    """Names of the items that were added, changed (same name, another identity) and are gone."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Read as `3 added (a.mp4, b.mp4, c.mp4), 1 changed (d.mp4), 20 gone`."""
        parts = (("added", self.added), ("changed", self.changed), ("gone", self.gone))
        return ", ".join(f"{len(names):,} {word}{_some(names)}" for word, names in parts if names)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.gone)


def list_difference(old: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]) -> ListDifference:
    """Compare two lists of (name, identity). Names may be empty, and may repeat; the order does not matter."""
    before, after = Counter(old), Counter(new)
    added, gone = after - before, before - after
    by_name: defaultdict[str, int] = defaultdict(int)
    for (name, _), number in gone.items():
        by_name[name] += number
    found = ListDifference()
    for (name, identity), number in added.items():
        changed = min(number, by_name[name])
        by_name[name] -= changed
        found.changed += [name] * changed
        found.added += [name or identity] * (number - changed)
    found.gone = [name for name, number in by_name.items() for _ in range(number)]
    return found


def _some(names: list[str]) -> str:
    if len(names) > _NAMED or any(not name for name in names):
        return ""
    return f" ({', '.join(name if len(name) <= _LONGEST else name[: _LONGEST - 1] + '…' for name in names)})"


# --- graphs ----------------------------------------------------------------------------------------------------------


@dataclass
class GraphDifference:
    """What differs between two graphs. `nodes` maps a node of both to its changes, in words."""

    added: dict[str, str] = field(default_factory=dict)  #: name -> type
    gone: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, list[str]] = field(default_factory=dict)
    params: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.added, self.gone, self.renamed, self.nodes, self.params, self.outputs))

    def lines(self) -> list[str]:
        """Return the difference as lines of text; none where there is none."""
        text = [f"parameter {line}" for line in self.params]
        text += [f"+ {name} ({kind})" for name, kind in self.added.items()]
        text += [f"- {name} ({kind})" for name, kind in self.gone.items()]
        text += [f"{old} is now called {new}" for old, new in self.renamed.items()]
        for name, found in self.nodes.items():
            text += [f"{name}: {found[0]}"] if len(found) == 1 else [f"{name}:", *(f"  {line}" for line in found)]
        return text + [f"output {line}" for line in self.outputs]


def graph_difference(old: Loaded, new: Loaded) -> GraphDifference:
    """Compare two graphs as resolved: nodes, types, settings (defaults filled in), links, outputs and parameters."""
    before, after = old.graph.nodes, new.graph.nodes
    renamed = _renamed(old, new)
    found = GraphDifference(
        added={name: spec.type for name, spec in after.items() if name not in before and name not in renamed.values()},
        gone={name: spec.type for name, spec in before.items() if name not in after and name not in renamed},
        renamed=renamed,
        params=all_words(old.graph.params, new.graph.params) if old.graph.params and new.graph.params else [],
        outputs=all_words(_links(old.graph.outputs, renamed), _links(new.graph.outputs, {})),
    )
    for name in before:
        other = renamed.get(name, name)
        if other in after and (told := _node_changes(old, name, new, other, renamed)):
            found.nodes[other] = told
    return found


def _node_changes(old: Loaded, name: str, new: Loaded, other: str, renamed: Mapping[str, str]) -> list[str]:
    before, after = old.graph.nodes[name], new.graph.nodes[other]
    if before.type != after.type:
        return [f"type {before.type} → {after.type}"]
    told = []
    node, changed = _node_of(new, other), changes(_settings(old, name), _settings(new, other))
    for change in changed:
        without = node is not None and not _in_key(node, change[0])
        told.append(words(change) + (" (not in the key)" if without else ""))
    links = changes(_links(before.inputs, renamed), _links(after.inputs, {}))
    told += [f"input {words(change)}" for change in links]
    if before.disabled != after.disabled:
        told.append("disabled" if after.disabled else "no longer disabled")
    return told


def _node_of(loaded: Loaded, name: str) -> Node | None:
    bound = loaded.bound.get(name)
    return bound.node if bound else None


def _settings(loaded: Loaded, name: str) -> Mapping[str, Any]:
    """Return a node's settings with the defaults filled in; as written, where they are wrong or the type is unknown."""
    node = _node_of(loaded, name)
    return node.model_dump(mode="json") if node is not None else loaded.graph.nodes[name].settings


def _in_key(node: Node, path: str) -> bool:
    from vflow.engine.node import matters

    setting = type(node).model_fields.get(path.partition(".")[0])
    return setting is None or matters(setting) in ("plain", "horizon")


def _links(links: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    def now(link: str) -> str:
        node, dot, output = link.partition(".")
        return renamed.get(node, node) + dot + output

    return {port: now(one) if isinstance(one, str) else [now(link) for link in one] for port, one in links.items()}


def _renamed(old: Loaded, new: Loaded) -> dict[str, str]:
    """Return old to new name of nodes that are alike in all but their name, where there is one such pair only."""

    def alike(loaded: Loaded, spec: NodeSpec) -> str:
        return json.dumps([spec.type, dict(_settings(loaded, spec.name)), sorted(spec.inputs)], sort_keys=True)

    gone, added = defaultdict(list), defaultdict(list)
    for spec in old.graph.nodes.values():
        if spec.name not in new.graph.nodes:
            gone[alike(old, spec)].append(spec.name)
    for spec in new.graph.nodes.values():
        if spec.name not in old.graph.nodes:
            added[alike(new, spec)].append(spec.name)
    return {gone[what][0]: added[what][0] for what in gone if len(gone[what]) == len(added[what]) == 1}
