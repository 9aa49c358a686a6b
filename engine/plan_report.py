"""What a plan says, as data: what `vflow plan` prints and the terminal UI shows.

`report` plans and never raises for a user's mistake: what is wrong stands in its `problems`, beside as much of the plan
as there is. `of_session` reads the report off a session. A report is plain data (`to_json`, `from_json`), so that
another process can make it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vflow.engine.disk import existing
from vflow.engine.effects import Effect, effects_of
from vflow.engine.problems import Failure, GraphError, Problem, Unasked, VflowError, errors
from vflow.engine.rehearsal import Cost
from vflow.engine.why import one_line

if TYPE_CHECKING:
    from vflow.engine.session import Request, Session
    from vflow.engine.steps import Step

#: The states of a node in the order in which a summary counts them, each with what it is called there.
COUNTED = {
    "reused": "kept",
    "will run": "to run",
    "decided later": "decided later",
    "not asked": "not asked yet",
    "failed": "in error",
    "not needed": "not needed",
    "light": "light",
    "disabled": "disabled",
}


@dataclass(frozen=True)
class NodePlan:
    """What a plan says of one node.

    `state` is one of `COUNTED`. `head` says why it runs in one line, `below` has what belongs under that
    line; `why` is both as far as they compare with an earlier run. `total` is how many results it has (items, or 1),
    None where that is not known yet; `missing` how many of them are to be computed. `bytes` of them lie in the store
    (where that was asked for), `saved_seconds` is what those cost. `foreign` tells of kept results from another
    environment: in words, how many.
    """

    name: str
    type: str
    state: str
    head: str = ""
    below: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    per_item: bool = False
    missing: int = 0
    total: int | None = None
    bytes: int = 0
    saved_seconds: float = 0.0
    key: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    said: tuple[tuple[str, str], ...] = ()
    foreign: Mapping[str, int] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why it is in its state, in one line."""
        return one_line([self.head, *self.below])


@dataclass(frozen=True)
class Phase:
    """What a node's part of the run will take, as a rehearsal measured it: `cost` is of all that it has to do."""

    node: str
    what: str
    cost: Cost


@dataclass(frozen=True)
class PlanReport:
    """A plan. `nodes` are in the order in which they would run; there are none where the file itself has errors.

    `sections` are what packages add, title and lines of each (`memory`, by training); `rehearsed` says of a node how it
    was rehearsed, `phases` what that measured. `free` are the bytes left on the store's disk. `live`: see `Request`.
    """

    graph: str = ""
    nodes: Mapping[str, NodePlan] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rehearsed: Mapping[str, str] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    problems: tuple[Problem, ...] = ()
    free: int = 0
    live: bool = False
    seconds: float = 0.0

    @property
    def fetches(self) -> tuple[Effect, ...]:
        """What the fetch phase brings: downloads with their size in bytes, and what is built here."""
        return tuple(effect for effect in self.effects if effect.kind in ("downloads", "builds"))

    @property
    def saved_seconds(self) -> float:
        """What the kept results cost when they were computed."""
        return sum(node.saved_seconds for node in self.nodes.values())

    @property
    def can_run(self) -> bool:
        """Tell whether there is a plan without an error."""
        return bool(self.nodes) and not errors(self.problems)

    def in_state(self, state: str) -> list[NodePlan]:
        """Return the nodes in a state."""
        return [node for node in self.nodes.values() if node.state == state]

    def summary(self) -> str:
        """Return the plan in a line: `12 nodes: 7 kept, 5 to run`."""
        if not self.nodes:
            return "no plan"
        states = [node.state for node in self.nodes.values()]
        counts = [f"{number:,} {words}" for state, words in COUNTED.items() if (number := states.count(state))]
        return f"{len(states):,} node{'' if len(states) == 1 else 's'}: {', '.join(counts)}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data, from which `from_json` makes an equal report."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlanReport:
        """Make a report from what `to_json` gave."""
        found = dict(data)
        found["nodes"] = {name: _node_from(node) for name, node in data["nodes"].items()}
        found["effects"] = tuple(Effect(**effect) for effect in data["effects"])
        found["sections"] = tuple((title, tuple(lines)) for title, lines in data["sections"])
        found["phases"] = tuple(Phase(phase["node"], phase["what"], Cost(**phase["cost"])) for phase in data["phases"])
        found["problems"] = tuple(Problem(**problem) for problem in data["problems"])
        return cls(**found)


def report(request: Request, tell: Callable[[str], None] = lambda _said: None) -> PlanReport:
    """Plan, and return all that there is to say: light nodes run, nothing heavy does.

    `tell` is called with what light nodes say while they work, in words, from the thread that calls this. Whatever a
    user may have done wrong stands in `problems`; nothing is raised for it.
    """
    from vflow.engine.contexts import World
    from vflow.engine.session import surveyed
    from vflow.engine.store import Store
    from vflow.engine.store.remote_address import chosen

    began = time.monotonic()
    try:
        # a second tier that lies near may be asked even where the network may not
        remote = chosen(request.remote, request.offline or request.live)
        world = World(Store(request.cache, remote=remote))
        world.bus.listen(lambda event: _pass_on(event, tell))
        found = of_session(surveyed(request, world), live=request.live, sizes=True)
    except GraphError as error:
        found = PlanReport(problems=error.problems, live=request.live)
    except Failure as error:
        found = PlanReport(problems=(Problem(error.message, error.remedy),), live=request.live)
    except VflowError as error:
        found = PlanReport(problems=(Problem(str(error)),), live=request.live)
    return replace(found, seconds=time.monotonic() - began)


