"""A rehearsal: what every node can prove of its work before the long run, with few items.

rehearse
  choose the nodes that rehearse, of those that the graph's outputs need
  ask the long ones which rows they need; hold the nodes that work per item to those
  fetch and compute what stands before them; what was computed is kept, and found again by the run
  rehearse each node, while its models are still there where it was computed just now
  keep what was found, where nothing failed
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vflow.engine import rehearsal
from vflow.engine.contexts import RehearsalContext
from vflow.engine.failures import in_words
from vflow.engine.folder import RunFolder
from vflow.engine.lending import Lender
from vflow.engine.plan import Plan
from vflow.engine.problems import Failure, GraphError, Interrupted, Problem, VflowError, errors
from vflow.engine.rehearsal import Check, Cost, ancestors, is_long, rehearses
from vflow.engine.run import Aside, Run
from vflow.engine.schedule import bases_of
from vflow.engine.session import Request, Session
from vflow.engine.steps import Step
from vflow.engine.values import Items

Tell = Callable[[Check], None]


@dataclass
class Rehearsed:
    """What a rehearsal found, in order. `costs` are of the whole run, by node and what was measured there."""

    checks: list[Check] = field(default_factory=list)
    costs: dict[tuple[str, str], Cost] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Tell whether anything is not as it must be."""
        return any(check.status == "failed" for check in self.checks)


def rehearse(session: Session, request: Request, tell: Tell) -> Rehearsed:
    """Rehearse a planned graph; `tell` is called with each check once it is known.

    Raises:
        GraphError: no node of the graph has anything to prove.
        Interrupted: the user asked to stop.
    """
    world, began = session.world, time.monotonic()
    why, folder, world.why = world.why, world.folder, None  # what runs here is no part of the graph's history
    try:
        with world.store.scratch() as scratch:
            world.folder = RunFolder(scratch / "run")
            world.folder.path.mkdir()
            found = _Rehearsal(session, request, scratch, tell).execute()
    finally:
        world.why, world.folder = why, folder
    found.seconds = time.monotonic() - began
    return found


class _Rehearsal:
    """One rehearsal in a scratch folder."""

    def __init__(self, session: Session, request: Request, scratch: Path, tell: Tell) -> None:
        self._session, self._world, self._scratch, self._tell = session, session.world, scratch, tell
        self._found, self._done = Rehearsed(), set[str]()
        self._chosen, self._waiting = _chosen(session.plan)
        if not self._chosen:
            raise GraphError(
                Problem("nothing in this graph can be rehearsed", "rehearse a graph that trains: `vflow init` has some")
            )
        rows = _rows(session.plan, self._chosen)
        for name in [name for name in self._chosen if rows.get(name) == set()]:
            self._chosen.remove(name)  # whoever reads its list needs none of it
        self._plan = Plan(
            session.loaded,
            self._world.store,
            self._world.context_for,
            until=_targets(session.plan, self._chosen),
            only={name: wanted for name, wanted in rows.items() if wanted is not None},
            fresh_env=request.fresh_env,
        )

    def execute(self) -> Rehearsed:
        for name, needed in self._waiting.items():
            why = f"it is made from what {needed} gives, which a rehearsal does not wait for"
            self._take(self._session.plan.steps[name], rehearsal.skipped("rehearsal", why))
        self._plan.advance()
        self._plan.preflight()
        if wrong := errors(self._plan.problems):
            raise GraphError(wrong)
        self._compute()
        self._world.lender = Lender()
        try:
            for step in self._by_models(self._steps()):
                if step.name not in self._done:
                    self._rehearse(step)
        finally:
            self._world.lender.keep_only(set())
        return self._found

    def _compute(self) -> None:
        """Compute what stands before the rehearsed nodes; each of those in it is rehearsed right after."""
        later = [step for step in self._steps() if is_long(step)]
        outcome = Run(self._plan, self._world, Aside(later, self._fetched, self._computed)).execute()
        if outcome.status == "interrupted":
            raise Interrupted("interrupted; what was encoded is kept")
        for problem in outcome.failures:
            name = problem.where.removeprefix("nodes.").partition(".")[0]
            said = Check("computing", "failed", problem.message, problem.remedy, node=name)
            self._add(said)

    def _fetched(self) -> None:
        """Look at what needs nothing to be computed: at the weights, before any is loaded."""
        for step in self._steps():
            if step.node.light:
                self._rehearse(step)

    def _computed(self, step: Step) -> None:
        if step.name in self._chosen:
            self._rehearse(step)

    def _steps(self) -> list[Step]:
        return [self._plan.steps[name] for name in self._chosen]

    def _by_models(self, steps: Sequence[Step]) -> Iterator[Step]:
        """Yield steps in the graph's order, but those that need the same models one after the other."""
        left = sorted(steps, key=lambda step: step.index)
        while left:
            first = left.pop(0)
            yield first
            bases = self._bases(first)
            same = [step for step in left if bases and self._bases(step) == bases]
            yield from same
            left = [step for step in left if step not in same]

    def _bases(self, step: Step) -> frozenset[str]:
        return bases_of(self._plan.inputs_of(step))

    def _rehearse(self, step: Step) -> None:
        """Rehearse a step, whatever it raises."""
        self._done.add(step.name)
        inputs = {**dict.fromkeys(step.node.ports), **self._plan.inputs_of(step)}
        if step.node.per_item:
            inputs[step.node.per_item] = step.inputs[step.node.per_item]
        lacking = [port for port in step.bound.links if inputs[port] is None]
        output = None if is_long(step) else step.output
        if lacking or (output is None and not is_long(step)):
            what = f"what stands at {', '.join(lacking) or 'it'} could not be computed"
            return self._take(step, rehearsal.skipped("rehearsal", what))
        assert self._world.lender is not None
        if bases := self._bases(step):
            self._world.lender.keep_only(bases)
        context = RehearsalContext(self._world, step, self._scratch / step.name)
        try:
            for check in step.node.rehearse(context, output, **inputs):
                self._take(step, check)
                if self._world.stopping:
                    raise Interrupted("interrupted; what was encoded is kept")
        except Interrupted:
            raise
        except Exception as error:
            self._take(step, _as_check(in_words(error, step, None)))

    def _take(self, step: Step, check: Check) -> None:
        self._add(replace(check, node=step.name))
        if check.cost is not None:
            full = self._session.plan.steps[step.name]
            count = full.missing if full.state == "run" and full.node.per_item else self._ahead(step, full)
            self._found.costs[step.name, check.name] = check.cost.times(count)

    def _ahead(self, step: Step, full: Step) -> int:
        """Return of how many items a step's work consists in the real run: 1 for a whole node, 0 for a kept one."""
        if full.state == "reused":
            return 0
        if not step.node.per_item:
            return 1
        lists = _known(self._session.plan, full, step.node.per_item)
        return len(lists) if lists is not None else len(step.item_keys)

    def _add(self, check: Check) -> None:
        self._found.checks.append(check)
        self._tell(check)


