"""What exported files carry: the recipe that they came from, so that `vflow open` reads it back and it runs again.

It is put in when a file is exported, never into the store's blob, and holds only what is the same in every repetition:
no times, machines, paths, names of runs. In what form a file carries it is known by its ending: entry points of the
group `vflow.carriers` (`mp4 = a module`) with `write(source, target, text)` and `read(file) -> text or None`.

recipe
  vflow       the format of this form
  graph       the graph as resolved, as plain data; what `engine.withheld` takes out is a parameter without a value
  output      the output of the graph that the file belongs to
  nodes       of each node that decided it: type, version; where it is heavy its key, its inputs' identities and, where
              it works per item, the items' keys (or only how many they are); where it is light its output's identity
              and the revisions on a hub that it stands on
  packages    versions with which the output was computed
  metrics     final figures, as nodes report them under `FINAL`
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from vflow.engine import events
from vflow.engine.graph import FORMAT as GRAPH_FORMAT
from vflow.engine.steps import Step, identity_of_output
from vflow.engine.values import Value, identity_of
from vflow.engine.withheld import graph_text, shared_graph

if TYPE_CHECKING:
    from vflow.engine.contexts import World
    from vflow.engine.plan import Plan
    from vflow.engine.store import Store

#: The form that this version writes and reads.
FORMAT = 1
#: A node reports its final figures under this name: `context.report({FINAL: {"step": 24, "eval/loss": 0.1}})`.
FINAL = "final"
#: Longer recipes are neither written nor read, in bytes.
MAX_TEXT = 4 << 20
#: The keys of more items than these are left out, so that a clip does not weigh less than its recipe.
MAX_ITEMS = 500

#: What files carry: nothing, the recipe without what is the user's own, or all but secrets.
Embed = Literal["none", "recipe", "all"]
Copy = Callable[[Path, Path], object]


class Carrier(Protocol):
    """How files of one format carry a text. A module is one; `write` may be missing."""

    def write(self, source: Path, target: Path, text: str) -> None:
        """Copy a file with the text put in. Raises ValueError where the file or the text is not fit for it."""

    def read(self, file: Path) -> str | None:
        """Return the text, None where there is none. Raises ValueError where the file is of another form."""


def carriers() -> dict[str, str]:
    """Return ending (without its dot) to module of every format that is known; imports none of them."""
    from vflow.engine.registry import entry_points

    found: dict[str, str] = {}
    for point in entry_points("vflow.carriers"):
        found.setdefault(point.name.lower(), point.value)
    return found


def carrier_of(file: str) -> Carrier | None:
    """Return what reads and writes files of this name, or None."""
    from importlib.metadata import EntryPoint

    from vflow.engine.registry import loaded

    ending = Path(file).suffix[1:].lower()
    name = carriers().get(ending)
    return cast("Carrier | None", loaded(EntryPoint(ending, name, "vflow.carriers"))) if name else None


class Carried:
    """One recipe: `data` as described above, `text` as it is put into files, `graph_text` as a graph file."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data

    @cached_property
    def text(self) -> str:
        """The recipe as JSON in ASCII: equal recipes are equal texts."""
        return json.dumps(self.data, separators=(",", ":"), allow_nan=False)

    @cached_property
    def graph_text(self) -> str:
        """The graph as a file."""
        return graph_text(self.data["graph"], GRAPH_FORMAT)


