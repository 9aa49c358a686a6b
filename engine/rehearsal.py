"""What a rehearsal says of a node: what was proved, what is wrong, what could not be looked at, and what it will cost.

A node type that can prove something before a long run says so by `Node.rehearse`; `rehearsing` runs it. What was found
is kept as a record, under a key of everything that decided it, so that plans and runs can cite it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from vflow.engine import environment, keys
from vflow.engine.node import Node, matters
from vflow.engine.steps import Step, identity_of_output

if TYPE_CHECKING:
    from vflow.engine.plan import Plan
    from vflow.engine.session import Session
    from vflow.engine.store import Record, Store

Status = Literal["passed", "failed", "skipped"]

#: rises when what is checked or measured changes such that what was kept says too little
VERSION = 1
_TYPE = "Rehearsal"


@dataclass(frozen=True)
class Cost:
    """What a node's part of the real run will take, as measured: of one item, where the node works per item.

    `disk` is in bytes that stay in the store; `peaks` are the most bytes held at once, by `GPU` and `host`. `pace` says
    the speed in words (`4.1 s per step`).
    """

    seconds: float = 0.0
    disk: int = 0
    peaks: Mapping[str, int] = field(default_factory=dict)
    pace: str = ""

    def times(self, count: int) -> Cost:
        """Return the cost of so many items."""
        return replace(self, seconds=self.seconds * count, disk=self.disk * count)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `remedy` says what to do about a failed one; `node` is filled in by the runner."""

    name: str
    status: Status
    message: str
    remedy: str = ""
    cost: Cost | None = None
    node: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def passed(name: str, message: str, cost: Cost | None = None) -> Check:
    """Say that something is as it must be."""
    return Check(name, "passed", message, cost=cost)


def failed(name: str, message: str, remedy: str) -> Check:
    """Say that something is not as it must be, and what to do."""
    return Check(name, "failed", message, remedy)


def skipped(name: str, why: str) -> Check:
    """Say that something could not be looked at."""
    return Check(name, "skipped", why)


def rehearses(kind: type[Node]) -> bool:
    """Tell whether a node type has something to prove."""
    return kind.rehearse is not Node.rehearse


def is_long(step: Step) -> bool:
    """Tell whether a step is what a rehearsal stands for: it rehearses, and its work is one whole that takes long."""
    return rehearses(step.bound.type) and not step.bound.type.light and not step.bound.type.per_item


# --- what is kept ----------------------------------------------------------------------------------------------------


def key_of(plan: Plan, step: Step) -> str:
    """Return the key under which a step's rehearsal is kept: of all that decides its work, where and how fast included.

    Left out are what only watches, and how far it goes. What light nodes gave enters as it is; what has to be encoded
    follows from it, so that the key is known before anything was.
    """
    seen: dict[str, Any] = {}
    stack = [step.name]
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        here = plan.steps[name]
        ports, kind = here.bound.type.ports, here.bound.type
        links = {port: linked for port, linked in here.bound.links.items() if not ports[port].observed}
        seen[name] = [
            kind.__name__,
            kind.version,
            _settings(here.node),
            {port: [[link.node, link.output] for link in linked] for port, linked in links.items()},
            identity_of_output(here.output) if here.state == "light" else None,
        ]
        stack += [link.node for linked in links.values() for link in linked]
    where = [platform.node(), environment.device_of(step), dict(environment.versions())]
    return keys.digest([_TYPE, VERSION, step.name, seen, where])


def keep(store: Store, key: str, said: Mapping[str, Any], seconds: float) -> None:
    """Keep what a rehearsal found, that passed."""
    from vflow.engine.store import Record

    record = Record(
        key=key,
        node_type=_TYPE,
        version=VERSION,
        output=None,
        seconds=seconds,
        created=time.time(),
        environment=environment.versions(),
        facts=said,
    )
    store.publish(record)


def citations(session: Session) -> Iterator[tuple[str, str]]:
    """Yield node and what to say of it, for every node that will run and was rehearsed like this on this device."""
    for step, record in _rehearsed(session):
        yield step.name, _cited(record)


def costs(session: Session) -> Iterator[tuple[str, str, Cost]]:
    """Yield node, what was measured there, and what it takes for all that the node has to do, as rehearsed before."""
    steps = session.plan.steps
    measured = {
        (check["node"], check["name"]): Cost(**check["cost"])
        for _, record in _rehearsed(session)
        for check in record.facts.get("checks", ())
        if check.get("cost") and check["node"] in steps
    }
    for (node, what), cost in measured.items():
        if count := _ahead(steps[node]):
            yield node, what, cost.times(count)


def _ahead(step: Step) -> int:
    """Return how often a step's measured work is to be done: for each item that the store lacks, or once."""
    if step.state not in ("run", "undecided", "light"):
        return 0
    return step.missing if step.bound.type.per_item and step.item_keys else 1


def _rehearsed(session: Session) -> Iterator[tuple[Step, Record]]:
    plan = session.plan
    steps = {key_of(plan, step): step for step in plan.pending() if is_long(step)}
    for key, record in (session.world.store.lookup(steps) if steps else {}).items():
        yield steps[key], record


def _cited(record: Record) -> str:
    ago = _ago(time.time() - record.created)
    return f"rehearsed {ago} on this device: {record.facts['said']}"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {'day' if unit == 'days' and count == 1 else unit} ago"
    return "just now"


def _settings(node: Node) -> dict[str, Any]:
    dumped = node.model_dump(mode="json")
    kinds = ("plain", "placement")
    return {name: dumped[name] for name, setting in type(node).model_fields.items() if matters(setting) in kinds}


def ancestors(plan: Plan, names: Sequence[str]) -> set[str]:
    """Return the nodes that some nodes are made from, those included."""
    seen: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack += plan.steps[name].bound.sources
    return seen
