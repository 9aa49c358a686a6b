"""From the pieces of a file to a graph: profiles, `--set`, parameters, and the shape of nodes and outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vflow.engine.filling import Filler, mentioned
from vflow.engine.graph import NAME, Graph, NodeSpec, flow
from vflow.engine.parameters import Parameter, check, declared, read_value, with_value
from vflow.engine.pieces import Findings, Piece, Place, show
from vflow.engine.problems import printable

#: How many nodes a graph may have.
MAX_NODES = 20_000

_TOP = ("vflow", "name", "about", "extends", "params", "profiles", "nodes", "outputs")
_OF_PROFILE = ("about", "params", "nodes", "outputs")
_OF_NODE = ("type", "inputs", "disabled")
#: What graphs and profiles may be called.
FREE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_FREE_REMEDY = "use letters, digits, '_', '-' and '.'"
_NAMES = "letters, digits, _ and -, not beginning with a digit, at most 64"


def merge(base: Piece, over: Piece) -> Piece:
    """Return `base` with `over` laid on it: mappings are merged at every depth, all else is replaced.

    A merged mapping keeps the place that it has in `base`; what is replaced has the place of `over`.
    """
    if type(base.data) is not dict or type(over.data) is not dict:
        replacing = over.with_data(over.data)
        replacing.overrides = True
        return replacing
    data = dict(base.data)
    for name, piece in over.data.items():
        data[name] = merge(data[name], piece) if name in data else piece
    return base.with_data(data)


def resolve(
    root: Piece, name: str, profiles: Sequence[str], sets: Mapping[str, Any] | Sequence[str], findings: Findings
) -> Graph:
    """Return the graph of a file's root: profiles applied in order, then `sets`, parameters put in.

    `name` is what the graph is called where the file does not say. Whatever is wrong goes to `findings`.
    """
    reader = _Reader(findings)
    reader.refuse_unknown(root, _TOP, "")
    parts = {part: reader.mapping(root.get(part), part, root) for part in ("params", "profiles", "nodes", "outputs")}
    reader.check_profiles(parts)
    parameters = reader.parameters(parts)
    for chosen in profiles:
        parts = reader.with_profile(parts, chosen)
    if len(parts["nodes"].data) > MAX_NODES:
        message = f"the graph has more than {MAX_NODES:,} nodes"
        findings.add(parts["nodes"].place(key=True), "nodes", message, "split it")
        parts["nodes"] = parts["nodes"].with_data({})
    parts["params"] = reader.with_sets(parts["params"], parameters, sets)
    params = reader.values(parts["params"], parameters)
    filler = Filler(params, findings, parameters)
    nodes: dict[str, Piece] = {}
    specs: dict[str, NodeSpec] = {}
    for node, piece in parts["nodes"].data.items():
        if piece.data is not None or not piece.overrides:
            specs[node], nodes[node] = reader.node(node, piece, filler)
    if unused := parameters.keys() - filler.used:
        # a profile that is in force may replace the setting that takes a parameter
        written = mentioned(piece for part in ("nodes", "profiles") if (piece := root.get(part)))
        unused -= written
        reader.tell_unused({name: piece for name, piece in parts["params"].data.items() if name in unused})
    reader.tell_wanted(parameters, parts["params"], filler.used)
    outputs = reader.outputs(parts["outputs"])
    parts |= {"params": parts["params"].with_data(params), "nodes": parts["nodes"].with_data(nodes)}
    tree = root.with_data({**root.data, **parts})
    return Graph(
        name=reader.name(root.get("name"), name),
        about=reader.text(root.get("about"), "about"),
        nodes=specs,
        outputs=outputs,
        params={name: parameter.value for name, parameter in parameters.items() if parameter.is_given},
        parameters=parameters,
        profiles=parts["profiles"].plain(),
        tree=tree,
        unfilled=filler.unfilled,
        written=root,
    )


class _Reader:
    """Reads the parts of a graph file, and tells what has the wrong shape."""

    def __init__(self, findings: Findings) -> None:
        self.findings, self.tell = findings, findings.add

    def refuse_unknown(self, piece: Piece, known: Sequence[str], where: str) -> None:
        for name, inside in piece.data.items():
            if name not in known:
                at = f"{where}.{name}" if where else name
                self.tell(inside.place(key=True), at, f"unknown key {show(name)}", self.findings.suggest(name, known))

    def mapping(self, piece: Piece | None, where: str, above: Piece) -> Piece:
        """Return a mapping; an empty one where there is none, or something else."""
        if piece is not None and type(piece.data) is dict:
            return piece
        if piece is not None and piece.data is not None:
            self.tell(piece.place(), where, f"must be a mapping of names, not {show(piece.data)}")
        return (piece or above).with_data({})

    def text(self, piece: Piece | None, where: str) -> str:
        if piece is None or piece.data is None:
            return ""
        if type(piece.data) is str:
            return piece.data
        self.tell(piece.place(), where, f"must be a text, not {show(piece.data)}", "put it in quotes")
        return ""

    def name(self, piece: Piece | None, otherwise: str) -> str:
        given = self.text(piece, "name")
        if given and piece and not FREE_NAME.fullmatch(given):
            self.tell(piece.place(), "name", f"{show(given)} cannot be a graph's name", _FREE_REMEDY)
        return given or re.sub(r"[^A-Za-z0-9_.-]", "_", otherwise).lstrip(".-")[:100] or "graph"

    def refuse_name(self, name: str, piece: Piece, where: str) -> None:
        if not NAME.fullmatch(name):
            self.tell(piece.place(key=True), where, f"{show(name)} cannot be a name here", f"use {_NAMES}")

    # --- profiles and parameters -----------------------------------------------------------------------------------

    def check_profiles(self, parts: dict[str, Piece]) -> None:
        """Check the shape of all profiles, chosen or not, and leave out of them what changes nothing that there is."""
        profiles: dict[str, Piece] = {}
        for name, piece in parts["profiles"].data.items():
            where = f"profiles.{name}"
            if piece.data is None and piece.overrides:
                continue
            if not FREE_NAME.fullmatch(name):
                self.tell(piece.place(key=True), where, f"{show(name)} cannot be a profile's name", _FREE_REMEDY)
            profile = self.mapping(piece, where, piece)
            self.refuse_unknown(profile, _OF_PROFILE, where)
            self.text(profile.get("about"), f"{where}.about")
            inside = {
                part: self.mapping(profile.get(part), f"{where}.{part}", profile)
                for part in ("params", "nodes", "outputs")
            }
            inside["params"] = self._values_only(inside["params"], f"{where}.params")
            profiles[name] = profile.with_data({**profile.data, **inside})
        typed = {
            node
            for piece in profiles.values()
            for node, override in piece.data["nodes"].data.items()
            if override.get("type")
        }
        known = {"params": set(parts["params"].data), "nodes": typed | set(parts["nodes"].data)}
        for name, piece in profiles.items():
            for part, names in known.items():
                piece.data[part] = self._known_only(piece.data[part], names, f"profiles.{name}.{part}")
        parts["profiles"] = parts["profiles"].with_data(profiles)

    def _values_only(self, params: Piece, where: str) -> Piece:
        """Return a profile's parameters: it gives them values; what they are is said once, by the graph."""
        kept: dict[str, Piece] = {}
        for name, given in params.data.items():
            if more := [key for key in given.data if key != "default"]:
                message = f"a profile changes a parameter's value, not its {show(more[0])}"
                remedy = "write the value alone, or `{default: {...}}` for one that is a mapping"
                self.tell(given.data[more[0]].place(key=True), f"{where}.{name}", message, remedy)
            else:
                kept[name] = given
        return params.with_data(kept)

    def _known_only(self, overrides: Piece, known: set[str], where: str) -> Piece:
        kept: dict[str, Piece] = {}
        what = "a parameter" if where.endswith("params") else "a node"
        for name, piece in overrides.data.items():
            if name in known:
                kept[name] = piece
            elif piece.data is not None or not piece.overrides:
                message = f"changes {what} that the graph does not have: {show(name)}"
                self.tell(piece.place(key=True), f"{where}.{name}", message, self.findings.suggest(name, known))
        return overrides.with_data(kept)

    def with_profile(self, parts: dict[str, Piece], name: str) -> dict[str, Piece]:
        profile = parts["profiles"].data.get(name)
        if profile is None:
            known = parts["profiles"].data
            remedy = self.findings.suggest(name, known) if known else "the graph has none"
            self.tell(Place(f"--profile {name}"), "", f"there is no profile {show(name)}", remedy)
            return parts
        return {part: merge(piece, over) if (over := profile.get(part)) else piece for part, piece in parts.items()}

    def parameters(self, parts: Mapping[str, Piece]) -> dict[str, Parameter]:
        """Return what the graph declares as parameters; the values of all profiles are checked, chosen or not."""
        found: dict[str, Parameter] = {}
        for name, piece in parts["params"].data.items():
            self.refuse_name(name, piece, f"params.{name}")
            found[name] = declared(name, piece, self.findings)
        for profile in parts["profiles"].data.values():
            for name, piece in profile.data["params"].data.items():
                if (value := piece.get("default")) is not None:
                    check(found[name], value, self.findings)
        return found

    def with_sets(
        self, params: Piece, parameters: Mapping[str, Parameter], sets: Mapping[str, Any] | Sequence[str]
    ) -> Piece:
        """Return the parameters with those set by the call, `name=value` as text or plain data."""
        data = dict(params.data)
        for entry in sets.items() if isinstance(sets, Mapping) else sets:
            name, equals, value = entry.partition("=") if isinstance(entry, str) else (entry[0], "=", entry[1])
            place = Place(f"--set {entry if isinstance(entry, str) else f'{name}={value!r}'}"[:100])
            if not equals:
                self.tell(place, "", "this sets nothing", "write --set name=value")
            elif name not in data:
                remedy = self.findings.suggest(name, data) if data else "the graph has no parameters"
                self.tell(place, "", f"there is no parameter {show(name)}", remedy)
            else:
                try:
                    plain = parameters[name] if isinstance(entry, str) else Parameter(name)
                    read = read_value(plain, value if isinstance(entry, str) else flow(value), place, self.findings)
                except TypeError as error:
                    self.tell(place, f"params.{name}", str(error), "set plain data")
                    continue
                if read is not None:
                    data[name] = with_value(data[name], read)
        return params.with_data(data)

    def values(self, params: Piece, parameters: Mapping[str, Parameter]) -> dict[str, Piece]:
        """Return the values in force that can be put in; none holds another parameter, and `$${` means `${`."""
        found: dict[str, Piece] = {}
        none = Filler({}, Findings())
        for name, parameter in parameters.items():
            piece = params.data[name].get("default")
            if piece is None:
                continue
            parameter.is_given, parameter.place = True, piece.place()
            if check(parameter, piece, self.findings):
                found[name] = none.fill(piece, "", 2)
            else:
                parameter.is_refused = True
            parameter.value = found.get(name, piece).plain()
            if none.unfilled:
                remedy = "parameters are put into settings only; write `$${` for a plain `${`"
                self.tell(piece.place(), f"params.{name}", "a parameter cannot hold another", remedy)
                none.unfilled.clear()
        return found

    def tell_wanted(self, parameters: Mapping[str, Parameter], params: Piece, used: Mapping[str, list[str]]) -> None:
        """Tell which parameters a setting takes and nobody gave; note which settings take each."""
        for name, parameter in parameters.items():
            parameter.used_by = used.get(name, [])
            if parameter.used_by and not parameter.is_given and not parameter.is_refused:
                about = f" ({printable(parameter.help, 200)})" if parameter.help else ""
                remedy = f"give it with --set {name}=...{about}"
                place = params.data[name].place(key=True)
                self.tell(place, f"params.{name}", "this parameter has no value yet", remedy)

    def tell_unused(self, params: Mapping[str, Piece]) -> None:
        for name, piece in params.items():
            place, where = piece.place(key=True), f"params.{name}"
            self.tell(place, where, "no setting takes this parameter", f"put it in as ${{{name}}}", "warning")

    # --- nodes and outputs -----------------------------------------------------------------------------------------

    def node(self, name: str, piece: Piece, filler: Filler) -> tuple[NodeSpec, Piece]:
        """Return a node, and its piece with the parameters put in."""
        where = f"nodes.{name}"
        self.refuse_name(name, piece, where)
        if type(piece.data) is not dict:
            message = "the node is empty" if piece.data is None else f"a node is a mapping, not {show(piece.data)}"
            self.tell(piece.place(key=True), where, message, "write at least `type: ...` below it")
            return NodeSpec(name, ""), piece
        filled = {
            key: inside if key in _OF_NODE else filler.fill(inside, f"{where}.{key}", 3)
            for key, inside in piece.data.items()
        }
        spec = NodeSpec(
            name,
            self._type(piece, where),
            {key: inside.plain() for key, inside in filled.items() if key not in _OF_NODE},
            self._inputs(piece, where),
            self._disabled(piece.get("disabled"), f"{where}.disabled"),
        )
        return spec, piece.with_data(filled)

    def _type(self, node: Piece, where: str) -> str:
        piece = node.get("type")
        if piece is None or piece.data is None:
            at = piece or node
            self.tell(at.place(key=True), where, "the node has no type", "write `type: ...`; `vflow nodes` lists them")
            return ""
        found = self.text(piece, f"{where}.type")
        if "${" in found:
            self.tell(piece.place(), f"{where}.type", "a type is written out", "parameters stand in settings only")
            return ""
        return found

    def _disabled(self, piece: Piece | None, where: str) -> bool:
        if piece is None or type(piece.data) is bool:
            return piece is not None and piece.data
        self.tell(piece.place(), where, f"must be true or false, not {show(piece.data)}", "write `disabled: true`")
        return False

    def _inputs(self, node: Piece, where: str) -> dict[str, str | list[str]]:
        where = f"{where}.inputs"
        links: dict[str, str | list[str]] = {}
        for port, piece in self.mapping(node.get("inputs"), where, node).data.items():
            if piece.data is None and piece.overrides:
                continue
            if type(piece.data) is list:
                read = [self._link(one, f"{where}.{port}") for one in piece.data]
                # a link that could not be read keeps its place, so that the others keep theirs in the file
                links[port] = [link or "" for link in read]
            else:
                links[port] = self._link(piece, f"{where}.{port}") or ""
        return links

    def _link(self, piece: Piece, where: str) -> str | None:
        if type(piece.data) is not str or not piece.data:
            message = f"a link is the name of a node, not {show(piece.data)}"
            self.tell(piece.place(), where, message, "write `node` or `node.output`")
        elif "${" in piece.data:
            self.tell(piece.place(), where, "a link is written out", "parameters stand in settings only")
        else:
            return piece.data
        return None

    def outputs(self, outputs: Piece) -> dict[str, str]:
        """Return name to link of the graph's outputs."""
        links: dict[str, str] = {}
        for name, piece in outputs.data.items():
            if piece.data is None and piece.overrides:
                continue
            self.refuse_name(name, piece, f"outputs.{name}")
            links[name] = self._link(piece, f"outputs.{name}") or ""
        return links
