"""What a graph does to the world: what it reads, downloads, writes and sends. Shown by `vflow plan`, before it is done.

Nothing is sent anywhere unless the user allowed it: by `--allow-send DESTINATION`, or in the user's configuration. A
graph cannot allow it to itself. A node says where it would send with its settings (`Node.sends`), so that a plan shows
and refuses it; and it asks again (`context.may_send`) when it does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from vflow.engine.problems import Failure, GraphError, Problem

if TYPE_CHECKING:
    from vflow.engine.contexts import World
    from vflow.engine.session import Session
    from vflow.engine.steps import Step

Kind = Literal["reads", "downloads", "builds", "writes", "sends"]


@dataclass(frozen=True)
class Effect:
    """One effect, in words. `size` is in bytes, 0 where it is not known. `allowed` matters for what is sent."""

    kind: Kind
    what: str
    node: str = ""
    size: int = 0
    allowed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def effects_of(session: Session, out: Path | None = None) -> list[Effect]:
    """Return the effects of running a plan; `out` is the run's folder, where it was chosen."""
    found = [effect for step in session.plan.steps.values() for effect in _reads(step)]
    found += _fetches(session)
    folder = str(out) if out else f"runs/<time>-{session.loaded.graph.name}/"
    found += [
        Effect("writes", f"{folder} (the run's folder)"),
        Effect("writes", f"{session.world.store.folder} (store)"),
    ]
    if (remote := session.world.store.remote) is not None and remote.address.can_write:
        found.append(Effect("sends", f"{remote.address.shown} (results, to your remote)"))
    for step, place in _sending(session):
        found.append(Effect("sends", shown(place), step.name, 0, is_allowed(place, allowed_by(session.world))))
    return found


def lines(effects: Iterable[Effect]) -> list[str]:
    """Return effects as lines of text."""
    from vflow.engine.cli.text import size, table

    effects = list(effects)
    rows = []
    for effect in effects:
        more = f" ({size(effect.size)})" if effect.size else ""
        barred = "" if effect.allowed else " (not allowed: --allow-send)"
        rows.append((effect.kind, effect.node, f"{effect.what}{more}{barred}"))
    if not any(effect.kind == "sends" for effect in effects):
        rows.append(("sends", "", "nothing"))
    return ["effects:", *table(rows, "  ")]


def _reads(step: Step) -> Iterator[Effect]:
    """Say which files a light node looked at, in one line."""
    paths = list({os.path.abspath(path) for path in (*step.read, *step.located.values())})  # noqa: PTH100 - many
    if not paths:
        return
    place = os.path.commonpath(paths)
    yield Effect("reads", place if len(paths) == 1 else f"{len(paths):,} files below {place}", step.name)


def _fetches(session: Session) -> Iterator[Effect]:
    """Say what the fetch phase would bring, each once."""
    from vflow.engine.run import needed_recipes

    looked: set[str] = set()
    found: dict[str, int] = {}
    for step in session.plan.pending():
        context = session.world.context_for(step)
        for recipe in needed_recipes(session.plan, step):
            if (base := str(recipe.base)) not in looked:
                looked.add(base)
                if not recipe.is_fetched(context):
                    found[", ".join(recipe.files_needed())] = recipe.bytes_to_fetch(context)
    for what, size in found.items():
        yield Effect("downloads" if size else "builds", what, "", size)


def _sending(session: Session) -> Iterator[tuple[Step, str]]:
    """Yield the steps that send something when the plan is run, and where to; a result that is kept sends nothing."""
    for step in session.plan.steps.values():
        if step.wanted and step.state not in ("disabled", "reused"):
            yield from ((step, place) for place in step.node.sends())


# --- sending ---------------------------------------------------------------------------------------------------------


def allowed_by(world: World) -> tuple[str, ...]:
    """Return where the user allowed to send, for this call or in the configuration.

    Raises:
        GraphError, Failure: the configuration has mistakes, or cannot be read.
    """
    from vflow.engine import config

    return (*world.allowed, *config.load().send)


def is_allowed(destination: str, allowed: Iterable[str]) -> bool:
    """Tell whether a destination is one of those allowed, or part of one.

    `hub` allows `hub:owner/name`, and `hub:owner` does. For an address, its host (or `webhook:HOST`) allows everything
    there, and an address allows what lies below its path.
    """
    return any(_covers(given, destination) for given in allowed)


def check_sending(session: Session) -> None:
    """Refuse a plan whose nodes would send something to where the user did not allow.

    Raises:
        GraphError: with every such place.
    """
    if found := list(_problems(session)):
        raise GraphError(found)


def _problems(session: Session) -> Iterator[Problem]:
    for step, place in _sending(session):
        if not is_allowed(place, allowed_by(session.world)):
            problem = Problem(f"it would send to {shown(place)}, which you did not allow", _remedy(place))
            yield session.plan.loaded.place(problem, step.name)


def refusal(destination: str) -> Failure:
    """Return the error for a destination that is not allowed."""
    return Failure(f"sending to {shown(destination)} was not allowed", _remedy(destination))


def shown(destination: str) -> str:
    """Return a destination as it may be told: of an address scheme and host alone, since the rest may be a secret."""
    host = _host(destination)
    return f"{destination.partition(':')[0]}://{host}" if host else destination


def _remedy(destination: str) -> str:
    host = _host(destination) or destination
    return f"if you trust this graph, add --allow-send {host}, or allow it in your configuration"


def _host(address: str) -> str:
    """Return host and port of an address, without a user and password; empty where it is none."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _covers(given: str, destination: str) -> bool:
    host = _host(destination)
    if not host:
        return destination == given or (bool(given) and destination.startswith((f"{given}:", f"{given}/")))
    if not _host(given):
        return given.removeprefix("webhook:").lower() == host
    one, other = urlsplit(given), urlsplit(destination)
    if (one.scheme, _host(given)) != (other.scheme, host) or ".." in other.path:
        return False
    return (other.path.rstrip("/") + "/").startswith(one.path.rstrip("/") + "/")
