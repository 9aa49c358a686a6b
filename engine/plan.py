"""Which node has to run, which result is kept, and why: the room between a checked graph and a run.

The plan is grown, not computed at once, since a node's key needs the identities of its inputs:

- `advance` runs every light node whose inputs are known, forms the key of every heavy node whose inputs are known,
  and looks all those keys up in one query; what is found makes more inputs known, and so on.
- Demand goes the other way: outputs are wanted; a wanted node that is found in the store wants nothing; one that must
  run wants all its inputs. So does one that cannot be decided yet: it will most likely run, and what it observes is
  better computed while the models for it are loaded.
- The run computes a wanted node that is ready, says `finish`, and the plan advances again. A node that ran again and
  gave an equal identity lets everything below it be found in the store: the wave stops there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Any

from vflow.engine import environment, keys, schedule
from vflow.engine.problems import Failure, GraphError, Problem, errors
from vflow.engine.steps import Step, as_output, identity_of_output
from vflow.engine.values import Item, Items, blobs_of, identity_of, output_from_json, values_from_json

if TYPE_CHECKING:
    from vflow.engine.beside import Beside
    from vflow.engine.context import Context
    from vflow.engine.load import Loaded
    from vflow.engine.store import Record, Store
    from vflow.engine.thawing import Frozen

ContextFor = Callable[["Step"], "Context"]

_SETTLED = ("computed", "failed", "disabled")  # nothing that happens later changes these


class Plan:
    """The steps of a checked graph, what the store has of them, and what is wanted."""

    def __init__(
        self,
        loaded: Loaded,
        store: Store,
        context_for: ContextFor,
        until: Sequence[str] = (),
        force: Iterable[str] = (),
        *,
        fresh_env: bool = False,
        only: Mapping[str, Set[str]] | None = None,
    ) -> None:
        """Begin a plan. `only` are the rows to which nodes that work per item are held, by node (a rehearsal)."""
        self._fresh_env, self._only = fresh_env, only or {}
        self.loaded, self.store, self._context_for, self.forced = loaded, store, context_for, frozenset(force)
        order = schedule.topological_order({name: bound.sources for name, bound in loaded.bound.items()})
        self.steps = {name: Step(name, loaded.bound[name], index) for index, name in enumerate(order)}
        for step in self.steps.values():
            step.state = "disabled" if step.bound.disabled else "undecided"
        self.problems: list[Problem] = []
        self.ready = schedule.Ready()
        self._readers: dict[str, list[str]] = {name: [] for name in order}  # whom an output decides
        self._users: dict[str, list[str]] = {name: [] for name in order}  # who needs an output, observers too
        self._blocked: dict[str, int] = {}  # how many outputs are not known that decide a node
        self._lacking: dict[str, int] = {}  # how many outputs are not there yet that a node needs
        self._frontier: list[Step] = []
        self._decided: list[Step] = []
        self._taken = 0
        self.targets = list(until) or self._targets()
        self._unwanted = [*self.targets]  # what is to be wanted (again) once all is decided that can be
        relevant = self._ancestors(self.targets)
        for step in self.steps.values():
            if step.name not in relevant:
                continue
            deciding, sources = dict.fromkeys(self._deciding(step)), step.bound.sources
            for source in deciding:
                self._readers[source].append(step.name)
            for source in sources:
                self._users[source].append(step.name)
            self._blocked[step.name], self._lacking[step.name] = len(deciding), len(sources)
            if not self._blocked[step.name]:
                self._frontier.append(step)
        self._preflighted: set[str] = set()
        self.frozen: Frozen | None = None  #: outputs that came with a pack
        self.beside: Beside | None = None  #: in a run: where light nodes run while another node computes

    # --- growing ---------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Decide everything that can be decided now: light nodes are run, keys formed and looked up, wants followed."""
        while self._frontier:
            wave, self._frontier = sorted(self._frontier, key=lambda step: step.index), []
            heavy = [step for step in wave if not self._run_light(step)]
            self._look_up(heavy)
        while self._unwanted:
            self._want(self.steps[self._unwanted.pop()])

    def take_in(self, patience: float, longest: float = 0.0) -> None:
        """Take the results of light nodes that ran beside (see `Beside.take`), and advance."""
        if self.beside is None or not self.beside.busy:
            return
        for name, call in self.beside.take(patience, longest):
            self._end_light(self.steps[name], call)
        self.advance()

    def preflight(self) -> None:
        """Ask every wanted heavy node that is not kept what is wrong; problems are added to `problems`."""
        for step in self.pending():
            self.preflight_one(step, self.inputs_of(step))

    def preflight_one(self, step: Step, inputs: Mapping[str, Any]) -> None:
        """Ask one node what is wrong, once with all its inputs; inputs that are not known yet are None."""
        if step.name in self._preflighted:
            return
        if self.frozen is not None and (sealed := list(self.frozen.problems(inputs))):
            self._report(step, lambda: sealed)
            return
        if all(value is not None for value in inputs.values()):
            self._preflighted.add(step.name)
        given = {**dict.fromkeys(step.node.ports), **inputs}
        self._report(step, lambda: list(step.node.preflight(self._context_for(step), **given)))

    def decided(self) -> list[Step]:
        """Return the steps that were found in the store, or failed, since this was last asked."""
        decided, self._decided = self._decided, []
        return decided

    def take_problems(self) -> list[Problem]:
        """Return the problems that were found since this was last asked."""
        new, self._taken = self.problems[self._taken :], len(self.problems)
        return new

    def pending(self) -> list[Step]:
        """Return the wanted steps that run, or may run."""
        return [step for step in self.steps.values() if step.wanted and step.state in ("run", "undecided")]

    def holding_up(self, step: Step) -> list[str]:
        """Name the nodes without whose output a step cannot be decided."""
        return [name for name in dict.fromkeys(self._deciding(step)) if not self.steps[name].known]

    def finish(self, step: Step, output: Any) -> None:
        """Take the output of a step that has run, and advance."""
        was, step.output, step.state = step.output, output, "computed"
        self._be_there(step)
        if not step.known:
            step.known = True
            self._announce(step)
        elif identity_of_output(was) != identity_of_output(output):
            self._decide_again(step)
        self.advance()

    def lose(self, digests: Set[str]) -> list[Step]:
        """Take back every output that needs one of these blobs, which were found damaged; return whose they were.

        Those steps run again. A light one, which put its blob into the store itself, has done so when this returns.
        """
        steps = [step for step in self.steps.values() if step.there]
        holders = [step for step in steps if any(blob.digest in digests for blob in blobs_of(step.output))]
        makers = [step for step in holders if not step.node.light]
        for step in makers:
            step.records = {key: record for key, record in step.records.items() if digests.isdisjoint(record.sizes)}
            step.state, step.reason = "run", "result missing from the store"
            self._be_gone(step)
        for step in makers:
            step.wanted = False
            self._want(step)
        for step in () if makers else holders:
            self._report(step, partial(step.node.run, self._context_for(step), **self.inputs_of(step)))
        return makers or holders

    def inputs_of(self, step: Step) -> dict[str, Any]:
        """Return what stands at a step's ports, observed ones included; None where it is not known yet."""
        return {port: self._gather(step, port) for port in step.bound.links}

    def value_of(self, name: str, output: str) -> Any:
        """Return the value of an output; None while it is not known."""
        step = self.steps[name]
        if not step.known:
            return None
        return step.output[output] if isinstance(step.output, Mapping) else step.output

    def key_of(self, step: Step, settings: Mapping[str, Any], inputs: Mapping[str, Any], *more: str) -> str:
        """Form a key: node type, version, settings that matter, identities of what stands at its ports."""
        kind = type(step.node)
        return keys.digest([kind.__name__, kind.version, settings, inputs, *more])

    # --- deciding --------------------------------------------------------------------------------------------------

    def _run_light(self, step: Step) -> bool:
        """Run a light step; tell whether it was one. Every step gets its inputs here."""
        step.inputs = {port: self._gather(step, port) for port in self._ports(step, observed=False)}
        if not step.node.light:
            return False
        inputs = {**step.inputs, **{port: self._gather(step, port) for port in self._ports(step, observed=True)}}
        if self.frozen is not None and self.frozen.serve(self, step):
            step.state = "light"
            self._announce(step)
            self._settle(step)
            return True
        self.preflight_one(step, inputs)
        call = partial(step.node.run, self._context_for(step), **inputs)
        if self.beside is not None and step.state != "failed":
            self.beside.start(step.name, call)
        else:
            self._end_light(step, call)
        return True

    def _end_light(self, step: Step, call: Callable[[], Any]) -> None:
        """Take what a light node's call returns or raises; in a run, a failure ends what depends on the node only."""
        try:
            done = self._report(step, call)
        except Failure as error:
            if self.beside is None or error.final:
                raise
            step.state, done = "failed", None
            self.problems.append(self.loaded.place(Problem(error.message, error.remedy), step.name))
        if step.state != "failed":
            step.state, step.output, step.known = "light", as_output(step.node, done), True
            self._announce(step)
            self._settle(step)
        else:
            self._decided.append(step)

    def _look_up(self, steps: list[Step]) -> None:
        wanted: list[str] = []
        for step in steps:
            self._form_keys(step)
            wanted += step.item_keys.values() if step.node.per_item else [step.key]
        found = self.store.lookup(wanted, check_blobs=False) if wanted else {}
        for step in steps:
            mine = step.item_keys.values() if step.node.per_item else [step.key]
            if step.name not in self.forced:
                step.records = self.usable(step, {key: found[key] for key in mine if key in found})
            self._decide(step)

    def usable(self, step: Step, found: dict[str, Record]) -> dict[str, Record]:
        """Return those records of a step that may be used: all, unless the user asked for this environment's only."""
        if not self._fresh_env:
            return found
        step.stale = next(iter(environment.foreign(step, found.values())), "")
        return environment.same_environment(step, found)

    def _form_keys(self, step: Step) -> None:
        node = step.node
        given = step.inputs.items()
        inputs = {port: identity_of(v) for port, v in given if v is not None and port != node.per_item}
        if not node.per_item:
            step.key = self.key_of(step, node.key_settings(), inputs)
            step.set_work_key(lambda: self.key_of(step, node.work_settings(), inputs))
            return
        items = self._all_items(step)
        step.work_key = step.key = self.key_of(step, node.key_settings(), inputs)
        for value in items:
            if value.identity not in step.item_keys:
                step.item_keys[value.identity] = keys.digest_pair(step.key, value.identity)

    def _all_items(self, step: Step) -> Items[Any]:
        items = step.inputs[step.node.per_item] or Items()
        if step.name in self._only:
            items = Items(Item(row, value) for row, value in items.items() if row in self._only[step.name])
        if more := step.node.also(items):
            present = set(items.rows)
            items = items + Items(Item(row, value) for row, value in more.items() if row not in present)
        step.inputs[step.node.per_item] = items
        return items

    def _decide(self, step: Step) -> None:
        """Say whether the store has the step's output, and why not."""
        if step.missing and self.frozen is not None and self.frozen.serve(self, step):
            step.state, step.records = "reused", {}
            self._decided.append(step)
            self._announce(step)
        elif step.missing:
            step.state = "run"
            step.reason = "forced" if step.name in self.forced else "not computed yet"
            if step.node.per_item and step.missing < step.total:
                step.reason = f"{step.missing} of {step.total} items not computed yet"
        else:
            step.state = "reused"
            self._decided.append(step)
            step.output = self.recorded(step)
            if not step.known:
                step.known = True
                self._announce(step)
        if step.wanted:
            step.wanted = False
            self._want(step)

    def recorded(self, step: Step) -> Any:
        """Return the output of a step all of whose records were found."""
        if not step.node.per_item:
            return self.with_observed(step, output_from_json(step.records[step.key].output))
        values = dict(zip(step.item_keys, values_from_json(step.outputs()), strict=True))
        items = step.inputs[step.node.per_item]
        return Items.of_rows(items.rows, (values[value.identity] for value in items))

    def with_observed(self, step: Step, output: Any) -> Any:
        """Add the observed outputs, read from what the store holds, to a recorded output."""
        if not any(port.observed for port in step.node.outputs.values()):
            return output
        observed = {**step.node.read_observed(self._context_for(step), output)}
        return {**output, **observed, **(self.frozen.observed(step) if self.frozen is not None else {})}

    def _decide_again(self, step: Step) -> None:
        """A result that was lost came out otherwise (another machine): what was decided from the old one is void."""
        readers = [self.steps[name] for name in self._readers[step.name]]
        readers = [reader for reader in readers if reader.state not in _SETTLED]
        for reader in readers:
            self._make_void(reader)
        self._frontier += [reader for reader in readers if not self._blocked[reader.name]]

    def _make_void(self, step: Step) -> None:
        """Forget what was decided of a step; who reads it waits until it is known again."""
        was_known = step.known
        step.known, step.records, step.item_keys, step.state = False, {}, {}, "undecided"
        self.ready.drop(step.name)
        if self.beside is not None:
            self.beside.forget(step.name)
        self._be_gone(step)
        if step.wanted:
            step.wanted = False
            self._unwanted.append(step.name)
        for name in self._readers[step.name] if was_known else ():
            if self.steps[name].state not in _SETTLED:
                self._blocked[name] += 1
                self._make_void(self.steps[name])

    def _announce(self, step: Step) -> None:
        for name in self._readers[step.name]:
            self._blocked[name] -= 1
            if self._blocked[name] == 0:
                self._frontier.append(self.steps[name])

    # --- wanting ---------------------------------------------------------------------------------------------------

    def _want(self, first: Step) -> None:
        stack = [first]
        while stack:
            step = stack.pop()
            if step.wanted:
                continue
            step.wanted = True
            if step.state == "reused" and self._blobs_lost(step):
                step.state = "run"
            if step.state == "reused":
                self._be_there(step)
                continue
            self._settle(step)
            if step.state in ("run", "light", "undecided"):
                stack += [self.steps[name] for name in step.bound.sources]

    def _blobs_lost(self, step: Step) -> bool:
        """Tell whether blobs of a kept result are gone; forget the records of those that are."""
        lost = self.store.lacking(step.records)
        for key in lost:
            del step.records[key]
        if lost:
            step.reason = (
                "result missing from the store" if step.total == 1 else f"{len(lost)} results missing from the store"
            )
        return bool(lost)

    def _settle(self, step: Step) -> None:
        """See whether a step has all that it needs: then a wanted one is ready, and a light one is there."""
        if self._lacking[step.name]:
            return
        if step.state == "light":
            self._be_there(step)
        elif step.state == "run" and step.wanted:
            step.bases = schedule.bases_of(step.inputs)
            self.ready.add(step.name, step.index, step.bases)

    def _be_there(self, first: Step) -> None:
        """Note that a step's output, with all that stands behind a light one, can be used now."""
        stack = [first]
        while stack:
            step = stack.pop()
            if step.there:
                continue
            step.there = True
            for name in self._users[step.name]:
                self._lacking[name] -= 1
                user = self.steps[name]
                if user.state == "light" and not self._lacking[name]:
                    stack.append(user)
                else:
                    self._settle(user)

    def _be_gone(self, first: Step) -> None:
        """Note that a step's output, with all that stands behind it, cannot be used any more."""
        stack = [first]
        while stack:
            step = stack.pop()
            if not step.there:
                continue
            step.there = False
            for name in self._users[step.name]:
                self._lacking[name] += 1
                self.ready.drop(name)
                if self.steps[name].state == "light":
                    stack.append(self.steps[name])

    # --- links -----------------------------------------------------------------------------------------------------

    def _ports(self, step: Step, *, observed: bool) -> list[str]:
        return [port for port in step.bound.links if step.bound.type.ports[port].observed == observed]

    def _deciding(self, step: Step) -> Iterator[str]:
        """Yield the nodes whose outputs decide what a step is: observed ports do not, for a heavy node."""
        for port, links in step.bound.links.items():
            if step.bound.type.light or not step.bound.type.ports[port].observed:
                yield from (link.node for link in links)

    def _gather(self, step: Step, port: str) -> Any:
        """Return what stands at a port; None while it is not known."""
        values = [(link, self.value_of(link.node, link.output)) for link in step.bound.links[port]]
        if any(value is None for _, value in values):
            return None
        if not step.bound.type.ports[port].many:
            return values[0][1]
        parts = [v if isinstance(v, Items) else Items([Item(f"{link.node}.{link.output}", v)]) for link, v in values]
        return sum(parts, Items())

    def _targets(self) -> list[str]:
        linked = [link.node for link in self.loaded.outputs.values()]
        if linked:
            return list(dict.fromkeys(linked))
        read = {name for bound in self.loaded.bound.values() for name in bound.sources}
        return [name for name in self.steps if name not in read]

    def _ancestors(self, names: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        stack = list(names)
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                stack += self.steps[name].bound.sources
        return seen

    def _report(self, step: Step, call: Callable[[], Any]) -> Any:
        """Call, and put what it finds wrong (raised or returned problems) at the node's place."""
        if step.state == "failed":
            return None
        try:
            result = call()
        except GraphError as error:
            step.state, result = "failed", None
            found: Sequence[Problem] = error.problems
        else:
            found = result if isinstance(result, list) else []
        if step.node.light and errors(found):
            step.state = "failed"
        self.problems += [self.loaded.place(problem, step.name) for problem in found]
        return result
