"""What a node sees of the world while it runs: the store, live models, the run's folder, and a way to say things."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vflow.engine.values import Blob, Recipe


class Context(ABC):
    """Handed to `Node.run`, `Node.preflight` and to recipes. Nodes talk to nothing else.

    `offline`: never use the network. `refresh`: ask the network again for what was resolved before.
    """

    offline: bool = False
    refresh: bool = False

    # --- the store -------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def store_folder(self) -> Path:
        """The user's store: recipes keep fetched or built models below it, under `models/`."""

    @property
    @abstractmethod
    def work(self) -> Path:
        """A folder for what is not finished, kept between runs for the same key (training checkpoints). Exists.

        A blob is kept as long as a JSON file in here names its digest.
        """

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Path]:
        """Lend a new empty folder on the store's disk, removed afterwards."""

    @abstractmethod
    def put(self, source: Path | bytes, suffix: str = "") -> Blob:
        """Move a finished file (or write bytes) into the store and return its blob. The source file is consumed.

        Raises:
            Failure: the disk is full or not writable.
        """

    def release(self, blobs: Sequence[Blob]) -> None:
        """Say that this node put these blobs and needs them no longer: those that nobody else needs go.

        Costs a look through the whole store, so it is for much at once (the results of old checkpoints). Elsewhere the
        collection takes them.
        """

    @abstractmethod
    def blob_path(self, blob: Blob) -> Path:
        """Return where a blob lies on this machine, read only.

        Raises:
            Failure: it is missing or damaged.
        """

    @abstractmethod
    def digest_of(self, path: Path) -> str:
        """Return the SHA-256 of a user's file, remembered by path, size, mtime, ctime and inode."""

    @abstractmethod
    def digests_of(self, paths: Sequence[Path]) -> Mapping[Path, str]:
        """Return `digest_of` of many files at once.

        Raises:
            Failure: one of them cannot be read.
        """

    @abstractmethod
    def remember(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """Return the plain JSON data remembered under (kind, key), else compute and remember it (one file's probe).

        The key must hold everything that the answer depends on, for instance a file's digest and the scan's version.
        """

    @abstractmethod
    def recall(self, kind: str, key: str) -> Any | None:
        """Return what `remember` or `record_fact` kept under (kind, key), or None."""

    @abstractmethod
    def recall_many(self, kind: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return `recall` of many keys at once; a key under which nothing is kept is not in the answer."""

    @abstractmethod
    def record_fact(self, kind: str, key: str, data: Any) -> None:
        """Keep plain JSON data under (kind, key), replacing what was there."""

    # --- where things are in this run ------------------------------------------------------------------------------

    @abstractmethod
    def locate(self, identity: str, path: Path) -> None:
        """Say where the content with this identity lies in this run (paths never enter a value)."""

    @abstractmethod
    def path_of(self, identity: str) -> Path:
        """Return where a light node located this identity in this run.

        Raises:
            KeyError: nobody located it.
        """

    def is_linked(self, port: str) -> bool:
        """Tell whether something is linked to a port of this node, though its value may not be known yet (preflight).

        False also where nothing is known of links.
        """
        return False

    @abstractmethod
    def label(self, identity: str, text: str) -> None:
        """Give an identity or a row a name for people (a clip's file name)."""

    @abstractmethod
    def label_of(self, identity: str) -> str:
        """Return the name for people, else the first 12 digits of the identity."""

    # --- the world outside -----------------------------------------------------------------------------------------

    def pin(self, what: str, identity: str) -> None:
        """Say what this node used of the world outside the graph, and which it was; locks list it.

        `what` begins with its kind: `hub owner/name@revision` (a commit), `file name` (a digest; never an absolute
        path).
        """

    def pinned(self, what: str) -> str | None:
        """Return the identity that the lock gives for this, where the run is held to a lock: use it, ask nobody."""
        return None

    def may_send(self, destination: str) -> None:
        """Ask before anything is sent out of this machine; `destination` is an address, or `service:name`.

        Raises:
            Failure: the user did not allow it, by `--allow-send` or in the configuration.
        """
        from vflow.engine.effects import refusal

        raise refusal(destination)

    # --- live models -----------------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, recipe: Recipe, *, keep: bool = True) -> AbstractContextManager[Any]:
        """Lend the recipe made live. On leaving, its transformations are undone; the base stays for the next node.

        Without `keep` the base is let go of at once (a VAE that draws a clip while a transformer trains).
        """

    # --- what is said ----------------------------------------------------------------------------------------------

    @abstractmethod
    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        """Say how far the node is; `figures` (loss, ...) are shown beside the bar."""

    @abstractmethod
    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record metrics of one step (`train/loss`, `train/lr`, `eval/loss`, ...)."""

    @abstractmethod
    def log(self, message: str, level: str = "info") -> None:
        """Say something in words; `level` is `info`, `warning` or `error`."""

    @abstractmethod
    def leave_out(self, what: str, reason: str) -> None:
        """Say that something of the input is not used, and why. Counted in the summary and listed by `plan`."""

    @abstractmethod
    def report(self, facts: Mapping[str, Any]) -> None:
        """Add facts about this node to the plan and the record (buckets and their sizes, trained parameters)."""

    @abstractmethod
    def publish(self, source: Path | Blob, name: str) -> Path:
        """Put a plain copy of a file into the run's folder at once, under the relative path `name`."""

    @abstractmethod
    def run_folder(self, name: str) -> Path:
        """Return a folder inside the run's folder for files that are written to while the node runs; it exists."""

    # --- stopping --------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def stopping(self) -> bool:
        """True once the user asked to stop: keep the state, then call `interrupted`."""

    @property
    def seconds_left(self) -> float:
        """Seconds in which a step may still be finished; infinite while nobody is in haste.

        Once it is less than the rest of a step takes, drop the step and keep the state of the one before: the machine
        may be taken away.
        """
        return math.inf

    @abstractmethod
    def interrupted(self) -> None:
        """Leave the node because the run is stopping.

        Raises:
            Interrupted: always.
        """
