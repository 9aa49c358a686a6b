"""The plain data of a graph, changed without changing what was there: where things stand, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from vflow.engine.editing.errors import EditError
from vflow.engine.graph import NAME
from vflow.engine.parameters import KEYS
from vflow.engine.pieces import show
from vflow.engine.problems import suggest

Data = dict[str, Any]
Path = tuple[str, ...]

TOP = ("vflow", "name", "about", "extends", "params", "profiles", "nodes", "outputs")
OF_PROFILE = ("about", "params", "nodes", "outputs")
#: What a node has besides its settings. New settings come behind `inputs`, and before a `disabled` that stands last.
OF_NODE = ("type", "inputs", "disabled")


class Missing:
    """What `at` returns where there is nothing."""


MISSING = Missing()


def at(data: Any, path: Sequence[str]) -> Any:
    """Return what stands at a path; `MISSING` if nothing does."""
    for step in path:
        if not isinstance(data, dict) or step not in data:
            return MISSING
        data = data[step]
    return data


def mapping(data: Any, path: Sequence[str]) -> Data:
    """Return the mapping at a path; an empty one where there is none."""
    found = at(data, path)
    return found if isinstance(found, dict) else {}


def with_value(data: Any, path: Path, value: Any, after: str | None = None, above: Path = ()) -> Data:
    """Return data with a value at a path. Mappings above it are made; a new key stands where such keys do.

    `after` is the key behind which the last one comes, if it is new.

    Raises:
        EditError: something else than a mapping stands above it.
    """
    if data is None or data is MISSING:
        data = {}
    if not isinstance(data, dict):
        raise EditError(f"{'.'.join(above)} is {show(data)}, not a mapping", "give it a mapping first")
    first, *rest = path
    if rest:
        value = with_value(data.get(first), tuple(rest), value, after, (*above, first))
    if first in data:
        return {**data, first: value}
    return _with_new(data, first, value, after if not rest else None, above)


def _with_new(data: Data, name: str, value: Any, after: str | None, above: Path) -> Data:
    keys = list(data)
    if after is not None and after in data:
        number = keys.index(after) + 1
    else:
        rank = _rank(above)
        number = max((n + 1 for n, key in enumerate(keys) if rank(key) <= rank(name)), default=0)
    pairs = list(data.items())
    return dict([*pairs[:number], (name, value), *pairs[number:]])


def _rank(above: Path) -> Callable[[str], int]:
    """Return how the keys of the mapping at a path are ordered."""
    order: tuple[str, ...] = ()
    if not above:
        order = TOP
    elif len(above) == 2 and above[0] == "profiles":
        order = OF_PROFILE
    elif (len(above) == 2 and above[0] == "params") or (len(above) == 4 and above[2] == "params"):
        order = KEYS
    elif (len(above) == 2 and above[0] == "nodes") or (len(above) == 4 and above[2] == "nodes"):
        order = ("type", "inputs", "", "disabled")
    middle = order.index("") if "" in order else len(order)
    return lambda key: order.index(key) if key in order else middle


def without(data: Data, path: Path, keep: int) -> Data:
    """Return data without what stands at a path, and without the mappings that this leaves empty.

    The first `keep` steps of the path stay, even if nothing stands there.
    """
    first, *rest = path
    if not rest:
        return {name: value for name, value in data.items() if name != first}
    inside = without(data[first], tuple(rest), keep - 1)
    if inside or keep > 0:
        return {**data, first: inside}
    return {name: value for name, value in data.items() if name != first}


class Copy:
    """A copy of data, of which only those mappings are copied that are changed: for many changes at once."""

    def __init__(self, data: Data) -> None:
        self.data = dict(data)
        self._copied: dict[Path, Data] = {(): self.data}

    def mapping(self, path: Path) -> Data:
        """Return the mapping at a path, to be changed."""
        if path not in self._copied:
            above = self.mapping(path[:-1])
            above[path[-1]] = self._copied[path] = dict(above[path[-1]])
        return self._copied[path]

    def drop(self, path: Path, keep: int) -> None:
        """Remove what stands at a path, and the mappings that this leaves empty but for the first `keep` steps."""
        del self.mapping(path[:-1])[path[-1]]
        for length in range(len(path) - 1, keep, -1):
            if self.mapping(path[:length]):
                return
            del self.mapping(path[: length - 1])[path[length - 1]]
            del self._copied[path[:length]]


def lasting(data: Data, own: Path) -> int:
    """Return how many steps of a node's path stay when the last thing below it goes: all, where the node is described;
    where it is only changed, the profile or the section.
    """
    return len(own) if "type" in mapping(data, own) else min(2, len(own) - 1)


def renamed(data: Data, old: str, new: str) -> Data:
    """Return a mapping with another name for one of its keys, in the same place."""
    return {new if name == old else name: value for name, value in data.items()}


# --- nodes -----------------------------------------------------------------------------------------------------------


def node_sections(data: Data) -> list[Path]:
    """Return the paths of all mappings of nodes: that of the graph, then those of the profiles."""
    profiles = [("profiles", name, "nodes") for name in mapping(data, ("profiles",))]
    return [path for path in (("nodes",), *profiles) if mapping(data, path)]


def places_of(data: Data, name: str) -> list[Path]:
    """Return the paths at which something is said of a node."""
    return [(*path, name) for path in node_sections(data) if name in mapping(data, path)]


def home(data: Data, name: str, profile: str | None = None) -> Path:
    """Return where a node is described: in the graph, or else in the profile that adds it.

    With a profile it is what that says of the node, be there something or not. Of a node that only an extended file
    has, it is where this file would change it.

    Raises:
        EditError: there is no such node, or no such profile.
    """
    found = places_of(data, name)
    if profile is not None:
        refuse_unknown_profile(data, profile)
        if found or "extends" in data:
            return ("profiles", profile, "nodes", name)
    elif ("nodes", name) in found:
        return ("nodes", name)
    elif adding := [path for path in found if "type" in mapping(data, path)]:
        return adding[0]
    elif "extends" in data:
        return ("nodes", name)
    raise EditError(f"there is no node {show(name)}", _near(name, node_names(data)))


def node_names(data: Data) -> list[str]:
    """Return the names of all nodes, those that profiles add included."""
    return list(dict.fromkeys(name for path in node_sections(data) for name in mapping(data, path)))


def refuse_unknown_profile(data: Data, profile: str) -> None:
    """Refuse a profile that the graph does not have.

    Raises:
        EditError: neither this file nor one that it extends has it.
    """
    if profile not in mapping(data, ("profiles",)) and "extends" not in data:
        raise EditError(f"there is no profile {show(profile)}", _near(profile, mapping(data, ("profiles",))))


def refuse_name(name: str, what: str, taken: Sequence[str]) -> None:
    """Refuse a name that cannot be one, or that is taken.

    Raises:
        EditError: it is.
    """
    if not NAME.fullmatch(name):
        remedy = "use letters, digits, _ and -, not beginning with a digit, at most 64"
        raise EditError(f"{show(name)} cannot be a name of {what}", remedy)
    if name in taken:
        raise EditError(f"there is {what} {show(name)} already", "choose another name")


def _near(name: str, known: Sequence[str] | Data) -> str:
    return suggest(name, known) if known and (len(known) <= 20 or get_close_matches(name, list(known), 1)) else ""


# --- links -----------------------------------------------------------------------------------------------------------


def node_of(link: Any) -> str:
    """Return the node that a link names; nothing for what is no link."""
    return link.partition(".")[0] if isinstance(link, str) else ""


def links(data: Data) -> Iterator[tuple[Path, str]]:
    """Yield every link with the path of the port or output that has it, those of profiles included."""
    for path in node_sections(data):
        for name in mapping(data, path):
            for port, linked in mapping(data, (*path, name, "inputs")).items():
                for link in linked if isinstance(linked, list) else [linked]:
                    if isinstance(link, str):
                        yield (*path, name, "inputs", port), link
    for path in (("outputs",), *(("profiles", name, "outputs") for name in mapping(data, ("profiles",)))):
        for name, link in mapping(data, path).items():
            if isinstance(link, str):
                yield (*path, name), link


def with_links(data: Data, change: Callable[[str], str | None]) -> Data:
    """Return data with all its links changed; a link becomes nothing where `change` returns None."""
    copy = Copy(data)
    for path in dict.fromkeys(path for path, link in links(data) if change(link) != link):
        linked = at(data, path)
        if isinstance(linked, list):
            each = [change(link) if isinstance(link, str) else link for link in linked]
            left: Any = [link for link in each if link is not None]
        else:
            left = change(linked)
        if left:
            copy.mapping(path[:-1])[path[-1]] = left
        else:
            copy.drop(path, min(2, len(path) - 1) if path[-2] == "outputs" else lasting(data, path[:-2]))
    return copy.data
