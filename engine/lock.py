"""A lock: what a graph's names stood for when it was made, so that the same can be had again, or a difference told.

`GRAPH.lock` is JSON: for each node its type and version; for each light node that depends on no heavy one, the
identity of what it gave, and its *pins*: what it used of the world outside the graph, and which that was
(`hub owner/name@main`: a commit; `file a.mp4`: a SHA-256); and the versions of the packages that results depend on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import keys
from vflow.engine.problems import GraphError, Problem
from vflow.engine.steps import identity_of_output

if TYPE_CHECKING:
    from vflow.engine.plan import Plan
    from vflow.engine.steps import Step

SUFFIX = ".lock"
FORMAT = 1
PACKAGES = ("vflow", "torch", "diffusers", "transformers", "peft", "accelerate", "av")
_LARGEST = 2**28
#: How many files a difference names.
_NAMED = 5


@dataclass(frozen=True)
class Locked:
    """One node in a lock. `output` and `settings` are digests, empty for heavy nodes and for those below them."""

    type: str
    version: int
    output: str = ""
    settings: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lock:
    """What a graph, with its profiles chosen, stands for."""

    graph: str
    nodes: Mapping[str, Locked]
    versions: Mapping[str, str]
    profiles: tuple[str, ...] = ()

    @property
    def pins(self) -> dict[str, str]:
        """All pins of all nodes."""
        return {what: identity for node in self.nodes.values() for what, identity in node.pins.items()}

    def to_text(self) -> str:
        """Return the lock's file."""
        nodes = {name: {k: v for k, v in vars(node).items() if v} for name, node in self.nodes.items()}
        data = {"lock": FORMAT, "graph": self.graph, "profiles": self.profiles, "versions": self.versions}
        return json.dumps({**data, "nodes": nodes}, indent=1, sort_keys=True) + "\n"


def made(plan: Plan, profiles: tuple[str, ...] = ()) -> Lock:
    """Return the lock of a plan that has been advanced."""
    alone = independent(plan)
    nodes = {}
    for step in plan.steps.values():
        if step.state != "disabled":
            nodes[step.name] = _locked(step) if step.name in alone else Locked(*_kind(step))
    return Lock(plan.loaded.graph.name, nodes, versions(), profiles)


def independent(plan: Plan) -> set[str]:
    """Return the light nodes that have run and stand below no heavy one."""
    found: set[str] = set()
    for step in plan.steps.values():  # in topological order
        if step.state == "light" and step.known and found.issuperset(step.bound.sources):
            found.add(step.name)
    return found


