"""The context that nodes really get: over the store, the lender, the events and the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import events, keys
from vflow.engine.context import Context
from vflow.engine.events import Bus
from vflow.engine.failures import in_words
from vflow.engine.folder import RunFolder
from vflow.engine.lending import Lender
from vflow.engine.problems import Failure, GraphError, Interrupted, Problem
from vflow.engine.stopping import Stop
from vflow.engine.store import Store
from vflow.engine.values import Blob, Recipe

if TYPE_CHECKING:
    from vflow.engine.carried import Embed
    from vflow.engine.steps import Step
    from vflow.engine.why import Why


@dataclass
class World:
    """What all contexts of one process share: the store, the events, and what is known of this run's surroundings."""

    store: Store
    bus: Bus = field(default_factory=Bus)
    lender: Lender | None = None
    folder: RunFolder | None = None
    offline: bool = False
    refresh: bool = False
    stop: Stop = field(default_factory=Stop)
    places: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)  #: what a lock holds this run to
    allowed: tuple[str, ...] = ()  #: where the user allowed to send
    why: Why | None = None
    embed: Embed | None = None  #: what exported files carry; None: as the user's configuration says

    @property
    def stopping(self) -> bool:
        """True once the run is to stop."""
        return self.stop.asked

    @stopping.setter
    def stopping(self, asked: bool) -> None:
        self.stop.asked = asked

    def context_for(self, step: Step) -> NodeContext:
        """Return the context for one step."""
        return NodeContext(self, step)

    def emit(self, event: events.Event) -> None:
        """Hand an event to whoever listens."""
        self.bus.emit(event)