def of_session(session: Session, *, live: bool = False, sizes: bool = False) -> PlanReport:
    """Read the report off a session, which may hold errors.

    `live`: what the network was not asked for is no error. `sizes`: count the bytes of what is kept, which takes a
    while where items are many.
    """
    from vflow.engine.registry import named_answers
    from vflow.engine.rehearsal import citations, costs

    open_ = [problem for problem in session.problems if live and isinstance(problem, Unasked)]
    wrong = {node_of(problem): problem for problem in reversed(errors(session.problems))}
    return PlanReport(
        graph=session.loaded.graph.name,
        nodes={name: _node(session, step, wrong.get(name), live, sizes) for name, step in session.plan.steps.items()},
        effects=tuple(effects_of(session)),
        sections=tuple((name, tuple(lines)) for name, lines in named_answers("vflow.plan_sections", session) if lines),
        rehearsed=dict(citations(session)),
        phases=tuple(Phase(*found) for found in costs(session)),
        problems=tuple(problem for problem in session.problems if problem not in open_),
        free=shutil.disk_usage(existing(session.world.store.folder)).free,
        live=live,
    )


def node_of(problem: Problem) -> str:
    """Return the node at which a problem was found, "" where it is none's."""
    part, _, rest = problem.where.partition(".")
    return rest.partition(".")[0] if part == "nodes" else ""


def reason_of(session: Session, step: Step) -> str:
    """Say in one line why a node is in its state."""
    return one_line([_head_of(session, step), *_below_of(step)])


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return a node's facts, one line each; a list of flat facts becomes a small table."""
    from vflow.engine.cli.text import table

    text: list[str] = []
    for name, value in facts.items():
        if isinstance(value, (list, tuple)) and value and all(isinstance(entry, dict) for entry in value):
            text.append(f"{name}:")
            text += table([[f"{k} {v}" for k, v in entry.items()] for entry in value], "  ")
        else:
            text.append(f"{name}: {value}")
    return text


def foreign_lines(report: PlanReport) -> Iterator[str]:
    """Yield a warning for each node whose kept results come from another environment."""
    for node in report.nodes.values():
        for words, number in node.foreign.items():
            many = (node.total or 0) > 1
            kept = f"{number} of {node.total} kept results" if many else "its kept result"
            yield f"{node.name}: {kept} computed with {words}; --fresh-env computes again"


# --- reading a session -----------------------------------------------------------------------------------------------


def _node(session: Session, step: Step, wrong: Problem | None, live: bool, sizes: bool) -> NodePlan:
    kind = step.bound.type
    state, head, below = _state_of(step), _head_of(session, step), tuple(_below_of(step))
    if step.state == "failed" and wrong is not None:
        state, head = ("not asked", "not asked yet: ") if live and isinstance(wrong, Unasked) else (state, "")
        head += wrong.message
    return NodePlan(
        name=step.name,
        type=kind.__name__,
        state=state,
        head=head,
        below=below,
        why=tuple(step.why),
        per_item=bool(kind.per_item),
        missing=step.missing if step.state == "run" else 0,
        total=step.total if step.item_keys or not kind.per_item else None,
        bytes=_bytes_of(step) if sizes else 0,
        saved_seconds=step.saved_seconds,
        key=step.key,
        facts=dict(step.facts),
        left_out=tuple(step.left_out),
        said=tuple(step.said),
        foreign=_foreign(step),
    )


def _state_of(step: Step) -> str:
    if step.state in ("run", "undecided"):
        if not step.wanted:
            return "not needed"
        return "will run" if step.state == "run" else "decided later"
    return step.state


def _head_of(session: Session, step: Step) -> str:
    """Return the first line of why a node is in its state; `_below_of` has the others."""
    if step.state == "undecided" and step.wanted:
        return f"decided after {', '.join(session.plan.holding_up(step))}"
    if step.state == "reused":
        kept = f"{step.total} items kept" if step.bound.type.per_item else "kept"
        far = session.world.store.remote.share_of(step.records.values()) if session.world.store.remote else 0
        return kept if not far else f"{kept} (remote)" if far == step.total else f"{kept} ({far} of them remote)"
    if step.state != "run" or not step.wanted:
        return ""
    reason = step.why[0] if step.why else step.reason
    return f"{reason} ({step.missing} of {step.total})" if step.bound.type.per_item else reason


def _below_of(step: Step) -> Sequence[str]:
    """Return what belongs below the first line of why a node runs, or will most likely run."""
    if not step.wanted:
        return []
    return step.why if step.state == "undecided" else step.why[1:] if step.state == "run" else []


def _foreign(step: Step) -> dict[str, int]:
    """Return how the environment of reused results differs from this one, for how many of them."""
    from vflow.engine.environment import foreign

    return foreign(step, step.records.values()) if step.state == "reused" else {}


def _bytes_of(step: Step) -> int:
    """Return what the kept results of a step take in the store; a blob that several of them share counts once."""
    return sum({digest: size for record in step.records.values() for digest, size in record.sizes.items()}.values())


def _node_from(data: Mapping[str, Any]) -> NodePlan:
    found = dict(data)
    for name in ("below", "why"):
        found[name] = tuple(data[name])
    for name in ("left_out", "said"):
        found[name] = tuple((one, other) for one, other in data[name])
    return NodePlan(**found)


def _pass_on(event: Any, tell: Callable[[str], None]) -> None:
    """Tell in words what a light node says or how far it is."""
    node = getattr(event, "node", "")
    if event.kind == "log":
        tell(f"{node}: {event.message}" if node else event.message)
    elif event.kind == "progress":
        tell(f"{node}: {event.done:,} of {event.total:,}")
