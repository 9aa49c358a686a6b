"""Where the value of a setting comes from, and where it is changed: node, profile, parameter, `--set`, default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from vflow.engine.graph import Graph
from vflow.engine.inline import has_parameter, parameter_in, shown
from vflow.engine.load import Loaded
from vflow.engine.pieces import Piece
from vflow.engine.resolve import merge


@dataclass(frozen=True)
class Origin:
    """What gives a setting a value. `name` is that of the profile, the parameter or the extended file; `text` is the
    value that stands there, in one line.
    """

    kind: Literal["file", "extends", "profile", "parameter", "set", "default"]
    name: str = ""
    text: str = ""


@dataclass(frozen=True)
class Place:
    """Where a setting is changed: in the node or profile `name`, or as the parameter `name` in the file, in one of its
    profiles (`profile`), or among those that the call sets (`set`).

    `path` leads to the setting from the node on; of a parameter it leads into its value, and is mostly empty.
    """

    kind: Literal["node", "profile", "parameter", "set"]
    name: str
    profile: str = ""
    path: tuple[str, ...] = ()


class Layer(NamedTuple):
    """What one profile, or the graph itself (`profile` is empty), says of a setting.

    `rest` is the end of its path where something above it is given as a whole (`optimizer: ${optimizer}`).
    """

    profile: str
    piece: Piece
    rest: tuple[str, ...] = ()


def layers(loaded: Loaded, node: str, path: tuple[str, ...]) -> list[Layer]:
    """Return what is said of a setting, what is in force first, then what stands below it."""
    found: list[Layer] = []
    for profile in (*reversed(loaded.profiles), ""):
        piece, depth = _at(_part(loaded.graph, profile), "nodes", node), 0
        while piece is not None and depth < len(path) and type(piece.data) is dict:
            piece, depth = piece.get(path[depth]), depth + 1
        if piece is not None and (depth == len(path) or not found):
            found.append(Layer(profile, piece, path[depth:]))
    return found


def written(said: list[Layer]) -> Any:
    """Return the plain data of a setting as written, its parameters still in it, from all that is said of it."""
    whole: Piece | None = None
    for layer in reversed(said):
        if not layer.rest:
            whole = merge(whole, layer.piece) if whole is not None else layer.piece
    return whole.plain() if whole is not None else None


def origins_of(loaded: Loaded, said: list[Layer], default: Any) -> tuple[Origin, ...]:
    """Return where the value of a setting comes from, what is in force first; the declaration's default is last.

    Behind a parameter that is in force stands what gives it its value.
    """
    graph, found = loaded.graph, list[Origin]()
    for index, layer in enumerate(said):
        name = known_parameter(graph, layer.piece)
        if name is None:
            found.append(Origin(*_giver(graph, layer.profile, layer.piece), shown(layer.piece.plain())))
        else:
            parameter = graph.parameters[name]
            found.append(Origin("parameter", name, shown(parameter.value) if parameter.is_given else ""))
            found += givers(loaded, name) if index == 0 else ()
    return (*found, Origin("default", "", shown(default)))


def place_of(loaded: Loaded, node: str, path: tuple[str, ...], value: Any = None) -> Place:
    """Return where a setting is changed: what is in force is what is changed.

    With `${rank}` that is the parameter, in the call or the chosen profile that sets it, else its default in the file;
    what a chosen profile overrides is changed there; all else in the node. A `value` that holds a parameter itself
    cannot be a parameter's, and goes where the setting is written.
    """
    said = layers(loaded, node, path)
    name = known_parameter(loaded.graph, said[0].piece) if said and not has_parameter(value) else None
    if name is None:
        return written_at(loaded, node, path)
    rest = said[0].rest
    for giver in givers(loaded, name):
        if giver.kind == "set":
            return Place("set", name, "", rest)
        return Place("parameter", name, giver.name if giver.kind == "profile" else "", rest)
    return Place("parameter", name, "", rest)


def written_at(loaded: Loaded, node: str, path: tuple[str, ...]) -> Place:
    """Return where a setting is written, which is what a reset drops: the profile that overrides it, or the node."""
    said = layers(loaded, node, path)
    profile = said[0].profile if said else ""
    return Place("profile", profile, "", path) if profile else Place("node", node, "", path)


def is_extended(loaded: Loaded, node: str, path: tuple[str, ...]) -> bool:
    """Tell whether what is in force stands in an extended file, where this one cannot take it out."""
    said = layers(loaded, node, path)
    if not said or said[0].profile:
        return False
    extends = loaded.graph.written.get("extends")
    return extends is not None and said[0].piece.file != extends.file


def places(loaded: Loaded, node: str, path: tuple[str, ...]) -> list[Place]:
    """Return every place where a setting can be given a value, where it is in force first: its node, the profiles of
    the graph, and the parameter that it takes, if it does, with what gives that its value.
    """
    graph, first = loaded.graph, place_of(loaded, node, path)
    found = [first, Place("node", node, "", path)]
    found += [Place("profile", profile, "", path) for profile in graph.profiles]
    if first.kind in ("parameter", "set"):
        found.append(Place("parameter", first.name, "", first.path))
        found += [Place("parameter", first.name, profile, first.path) for profile in graph.profiles]
    return list(dict.fromkeys(found))


def whole_value(loaded: Loaded, place: Place, value: Any) -> Any:
    """Return what is written at a place: of a parameter that is a mapping, all of it with `value` at `place.path`."""
    if place.kind not in ("parameter", "set"):
        return value
    return with_value(loaded.graph.parameters[place.name].value, place.path, value)


def with_value(data: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return plain data with another value at a path; mappings that are missing on the way are made."""
    if not path:
        return value
    above = dict(data) if isinstance(data, Mapping) else {}
    above[path[0]] = with_value(above.get(path[0]), path[1:], value)
    return above


def known_parameter(graph: Graph, piece: Piece) -> str | None:
    """Return the parameter of this graph that stands for the whole of a value."""
    name = parameter_in(piece.data)
    return name if name in graph.parameters else None


def givers(loaded: Loaded, name: str) -> Iterator[Origin]:
    """Yield what gives a parameter a value, what is in force first."""
    graph = loaded.graph
    place = graph.parameters[name].place
    if place.line == 0 and place.file.startswith("--set "):
        yield Origin("set", name, shown(graph.parameters[name].value))
    for profile in (*reversed(loaded.profiles), ""):
        piece = _at(_part(graph, profile), "params", name, "default")
        if piece is not None:
            yield Origin(*_giver(graph, profile, piece), shown(piece.plain()))


def _giver(graph: Graph, profile: str, piece: Piece) -> tuple[Literal["profile", "extends", "file"], str]:
    if profile:
        return "profile", profile
    # a file that extends another has the key, and what it extends has lost it
    extends = graph.written.get("extends")
    return ("file", "") if extends is None or piece.file == extends.file else ("extends", piece.file)


def _part(graph: Graph, profile: str) -> Piece | None:
    return _at(graph.written, "profiles", profile) if profile else graph.written


def _at(piece: Piece | None, *path: str) -> Piece | None:
    for step in path:
        piece = piece.get(step) if piece is not None else None
    return piece