class NodeContext(Context):
    """One node's view of the world."""

    def __init__(self, world: World, step: Step) -> None:
        self._world, self._step = world, step
        self.offline, self.refresh = world.offline, world.refresh

    @property
    def store_folder(self) -> Path:
        return self._world.store.folder

    @property
    def work(self) -> Path:
        return self._world.store.work_folder(self._step.work_key)

    def scratch(self) -> AbstractContextManager[Path]:
        return self._world.store.scratch()

    def put(self, source: Path | bytes, suffix: str = "") -> Blob:
        store = self._world.store
        return store.put_bytes(source, suffix) if isinstance(source, bytes) else store.put_file(source, suffix)

    def release(self, blobs: Sequence[Blob]) -> None:
        self._world.store.release(blobs)

    def blob_path(self, blob: Blob) -> Path:
        # what heavy work is made from is hashed at its first use; planning has to be quick, and makes nothing
        return self._world.store.blob_path(blob, verify=not self._step.node.light)

    def digest_of(self, path: Path) -> str:
        self._step.read.append(path)
        return self._world.store.digest_of(path)

    def digests_of(self, paths: Sequence[Path]) -> Mapping[Path, str]:
        self._step.read.extend(paths)
        return self._world.store.digests_of(paths)

    def remember(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        return self._world.store.remember(kind, key, compute)

    def recall(self, kind: str, key: str) -> Any | None:
        return self._world.store.recall(kind, key)

    def recall_many(self, kind: str, keys: Sequence[str]) -> Mapping[str, Any]:
        return self._world.store.recall_many(kind, keys)

    def record_fact(self, kind: str, key: str, data: Any) -> None:
        self._world.store.record_fact(kind, key, data)

    def locate(self, identity: str, path: Path) -> None:
        self._step.located[identity] = path
        self._world.places[identity] = path

    def path_of(self, identity: str) -> Path:
        return self._world.places[identity]

    def pin(self, what: str, identity: str) -> None:
        self._step.pins[what] = identity

    def pinned(self, what: str) -> str | None:
        return self._world.pins.get(what)

    def may_send(self, destination: str) -> None:
        from vflow.engine.effects import allowed_by, is_allowed

        if not is_allowed(destination, allowed_by(self._world)):
            super().may_send(destination)

    def is_linked(self, port: str) -> bool:
        return bool(self._step.bound.links.get(port))

    def label(self, identity: str, text: str) -> None:
        self._world.labels[identity] = text

    def label_of(self, identity: str) -> str:
        return self._world.labels.get(identity, identity[:12])

    @contextmanager
    def load(self, recipe: Recipe, *, keep: bool = True) -> Iterator[Any]:
        if self._world.lender is None:
            raise RuntimeError(f"{self._step.name} is a light node: it loads nothing")
        with ExitStack() as lent:
            with self._world.stop.at_once():  # loading may take minutes, and nothing is lost by leaving it
                live = lent.enter_context(self._world.lender.lend(recipe, self, keep))
            yield live

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        self._world.emit(events.Progress(node=self._step.name, done=done, total=total, unit=unit, figures=figures))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._world.emit(events.Metrics(node=self._step.name, step=step, values=dict(values)))

    def log(self, message: str, level: str = "info") -> None:
        self._step.said.append((level, message))
        self._world.emit(events.Log(node=self._step.name, level=level, message=message))  # type: ignore[arg-type]

    def leave_out(self, what: str, reason: str) -> None:
        self._step.left_out.append((what, reason))
        self._world.emit(events.LeftOut(node=self._step.name, what=what, reason=reason))

    def report(self, facts: Mapping[str, Any]) -> None:
        self._step.facts.update(facts)

    def publish(self, source: Path | Blob, name: str) -> Path:
        if self._world.folder is None:
            raise RuntimeError("there is no run to publish into")
        path = self._world.folder.copy_in(self.blob_path(source) if isinstance(source, Blob) else source, name)
        self._world.emit(events.Published(node=self._step.name, path=name))
        return path

    def run_folder(self, name: str) -> Path:
        if self._world.folder is None:
            raise RuntimeError("there is no run to write into")
        return self._world.folder.sub_folder(name)

    @property
    def stopping(self) -> bool:
        return self._world.stopping

    @property
    def seconds_left(self) -> float:
        return self._world.stop.seconds_left

    def interrupted(self) -> None:
        raise Interrupted("interrupted; what was finished is kept")


class RehearsalContext(NodeContext):
    """A node's view of the world in a rehearsal: what it writes goes into a scratch folder, what it says is kept here.

    `measured` holds the metrics that were written, as (step, values).
    """

    def __init__(self, world: World, step: Step, folder: Path) -> None:
        super().__init__(world, step)
        self._folder = self._blobs = folder
        self._stop_when: Callable[[], bool] = lambda: False
        self.measured: list[tuple[int, dict[str, float]]] = []

    def apart(
        self, name: str, stop_when: Callable[[RehearsalContext], bool] = lambda _context: False
    ) -> RehearsalContext:
        """Return the same with a work folder of its own, of this name; it is stopping once `stop_when` tells so."""
        other = RehearsalContext(self._world, self._step, self._folder / name)
        other._blobs, other._stop_when = self._blobs, partial(stop_when, other)
        return other

    def in_words(self, error: Exception) -> Problem:
        """Return what an exception means, as a run would tell it: with a remedy where one is known."""
        told = in_words(error, self._step, None)
        if isinstance(told, GraphError):
            return told.problems[0]
        return Problem(told.message, told.remedy) if isinstance(told, Failure) else Problem(str(told))

    @property
    def work(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def put(self, source: Path | bytes, suffix: str = "") -> Blob:
        self._blobs.mkdir(parents=True, exist_ok=True)
        data = source if isinstance(source, bytes) else b""
        digest = keys.digest_bytes(data) if isinstance(source, bytes) else keys.digest_file(source)
        place = self._blobs / f"{digest}.blob"
        if isinstance(source, bytes):
            place.write_bytes(data)
        else:
            shutil.move(source, place)
        return Blob(digest=digest, size=place.stat().st_size, suffix=suffix)

    def blob_path(self, blob: Blob) -> Path:
        place = self._blobs / f"{blob.digest}.blob"
        return place if place.is_file() else super().blob_path(blob)

    def release(self, blobs: Sequence[Blob]) -> None:
        for blob in blobs:
            (self._blobs / f"{blob.digest}.blob").unlink(missing_ok=True)

    @property
    def stopping(self) -> bool:
        return self.interrupted_by_user or self._stop_when()

    @property
    def interrupted_by_user(self) -> bool:
        """True once the user, and not `stop_when`, asked to stop."""
        return self._world.stopping

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.measured.append((step, dict(values)))

    def log(self, message: str, level: str = "info") -> None:
        if level != "info":
            super().log(message, level)

    def report(self, facts: Mapping[str, Any]) -> None:
        """Facts are a real run's."""

    def publish(self, source: Path | Blob, name: str) -> Path:
        return self.blob_path(source) if isinstance(source, Blob) else source

    def run_folder(self, name: str) -> Path:
        folder = self.work / "run" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
