"""From a graph file to a plan: read, resolve, check, run the light nodes, preflight. What every front end calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vflow.engine.contexts import World
from vflow.engine.load import Loaded, load
from vflow.engine.plan import Plan
from vflow.engine.problems import GraphError, Problem, errors, suggest
from vflow.engine.store import Store


@dataclass(frozen=True)
class Request:
    """What a user asked for: a graph with its profiles and parameters, and where and how far to go."""

    graph: str
    profiles: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    cache: Path | None = None
    until: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    offline: bool = False
    refresh: bool = False


@dataclass
class Session:
    """A checked graph, its plan, and the world that it runs in. `problems` holds warnings and hints."""

    loaded: Loaded
    world: World
    plan: Plan
    problems: list[Problem]


def checked(request: Request) -> Loaded:
    """Read and check a graph.

    Raises:
        GraphError: with every error that the file alone shows (and its warnings).
    """
    loaded = load(request.graph, request.profiles, request.sets)
    if errors(loaded.problems):
        raise GraphError(loaded.problems)
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
    loaded = checked(request)
    world = world or World(Store(request.cache))
    world.offline, world.refresh = request.offline, request.refresh
    plan = Plan(loaded, world.store, world.context_for, request.until, request.force)
    plan.advance()
    if not errors(plan.problems):
        plan.preflight()
    problems = [*loaded.problems, *plan.problems]
    if errors(problems):
        raise GraphError(problems)
    return Session(loaded, world, plan, problems)


def request_from(arguments: object) -> Request:
    """Make a request from parsed command line arguments (those that the command has)."""

    def given(name: str) -> Sequence[str]:
        return tuple(getattr(arguments, name, None) or ())

    return Request(
        graph=arguments.graph,  # type: ignore[attr-defined]
        profiles=tuple(given("profile")),
        sets=tuple(given("set")),
        cache=getattr(arguments, "cache", None),
        until=tuple(given("until")),
        force=tuple(given("force")),
        offline=getattr(arguments, "offline", False),
        refresh=getattr(arguments, "refresh", False),
    )
