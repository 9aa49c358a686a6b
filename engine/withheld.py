"""A graph as others may have it: paths, texts and secrets of the user taken out, a parameter in the place of each.

What stays out, and becomes a parameter that has to be given before the graph runs again:

- settings declared `private` always (prompts);
- texts that name something on this machine: they look like a path (`/...`, `~...`, `./...`, `C:\\...`, `file://`, a
  home folder inside), or they have a separator, or are declared `private(when="path")`, and such a file or folder is
  there;
- secrets: settings called token, password and the like, what `engine.secrets` knows. These stay out even where the
  user asks for everything.

Addresses such as `sample://shapes` stay, and names on a hub. `about` is dropped where it gives something away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vflow.engine.graph import NAME, flow
from vflow.engine.node import mark_of
from vflow.engine.secrets import leak

if TYPE_CHECKING:
    from vflow.engine.load import Loaded
    from vflow.engine.node import Node

_ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://[^@]*")
_LOCAL = re.compile(
    r"\A(?:/|~[\w.-]*(?:[/\\]|\Z)|\.{1,2}(?:[/\\]|\Z)|[A-Za-z]:[/\\]|\\\\)"  # the whole text is a path
    r"|file://|(?:\A|[\s\"'=:,;(])(?:/(?:home|Users|root|mnt|media|tmp|var)/|[A-Za-z]:\\Users\\)"  # one stands in it
)
_SECRET = re.compile(
    r"(?:\A|_)(?:token|secret|password|passwd|credentials?|api_?key|access_?key|private_?key)(?:_|\Z)", re.IGNORECASE
)
_TYPES: dict[type, str] = {list: "list", tuple: "list", dict: "mapping"}
_VIA = re.compile(r"parameter '([^']*)'")


def shared_graph(loaded: Loaded, everything: bool = False) -> dict[str, Any]:
    """Return a resolved graph as plain data in the form of a graph file; `graph_text` writes it.

    `params` names what was taken out and has to be given again. With `everything`, only secrets are. Equal graphs give
    equal data.
    """
    graph, withholder = loaded.graph, _Withholder(loaded, everything)
    nodes: dict[str, Any] = {}
    for spec in graph.nodes.values():
        node: dict[str, Any] = {"type": spec.type}
        if spec.inputs:
            node["inputs"] = dict(spec.inputs)
        if spec.disabled:
            node["disabled"] = True
        cls = loaded.bound[spec.name].type if spec.name in loaded.bound else None
        for name, value in spec.settings.items():
            node[name] = withholder.setting(spec.name, name, value, cls)
        nodes[spec.name] = node
    found: dict[str, Any] = {"name": graph.name}
    if graph.about and not leak(graph.about) and (everything or not _LOCAL.search(graph.about)):
        found["about"] = graph.about
    if withholder.params:
        found["params"] = withholder.params
    return {**found, "nodes": nodes, "outputs": dict(graph.outputs)}


def graph_text(data: Mapping[str, Any], version: int) -> str:
    """Return plain data of a graph as a YAML text in the given format, one line per node.

    Raises:
        TypeError, ValueError, RecursionError: the data have no such form.
    """
    lines = [f"vflow: {version}", *(f"{name}: {flow(data[name])}" for name in ("name", "about") if data.get(name))]
    for part in ("params", "nodes", "outputs"):
        if data.get(part):
            # without its braces, a mapping of one in a line is an entry of one in lines
            lines += [f"{part}:", *(f"  {flow({name: inside})[1:-1]}" for name, inside in data[part].items())]
    return "\n".join(lines) + "\n"


class _Withholder:
    """Replaces what stays out of one graph by parameters."""

    def __init__(self, loaded: Loaded, everything: bool) -> None:
        self.graph, self.everything, self._about = loaded.graph, everything, ""
        # asked once for all: the environment is searched each time
        self._leaks = leak("\n".join(_texts([spec.settings for spec in self.graph.nodes.values()]))) is not None
        self.params: dict[str, dict[str, str]] = {}  #: as a graph file has them

    def setting(self, node: str, name: str, value: Any, cls: type[Node] | None) -> Any:
        """Return a setting as it may be shared."""
        field = cls.model_fields.get(name) if cls else None
        self._about = (field.description if field else "") or f"of {node}"
        when = mark_of(field).get("private", "") if field else ""
        if when == "always" and value not in (None, "", [], {}) and not self.everything:
            return self._parameter((node, name), value)
        return self._inside((node, name), value, when == "path")

    def _inside(self, path: tuple[str | int, ...], value: Any, named: bool) -> Any:
        if isinstance(value, str):
            if self._stays_out(str(path[-1]), value, named):
                return self._parameter(path, value)
            return value.replace("${", "$${")
        if isinstance(value, Mapping):
            return {name: self._inside((*path, name), inside, named) for name, inside in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._inside((*path, index), inside, named) for index, inside in enumerate(value)]
        return value

    def _stays_out(self, name: str, text: str, named: bool) -> bool:
        if (text and _SECRET.search(name)) or (self._leaks and leak(text, home=False)):
            return True
        return not self.everything and (is_local(text, named) or (self._leaks and leak(text) is not None))

    def _parameter(self, path: tuple[str | int, ...], value: Any) -> str:
        name = self._name(path, value)
        declared = self.graph.parameters.get(name)
        about = (declared.help if declared else "") or self._about
        self.params.setdefault(name, {"type": _TYPES.get(type(value), "text"), "help": about})
        return f"${{{name}}}"

    def _name(self, path: tuple[str | int, ...], value: Any) -> str:
        """Return the parameter that the value came from, where it came from one, else a name made of its place."""
        via = _VIA.fullmatch(self.graph.piece("nodes", *path).via.split(",")[0])
        if via and self.graph.params.get(via[1]) == value:
            return via[1]
        base = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(map(str, path)))[:56]
        base = base if NAME.fullmatch(base) else f"_{base}"
        name, number = base, 2
        while name in self.params or name in self.graph.params:
            name, number = f"{base}_{number}", number + 1
        return name


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, (Mapping, list, tuple)):
        for inside in data.values() if isinstance(data, Mapping) else data:
            yield from _texts(inside)


def is_local(text: str, named: bool = False) -> bool:
    """Tell whether a text names something on this machine; `named`: it stands where names of files may stand."""
    if _ADDRESS.fullmatch(text):
        return False
    if _LOCAL.search(text):
        return True
    # lexists would take any text too, but a link to nowhere is still a path
    return (named or "/" in text or "\\" in text) and bool(text) and os.path.lexists(os.path.expanduser(text))  # noqa: PTH111
