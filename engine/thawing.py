"""Frozen outputs in a plan: an entry stands in for its node, as long as nothing has to be computed from it.

An entry stands in only where type, version, settings and inputs are those it was frozen with: a node that was edited
runs as always. Once something has to be computed from a node of which only the identity is here, the plan is made again
without that entry, so that the node looks at this machine's files (`grown`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import keys
from vflow.engine.frozen import SUFFIX, Entry, decode, fits, has_sealed, read
from vflow.engine.plan import Plan
from vflow.engine.problems import Failure, GraphError, Problem
from vflow.engine.steps import Step, identity_of_output
from vflow.engine.values import blobs_of, identity_of

if TYPE_CHECKING:
    from vflow.engine.contexts import World
    from vflow.engine.load import Loaded
    from vflow.engine.session import Request

_LARGEST = 2**30


class Thaw(Failure):
    """Something has to be computed from frozen outputs of which the files are elsewhere. `names` are their nodes."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        super().__init__(
            f"something has to be computed from {', '.join(sorted(self.names))}, of which this pack holds no files",
            f"remove the file that ends in {SUFFIX} beside the graph, so that every node looks at its own files",
        )


class Frozen:
    """The entries beside a graph, as they serve one plan. `served` maps the nodes served to whether all is here."""

    def __init__(self, entries: Mapping[str, Entry], folder: Path, world: World) -> None:
        self.entries, self.folder, self._world = entries, folder, world
        self.served: dict[str, bool] = {}

    def without(self, names: Iterable[str]) -> Frozen:
        """Return the same for another plan, less the entries of some nodes."""
        left = {name: entry for name, entry in self.entries.items() if name not in set(names)}
        return Frozen(left, self.folder, self._world)

    def serve(self, plan: Plan, step: Step) -> bool:
        """Give a step its frozen output, if its entry is of just this step. Tell whether it did.

        Raises:
            Thaw: the step has to run, and stands on outputs that are not wholly here.
        """
        entry = self.entries.get(step.name)
        if step.name in plan.forced:
            entry = None
        output = decode(entry.output) if entry is not None and entry.print == fingerprint(plan, step) else None
        if entry is not None and output is not None and fits(type(step.node), output):
            step.output, step.known = output, True
            step.facts.update(entry.facts)
            self.served[step.name] = self._is_whole(entry, step.output)
            return True
        lacking = [name for name in step.bound.sources if not self.served.get(name, True)]
        if lacking and step.node.light:
            raise Thaw(lacking)
        return False

    def observed(self, step: Step) -> dict[str, Any]:
        """Return the observed outputs of a step whose record is kept, as they were; none where nobody kept them."""
        entry = self.entries.get(step.name)
        if entry is None or entry.observed is None or entry.print != step.key:
            return {}
        found: dict[str, Any] = decode(entry.observed)
        return found

    def problems(self, inputs: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong with inputs of a step that has to run."""
        if ports := [port for port, value in inputs.items() if has_sealed(value)]:
            message = f"has to run, and of what stands at {', '.join(ports)} only the identity came with the pack"
            yield Problem(message, f"remove the {SUFFIX} file beside the graph, so that every node runs")

    def lacking(self, plan: Plan) -> set[str]:
        """Return the nodes that were served by identity only, and from which something has to be computed."""
        return {name for name, whole in self.served.items() if not whole and plan.steps[name].wanted}

    def _is_whole(self, entry: Entry, output: Any) -> bool:
        """Tell whether something can be computed from an output, and where the entry's files lie."""
        if has_sealed(output) or not all(map(self._world.store.has_blob, blobs_of(output))):
            return False
        here = {key: found for key, found in entry.files.items() if found is not None}
        paths = {key: self.folder / path for key, (path, _) in here.items() if (self.folder / path).is_file()}
        digests = self._world.store.digests_of(list(paths.values())) if paths else {}
        good = {key: path for key, path in paths.items() if digests[path] == here[key][1]}
        self._world.places.update(good)
        return len(good) == len(entry.files)


def grown(loaded: Loaded, world: World, request: Request) -> Plan:
    """Return the plan of a graph, advanced, with the frozen outputs beside its file where there are some."""
    frozen = beside(request.graph, world)
    put_aside: set[str] = set()
    while True:
        plan = Plan(loaded, world.store, world.context_for, request.until, request.force)
        plan.frozen = frozen.without(put_aside) if frozen else None
        try:
            plan.advance()
        except Thaw as error:
            put_aside |= error.names
            continue
        lacking = plan.frozen.lacking(plan) if plan.frozen else set()
        if not lacking:
            break
        put_aside |= lacking
    if frozen and put_aside:
        plan.problems += _told(frozen, put_aside, plan)
    return plan


def beside(graph: str, world: World) -> Frozen | None:
    """Return what is frozen beside a graph file, or None.

    Raises:
        GraphError: the file is not what `vflow unpack` wrote.
    """
    path = Path(graph + SUFFIX)
    if not path.is_file():
        return None
    if path.stat().st_size > _LARGEST:
        raise GraphError(f"{path} is too large", "unpack the pack again")
    return Frozen(read(path.read_bytes(), str(path)), path.parent, world)


def _told(frozen: Frozen, names: set[str], plan: Plan) -> Iterator[Problem]:
    """Say what is otherwise here than where the pack was made, of the nodes that had to look at this machine."""
    for name in sorted(names & plan.steps.keys()):
        step = plan.steps[name]
        if step.state == "failed":
            message = "its result has to be computed with, and the pack holds only what it is, not the files"
            yield plan.loaded.place(Problem(message, "see docs/sharing.md", severity="hint"), name)
        elif step.node.light and step.known and (entry := frozen.entries[name]).print == fingerprint(plan, step):
            if identity_of_output(step.output) == identity_of_output(decode(entry.output)):
                continue
            message = "it gives something else here than where the pack was made"
            remedy = f"put the same files there; or remove the {SUFFIX} file beside the graph to go on with yours"
            yield plan.loaded.place(Problem(message, remedy), name)


def fingerprint(plan: Plan, step: Step, settings: Callable[[Any], Any] = lambda data: data) -> str:
    """Return the digest of all that decides a step's output. `settings` changes a light node's settings before.

    A heavy node's is its key, with the list of its items if it works per item.
    """
    if not step.node.light:
        items = step.inputs.get(step.node.per_item) if step.node.per_item else None
        return keys.digest([step.key, identity_of(items)]) if step.node.per_item else step.key
    inputs = {port: identity_of(value) for port, value in plan.inputs_of(step).items() if value is not None}
    return plan.key_of(step, settings(step.node.model_dump(mode="json")), inputs)
