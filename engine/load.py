"""From a graph file's name to a checked graph, with every problem and its line. Opening a graph runs nothing.

Relative paths in settings (`source: datasets/videos`) are relative to the user's current working directory, as on any
command line, wherever the graph file lies: shipped graphs lie in the installation. `extends` alone is relative to the
file that says it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine.check import check
from vflow.engine.document import MAX_BYTES, parse
from vflow.engine.graph import FORMAT, Graph
from vflow.engine.links import Bound, Link
from vflow.engine.parameters import with_long_forms
from vflow.engine.pieces import Findings, Piece, Place, show
from vflow.engine.problems import Problem
from vflow.engine.resolve import merge, resolve

if TYPE_CHECKING:
    from vflow.engine.node import Node

__all__ = ["Bound", "Link", "Loaded", "load", "no_collection", "shipped_graphs"]


@dataclass
class Loaded:
    """A graph as resolved, bound to its node types. `graph` is empty where the file could not be read.

    `bound` leaves out nodes of unknown type, `outputs` those that lead nowhere. `folder` is what relative paths in
    settings are relative to. `source_text` is the text of the file itself, without those it extends.
    """

    graph: Graph = field(default_factory=Graph)
    bound: dict[str, Bound] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    folder: Path = field(default_factory=Path.cwd)
    source_text: str = ""
    profiles: tuple[str, ...] = ()  #: those that were chosen
    outputs: dict[str, Link] = field(default_factory=dict)

    def output_link(self, name: str) -> Link:
        """Return where an output of the graph comes from.

        Raises:
            KeyError: the graph has no such output.
        """
        return self.outputs[name]

    def place(self, problem: Problem, node: str) -> Problem:
        """Return a problem that was found at a node with its place; `problem.where` may name one of its settings."""
        if problem.file:
            return problem
        steps = [step for step in problem.where.split(".") if step]
        at = self.graph.place("nodes", node, *steps, key=not steps)
        return problem.at(".".join(["nodes", node, *steps]), at.file, at.line, at.column)


def load(
    path_or_name: str | Path,
    profiles: Sequence[str] = (),
    sets: Mapping[str, Any] | Sequence[str] = (),
    known: Mapping[str, type[Node]] | None = None,
    text: str | None = None,
) -> Loaded:
    """Read, resolve and check a graph: a path, or the name of a graph that ships.

    `profiles` are applied in order, then `sets`: texts of `name=value` whose value is YAML, or a mapping of plain data.
    `known` are the node types, those of this installation by default. With `text`, that is read in place of what the
    file holds, which need not be there: an editor's unsaved work. Whatever is wrong with the file or the choice
    stands in `problems`, sorted by place; nothing is raised for it.
    """
    findings = Findings()
    if known is None:
        from vflow.engine.registry import load_node_types, registry_problems

        known = load_node_types()
        findings.problems += registry_problems()
    loaded = Loaded(profiles=tuple(profiles))
    path = _find(path_or_name, findings) if text is None else Path(path_or_name)
    if path is not None:
        with no_collection():
            loaded.source_text, root = _read(path, str(path), findings, (), text)
            if root is not None:
                loaded.graph = resolve(root, path.stem, profiles, sets, findings)
                loaded.bound, loaded.outputs = check(loaded.graph, known, findings)
    loaded.problems = sorted(
        dict.fromkeys(findings.problems),
        key=lambda problem: (problem.line > 0, problem.file != str(path), problem.file, problem.line, problem.column),
    )
    loaded.problems += findings.rest(str(path))
    return loaded


@contextmanager
def no_collection() -> Iterator[None]:
    """Pause the collector of cycles: for a large graph it would take longer than the reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# --- finding ---------------------------------------------------------------------------------------------------------


def shipped_graphs() -> dict[str, str]:
    """Return the graphs that ship, name to text, those that packages add to `vflow.graphs` included."""
    return {name: path.read_text(encoding="utf-8") for name, path in _shipped().items()}


@cache
def _shipped() -> dict[str, Path]:
    # the folders of the namespace package: importlib.resources stumbles over the hook of an editable installation
    try:
        import vflow.graphs
    except ImportError:
        return {}
    folders = [folder for entry in vflow.graphs.__path__ if (folder := Path(entry)).is_dir()]
    return {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob("*.yaml"))}


