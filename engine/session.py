"""From a graph file to a plan: read, resolve, check, run the light nodes, preflight. What every front end calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vflow.engine.contexts import World
from vflow.engine.load import Loaded, load, no_collection
from vflow.engine.plan import Plan
from vflow.engine.problems import GraphError, Problem, Unasked, errors, suggest
from vflow.engine.registry import answers
from vflow.engine.secrets import leak
from vflow.engine.store import Store
from vflow.engine.store.remote_address import chosen
from vflow.engine.why import Why


@dataclass(frozen=True)
class Request:
    """What a user asked for: a graph with its profiles and parameters, and where and how far to go."""

    graph: str
    profiles: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    cache: Path | None = None
    remote: str | None = None
    until: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    offline: bool = False
    refresh: bool = False
    lock: Path | None = None
    send: tuple[str, ...] = ()
    fresh_env: bool = False
    text: str | None = None  #: read in place of what the graph's file holds (an editor's unsaved work)
    live: bool = False  #: planned while it is edited: offline, and what only the network knows (`Unasked`) stays open


@dataclass
class Session:
    """A checked graph, its plan, and the world that it runs in. `problems` holds warnings and hints.

    What `surveyed` returns may hold errors too: then it says what there is to say, and cannot be run.
    """

    loaded: Loaded
    world: World
    plan: Plan
    problems: list[Problem]


def checked(request: Request) -> Loaded:
    """Read and check a graph.

    Raises:
        GraphError: with every error that the file alone shows (and its warnings).
    """
    loaded = load(request.graph, request.profiles, request.sets, text=request.text)
    if errors(loaded.problems):
        raise GraphError(loaded.problems)
    if found := leak(" ".join((loaded.source_text, *request.sets)), home=False):
        what = Problem(f"the graph holds {found}", "secrets belong into the environment", severity="warning")
        loaded.problems.append(what.at("", request.graph))
    for flag, names in (("--until", request.until), ("--force", request.force)):
        if wrong := [name for name in names if name not in loaded.bound]:
            raise GraphError(
                [Problem(f"{flag} names no node: {name!r}", suggest(name, loaded.bound)) for name in wrong]
            )
    return loaded


def planned(request: Request, world: World | None = None) -> Session:
    """Read, check and plan a graph: light nodes run, nothing heavy does.

    Raises:
        GraphError: with every problem found, of the file and of the preflight.
        Failure: the store cannot be used.
    """
    session = surveyed(request, world)
    if errors(session.problems):
        raise GraphError(session.problems)
    return session


def surveyed(request: Request, world: World | None = None) -> Session:
    """Read, check and plan a graph as far as it goes: what the nodes found wrong stands in the session's `problems`.

    Raises:
        GraphError: with every problem of the file.
        Failure: the store cannot be used.
    """
    with no_collection():
        return _surveyed(request, world)


def _surveyed(request: Request, world: World | None) -> Session:
    loaded = checked(request)
    world = world or World(Store(request.cache, remote=request.remote))
    world.offline, world.refresh, world.allowed = request.offline or request.live, request.refresh, request.send
    plan = _advanced(loaded, world, request)
    if all(request.live and isinstance(problem, Unasked) for problem in errors(plan.problems)):
        plan.preflight()
    told = world.store.remote.take_notices() if world.store.remote is not None else []
    problems = [*loaded.problems, *plan.problems, *(Problem(text, severity="warning") for text in told)]
    session = Session(loaded, world, plan, problems)
    if not errors(problems) and plan.pending():
        for found in answers("vflow.plan_problems", session):
            problems += found
    world.why = Why(plan, world)
    world.why.explain_all()
    return session


def _advanced(loaded: Loaded, world: World, request: Request) -> Plan:
    """Return the plan with everything decided that can be, held to the lock where one is asked for."""
    lock = None
    if request.lock is not None:
        from vflow.engine import lock as locks

        lock = locks.read(request.lock)
        world.pins = lock.pins
    if not request.fresh_env and os.path.isfile(f"{request.graph}.frozen"):  # noqa: PTH113 - takes any text
        from vflow.engine.thawing import grown

        plan = grown(loaded, world, request)
    else:
        plan = Plan(loaded, world.store, world.context_for, request.until, request.force, fresh_env=request.fresh_env)
        plan.advance()
    if lock is not None:
        plan.problems += locks.differences(lock, plan, request.profiles)
    return plan


def request_from(arguments: object) -> Request:
    """Make a request from parsed command line arguments (those that the command has)."""

    def given(name: str) -> Sequence[str]:
        return tuple(getattr(arguments, name, None) or ())

    return Request(
        graph=arguments.graph,  # type: ignore[attr-defined]
        profiles=tuple(given("profile")),
        sets=tuple(given("set")),
        cache=getattr(arguments, "cache", None),
        remote=chosen(getattr(arguments, "remote", None), getattr(arguments, "offline", False)),
        until=tuple(given("until")),
        force=tuple(given("force")),
        offline=getattr(arguments, "offline", False),
        lock=_lock_of(arguments),
        send=tuple(given("allow_send")),
        refresh=getattr(arguments, "refresh", False),
        fresh_env=getattr(arguments, "fresh_env", False),
    )


def _lock_of(arguments: object) -> Path | None:
    chosen: Path | None = getattr(arguments, "lock", None)
    if chosen is None and getattr(arguments, "locked", False):
        from vflow.engine.lock import path_of

        return path_of(arguments.graph)  # type: ignore[attr-defined]
    return chosen