def keep(session: Session, found: Rehearsed) -> None:
    """Keep what a rehearsal that passed found of each long node, to be cited by plans and runs like it."""
    for step in session.plan.steps.values():
        checks = [check for check in found.checks if check.node == step.name]
        paces = [check.cost.pace for check in checks if check.cost is not None and check.cost.pace]
        if step.state != "disabled" and is_long(step) and paces:
            facts = {"said": "; ".join(paces), "checks": [check.to_json() for check in found.checks]}
            rehearsal.keep(session.world.store, rehearsal.key_of(session.plan, step), facts, found.seconds)


def _chosen(plan: Plan) -> tuple[list[str], dict[str, str]]:
    """Return the nodes to rehearse, and those that would have to wait for another's whole work, with its name."""
    wanted = ancestors(plan, plan.targets)
    steps = [s for s in plan.steps.values() if s.name in wanted and s.state != "disabled" and rehearses(s.bound.type)]
    long = {step.name for step in steps if is_long(step)}
    chosen, waiting = [], {}
    for step in steps:
        before = ancestors(plan, [step.name]) - {step.name}
        if needed := sorted(before & long):
            waiting[step.name] = needed[0]
        else:
            chosen.append(step.name)
    return chosen, waiting


def _targets(plan: Plan, chosen: Sequence[str]) -> list[str]:
    """Return what is to be computed: of long nodes only what they are made from."""
    targets: dict[str, None] = {}
    for name in chosen:
        step = plan.steps[name]
        if is_long(step):
            targets |= dict.fromkeys(link.node for linked in step.bound.links.values() for link in linked)
        else:
            targets[name] = None
    return list(targets)


def _rows(plan: Plan, chosen: Sequence[str]) -> dict[str, set[str] | None]:
    """Return for every node that works per item the rows that are needed of it; None for all of them.

    Needs go from the long nodes upwards: a list has the rows of the list that it is computed from.
    """
    needs: dict[str, set[str] | None] = {}

    def need(name: str, rows: Set[str] | None) -> None:
        had = needs.get(name, set())
        needs[name] = None if rows is None or had is None else had | rows

    within = ancestors(plan, list(chosen))
    for step in reversed(list(plan.steps.values())):
        if step.name not in within or step.state == "disabled":
            continue
        if is_long(step):
            lists = {port: _known(plan, step, port) for port, told in step.bound.type.ports.items() if told.many}
            rows: Mapping[str, Any] = step.node.rehearsal_rows({p: found for p, found in lists.items() if found})
        elif step.bound.type.per_item and (here := needs.get(step.name, set())) is not None:
            rows = {step.bound.type.per_item: here}
        else:
            rows = {}
        for port, linked in step.bound.links.items():
            for link in linked:
                need(link.node, set(rows[port]) if port in rows else None)
    return {name: rows for name, rows in needs.items() if plan.steps[name].bound.type.per_item}


def _known(plan: Plan, step: Step, port: str) -> Items[Any] | None:
    """Return the list at a port or, while it is not computed, the one that it is computed from; None if unknown."""
    parts: list[Items[Any]] = []
    for link in step.bound.links.get(port, ()):
        source = plan.steps[link.node]
        value = plan.value_of(link.node, link.output)
        if value is None and source.bound.type.per_item and source.state != "disabled":
            value = _known(plan, source, source.bound.type.per_item)
        if not isinstance(value, Items):
            return None
        parts.append(value)
    return sum(parts, Items()) if parts else None


def _as_check(error: BaseException) -> Check:
    if isinstance(error, Failure):
        return rehearsal.failed("rehearsal", error.message, error.remedy)
    if isinstance(error, GraphError):
        return rehearsal.failed("rehearsal", error.problems[0].message, error.problems[0].remedy)
    if isinstance(error, VflowError):
        return rehearsal.failed("rehearsal", str(error), "")
    raise error