def _find(path_or_name: str | Path, findings: Findings) -> Path | None:
    path, shipped = Path(path_or_name), _shipped()
    if os.path.exists(path):  # noqa: PTH110 - unlike Path.exists it takes any text
        return path
    if str(path_or_name) in shipped:
        return shipped[str(path_or_name)]
    place = Place(str(path_or_name))
    if path.name == str(path_or_name) and not path.suffix:
        remedy = findings.suggest(path.name, shipped)
        findings.add(place, "", "there is no such file, and no graph of this name ships with vflow", remedy)
    else:
        known = f"write `{path.stem}`, which ships with vflow, or copy it with `vflow init {path.stem}`"
        findings.add(place, "", "there is no such file", known if path.stem in shipped else "check the path")
    return None


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(
    path: Path, shown: str, findings: Findings, above: tuple[Path, ...], given: str | None = None
) -> tuple[str, Piece | None]:
    """Return a file's text, and its root merged over that of the file it extends; None where it cannot be used."""
    text = given if given is not None else _text(path, shown, findings)
    if text is None:
        return "", None
    document = parse(text, shown)
    findings.problems += document.problems
    root = document.root
    if root is None:
        if not document.problems:
            findings.add(Place(shown, 1, 1), "", "the file is empty", "begin with `vflow init`, or with `vflow: 1`")
        return text, None
    if type(root.data) is not dict:
        findings.add(root.place(), "", f"a graph is a mapping, not {show(root.data)}", "begin with `vflow: 1`")
        return text, None
    if not _is_ours(root, findings):
        return text, None
    root = with_long_forms(root, findings)
    if "extends" not in root.data:
        return text, root
    below = _below(path, shown, root.data["extends"], findings, (*above, path))
    if below is None:
        return text, None
    base = below.with_data({name: piece for name, piece in below.data.items() if name not in ("extends", "name")})
    return text, merge(base, root)


def _text(path: Path, shown: str, findings: Findings) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        findings.add(Place(shown), "", "this is a folder", "name a graph file in it")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        findings.add(Place(shown), "", f"the file cannot be read: {reason}", "check its name and rights")
    else:
        if len(data) > MAX_BYTES:
            message = f"the file is larger than {MAX_BYTES >> 20} MiB"
            findings.add(Place(shown), "", message, "is this a graph?")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start]
            column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
            place = Place(shown, before.count(b"\n") + 1, column)
            findings.add(place, "", f"the byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8")
    return None


def _is_ours(root: Piece, findings: Findings) -> bool:
    """Tell whether a file's format can be read. Migrations of older formats belong here, once there are any."""
    piece = root.get("vflow")
    if piece is None:
        message = "the file does not say its format"
        findings.add(root.place(), "vflow", message, f"write `vflow: {FORMAT}` in its first line")
    elif type(piece.data) is not int or piece.data < 1:
        findings.add(piece.place(), "vflow", f"{show(piece.data)} is no format", f"write `vflow: {FORMAT}`")
    elif piece.data > FORMAT:
        message = f"format {show(piece.data)} is newer than this vflow, which reads {FORMAT}"
        findings.add(piece.place(), "vflow", message, "upgrade vflow")
        return False
    return True


def _below(path: Path, shown: str, piece: Piece, findings: Findings, above: tuple[Path, ...]) -> Piece | None:
    """Return the root of the file that `extends` names; it lies in the same folder or below it."""
    name = piece.data
    if type(name) is not str or not name or "\0" in name:
        findings.add(piece.place(), "extends", f"must be the name of a file, not {show(name)}", "write a relative path")
        return None
    folder = path.parent.resolve()
    target = (folder / name).resolve()
    if Path(name).is_absolute() or not target.is_relative_to(folder):
        message = f"{show(name)} lies outside the folder of this file"
        findings.add(piece.place(), "extends", message, "a graph extends a file of its own folder, or below it")
    elif target in [one.resolve() for one in above]:
        findings.add(piece.place(), "extends", f"{show(name)} extends this file itself", "drop one `extends`")
    elif not os.path.isfile(target):  # noqa: PTH113 - unlike Path.is_file it takes any text
        findings.add(piece.place(), "extends", f"there is no file {show(name)}", "the path is relative to this file")
    else:
        return _read(target, str(Path(shown).parent / name), findings, above)[1]
    return None