class Carrying:
    """Makes what the outputs of one run carry, when the first file that can carry it is exported."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._plan, self._world = plan, world
        self._made: dict[str, Carried] = {}

    def copier(self, output: str, file: str) -> Copy:
        """Return how a file of an output of the graph is copied: with its recipe where its format carries one."""
        try:
            write = getattr(carrier_of(file), "write", None)
        except ImportError as error:  # a result is not lost for a package that is broken
            self._say_plain(file, error)
            write = None
        if write is None or self._embed == "none":
            return shutil.copyfile
        return lambda source, target: self._copy(write, source, target, output, file)

    def card(self, output: str, value: Value) -> str:
        """Return the text of the card beside a value's files; "" where it has none."""
        if type(value).card is Value.card or self._embed == "none":
            return ""
        carried = self.of(output)
        return value.card(carried) if carried else ""

    def of(self, output: str) -> Carried | None:
        """Return what the files of an output carry; None where it is too long."""
        if output not in self._made:
            self._made[output] = Carried(recipe(self._plan, self._world.store, output, self._embed == "all"))
        made = self._made[output]
        return made if len(made.text) <= MAX_TEXT else None

    @cached_property
    def _embed(self) -> Embed:
        if self._world.embed is not None:
            return self._world.embed
        from vflow.engine import config

        return config.load().embed

    def _copy(self, write: Any, source: Path, target: Path, output: str, file: str) -> None:
        carried = self.of(output)
        try:
            if carried is None:
                raise ValueError(f"it would be longer than {MAX_TEXT >> 20} MiB")
            write(source, target, carried.text)
        except ValueError as error:
            self._say_plain(file, error)
            shutil.copyfile(source, target)

    def _say_plain(self, file: str, error: Exception) -> None:
        self._world.emit(events.Log(message=f"{file} is exported without its recipe: {error}"))


def recipe(plan: Plan, store: Store, output: str, everything: bool = False) -> dict[str, Any]:
    """Return the recipe of an output of the graph, as plain data; with `everything`, secrets alone stay out."""
    steps = _deciding(plan, plan.loaded.outputs[output].node)
    last = steps[-1]
    mine = sorted(last.item_keys.values())[:MAX_ITEMS] if last.node.per_item else [last.key]
    whole = [step.key for step in steps if step.key and not step.node.per_item]
    records = store.lookup([*whole, *filter(None, mine)], check_blobs=False)
    metrics = {step.name: _figures(records[step.key].facts.get(FINAL)) for step in steps if step.key in records}
    return {
        "vflow": FORMAT,
        "graph": shared_graph(plan.loaded, everything),
        "output": output,
        "nodes": {step.name: _node(step) for step in steps},
        "packages": _packages(records[key].environment for key in mine if key in records),
        "metrics": {name: figures for name, figures in metrics.items() if figures},
    }


def _deciding(plan: Plan, name: str) -> list[Step]:
    """Return a node, last, and those before it that decide what it gives; what it only observes does not."""
    seen, stack = {name}, [name]
    while stack:
        kind, links = plan.steps[stack[-1]].bound.type, plan.steps[stack.pop()].bound.links
        deciding = [port for port in links if kind.light or not kind.ports[port].observed]
        new = {link.node for port in deciding for link in links[port]} - seen
        seen |= new
        stack += new
    return [step for step in plan.steps.values() if step.name in seen and step.state != "disabled"]


def _node(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"type": type(step.node).__name__, "version": step.node.version}
    if step.node.light:
        # of files a pin tells names; what they hold is in the identity
        pins = {what: identity for what, identity in sorted(step.pins.items()) if what.startswith("hub ")}
        return {**found, "output": identity_of_output(step.output), **({"pins": pins} if pins else {})}
    found["key"] = step.key
    found["inputs"] = {port: identity_of(value) for port, value in step.inputs.items() if value is not None}
    if step.node.per_item:
        found["count"] = len(step.item_keys)
        if len(step.item_keys) <= MAX_ITEMS:
            found["items"] = sorted(step.item_keys.values())
    return found


def _figures(reported: Any) -> dict[str, float]:
    """Return the finite numbers of what a node reported."""
    if not isinstance(reported, Mapping):
        return {}
    return {name: value for name, value in reported.items() if type(value) in (int, float) and isfinite(value)}


def _packages(environments: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the versions of packages in records, without local parts (`+cpu`); of several, all."""
    from vflow.engine.lock import PACKAGES

    found: dict[str, set[str]] = {}
    for environment in environments:
        for name in PACKAGES:
            if isinstance(version := environment.get(name), str):
                found.setdefault(name, set()).add(version.partition("+")[0])
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