def versions() -> dict[str, str]:
    """Return the versions that results depend on, without local parts: `2.9.0+cpu` and `2.9.0+cu128` are one."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in PACKAGES:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            continue
    return found


def path_of(graph: str) -> Path:
    """Return where the lock of a graph lies: beside its file; that of a graph that ships, in the current folder."""
    return Path(graph + SUFFIX)


def write(lock: Lock, path: Path) -> None:
    """Write a lock. One that is there is replaced.

    Raises:
        GraphError: something else is there, or it cannot be written.
    """
    if path.exists():
        try:
            parse(path.read_bytes(), str(path))
        except (OSError, GraphError) as error:
            raise GraphError(f"{path} is there and is no lock", "name another file with -o FILE") from error
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(lock.to_text(), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise GraphError(f"{path} cannot be written: {error.strerror}", "name another file with -o FILE") from error


def read(path: Path) -> Lock:
    """Read a lock.

    Raises:
        GraphError: there is none, or it is something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST)
    except FileNotFoundError as error:
        raise GraphError(f"there is no lock {path}", "`vflow lock GRAPH` makes one") from error
    except OSError as error:
        raise GraphError(f"the lock {path} cannot be read: {error.strerror}", "check its name and rights") from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Lock:
    """Make the lock that `Lock.to_text` wrote.

    Raises:
        GraphError: it is something else, or of a newer format.
    """
    try:
        read = json.loads(data)
        if type(read["lock"]) is int and read["lock"] > FORMAT:
            raise GraphError(f"the lock {name} has format {read['lock']}, this vflow knows {FORMAT}", "update vflow")
        nodes = {str(node): Locked(**entry) for node, entry in read["nodes"].items()}
        if not all(isinstance(what, str) for node in nodes.values() for pin in node.pins.items() for what in pin):
            raise ValueError("a pin is no text")
        return Lock(str(read["graph"]), nodes, dict(read["versions"]), tuple(read["profiles"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GraphError(f"{name} is no lock", "`vflow lock GRAPH` makes one") from error


# --- comparing -------------------------------------------------------------------------------------------------------


def differences(lock: Lock, plan: Plan, profiles: tuple[str, ...] = ()) -> list[Problem]:
    """Return everything in which a plan differs from its lock; nodes that this plan does not reach are left out."""
    found = list(_of_versions(lock))
    if lock.profiles != profiles:
        named = " ".join(f"--profile {name}" for name in lock.profiles) or "no profile"
        found.append(Problem(f"the lock was made with {named}", "use the same, or lock again"))
    now = made(plan).nodes
    for name in sorted(lock.nodes.keys() - now.keys()):
        found.append(Problem("the lock has this node, and the graph does not", _AGAIN, f"nodes.{name}"))
    for name, node in now.items():
        if plan.steps[name].state == "undecided" and not plan.steps[name].wanted:
            continue
        was = lock.nodes.get(name)
        for problem in _of_node(was, node, frozen=bool(plan.frozen and name in plan.frozen.served)):
            found.append(plan.loaded.place(problem, name))
    return found


_AGAIN = "undo the change, or run `vflow lock` again"


def _of_versions(lock: Lock) -> Iterator[Problem]:
    now = versions()
    for package in sorted(lock.versions.keys() | now.keys()):
        was, have = lock.versions.get(package), now.get(package)
        if was != have:
            remedy = (
                f"pip install {package}=={was}, or run `vflow lock` again" if was and package != "python" else _AGAIN
            )
            yield Problem(f"{package} is {have or 'not installed'}, the lock has {was or 'none'}", remedy)


def _of_node(was: Locked | None, now: Locked, frozen: bool) -> Iterator[Problem]:
    if was is None:
        yield Problem("the lock does not have this node", _AGAIN)
        return
    if (was.type, was.version) != (now.type, now.version):
        yield Problem(f"it is {now.type} version {now.version}, the lock has {was.type} version {was.version}", _AGAIN)
        return
    if not now.output or was.output == now.output:
        return
    pins = [] if frozen else list(_of_pins(was.pins, now.pins))
    yield from pins
    if was.settings != now.settings:
        yield Problem("its settings were changed", _AGAIN)
    elif not pins:
        yield Problem("it gives something else than what was locked", _AGAIN)


def _of_pins(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Problem]:
    both = was.keys() & now.keys()
    for what in sorted(what for what in both if not what.startswith("file ") and was[what] != now[what]):
        yield Problem(f"{what} is {now[what][:12]}, the lock has {was[what][:12]}", _AGAIN)
    for verb, names in (
        ("changed", [what for what in both if what.startswith("file ") and was[what] != now[what]]),
        ("came", now.keys() - was.keys()),
        ("gone", was.keys() - now.keys()),
    ):
        if names:
            yield Problem(f"{verb} since it was locked: {_listed(sorted(names))}", _AGAIN)


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    named = ", ".join(name.removeprefix("file ") for name in names[:_NAMED])
    return f"{named} and {more} more" if more > 0 else named


def _kind(step: Step) -> tuple[str, int]:
    return type(step.node).__name__, step.node.version


def _locked(step: Step) -> Locked:
    output: Any = identity_of_output(step.output)
    return Locked(*_kind(step), keys.digest(output), keys.digest(step.node.key_settings()), dict(step.pins))
