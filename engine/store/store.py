"""One folder for the user's results, shared by all graphs and by processes that run at the same time.

store.json      the format
blobs/ab/...    immutable files, named by the SHA-256 of their content
records/ab/...  what is known of one finished node or item: key -> output; written after its blobs
work/KEY/       what is not finished (training checkpoints)
models/         fetched and built models
leases/         who computes what just now
runs/           what runs in progress hold, and what the last runs used
pins/           what the user keeps whatever happens
index/          a diskcache over the records, with facts and file hashes: may be deleted at any time
tmp/            what is being written
damaged/        what was found damaged
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Failure
from vflow.engine.store import leases, survey
from vflow.engine.store.blobs import Blobs, Damaged
from vflow.engine.store.files import Files, make_folder, read_or_none, sync, told_in_words
from vflow.engine.store.index import Index
from vflow.engine.store.leases import Lease, Leases
from vflow.engine.store.memory import Memory
from vflow.engine.store.record import Record
from vflow.engine.store.records import Records
from vflow.engine.store.uses import Use, Uses, blob_name, record_name, work_name
from vflow.engine.values import Blob

if TYPE_CHECKING:
    from vflow.engine.store.collect import Keeper
    from vflow.engine.store.remote import Remote

#: The format of a store's folder that this version reads and writes.
FORMAT = 1
_MARKER = "store.json"
_PAGE = 1000


def default_folder() -> Path:
    """Return `$VFLOW_HOME`, else what the user's settings say (`cache`), else `~/.cache/vflow`.

    Raises:
        GraphError, Failure: the settings have mistakes, or cannot be read.
    """
    home = os.environ.get("VFLOW_HOME")
    if not home:
        from vflow.engine import config

        home = config.load().cache
    return Path(home or "~/.cache/vflow").expanduser()


class Store:
    """The user's store. Making the object touches nothing; folders appear when something is written.

    `remote` is the address of a second tier behind it, see `remote.py`.
    `index` is for a store on a network file system: the index is to lie on a local disk. `stall` and `stall_alive` are
    seconds without a sign of life after which the holder of a lease counts as dead.

    Every method raises `Failure`, with a remedy, where the disk is full, or is not readable or writable, or where a
    newer vflow wrote the store.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        remote: str | None = None,
        index: Path | None = None,
        stall: float = leases.STALL,
        stall_alive: float = leases.STALL_ALIVE,
    ) -> None:
        self.folder = Path(folder or default_folder()).expanduser().absolute()
        self._root = str(self.folder)
        self._files = Files(self._root)
        self._index = Index(str(index or self.folder / "index"), self._files)
        self._blobs = Blobs(self._files)
        self._records = Records(self._files, self._blobs, self._index)
        self._memory = Memory(self._index)
        self._leases = Leases(f"{self._root}/leases", stall, stall_alive)
        self._uses = Uses(self._root, self._leases)
        self._use: Use | None = None
        self._blobs.before_placing = self._hold_blob
        self._checked = self._marked = False
        self.remote = self._second_tier(remote) if remote else None

    # --- blobs ------------------------------------------------------------------------------------------------------

    def put_file(self, source: Path, suffix: str = "") -> Blob:
        """Move a finished file into the store (copy it from another disk) and return its blob.

        The source is gone afterwards, and untouched when this fails. `suffix` (`.safetensors`) is for export.
        """
        with self._writing():
            return self._blobs.put_file(Path(source), suffix)

    def put_bytes(self, data: bytes, suffix: str = "") -> Blob:
        """Write bytes into the store and return their blob."""
        with self._writing():
            return self._blobs.put_bytes(data, suffix)

    def blob_path(self, blob: Blob, verify: bool = False) -> Path:
        """Return where a blob lies, read only. With `verify` its content is hashed, once per process.

        Raises:
            Damaged: it is missing or differs from what was written.
        """
        self._check()
        self.bring([blob])
        with told_in_words(self._root):
            return self._blobs.checked_path(blob, verify)

    def damaged(self, blobs: Iterable[Blob]) -> set[str]:
        """Hash these blobs, each once per process; return the digests of those that are missing or differ."""
        found = set()
        for blob in blobs:
            try:
                self.blob_path(blob, verify=True)
            except Damaged:
                found.add(blob.digest)
        return found

    def bring(self, blobs: Iterable[Blob], should_stop: Callable[[], bool] = lambda: False) -> None:
        """Fetch what the remote has of those blobs that are not here, several at once.

        Raises:
            Interrupted: `should_stop` said so.
        """
        if self.remote is not None:
            with told_in_words(self._root):
                self.remote.bring(blobs, should_stop)

    def has_blob(self, blob: Blob) -> bool:
        """Tell whether the blob is here, or in the remote, with its size."""
        here = self._blobs.has(blob.digest, blob.size)
        return here or (self.remote is not None and blob.digest in self.remote.has([blob]))

    def has_blobs(self, record: Record) -> bool:
        """Tell whether all blobs of a record are here, or in the remote, with their sizes."""
        return not self.lacking({record.key: record})

    def lacking(self, records: Mapping[str, Record]) -> list[str]:
        """Return the keys of those records whose blobs are neither here nor in the remote with their sizes."""
        lost = {key: record for key, record in records.items() if not self._records.has_blobs(record)}
        return self.remote.lacking(lost) if lost and self.remote is not None else list(lost)

    # --- records ----------------------------------------------------------------------------------------------------

    def publish(self, record: Record) -> None:
        """Make a finished result durable and known to every process. Again, it replaces what was there.

        Raises:
            Damaged: one of its blobs is not in the store.
        """
        self.publish_many([record])

    def publish_many(self, records: Sequence[Record]) -> None:
        """Publish a group: every record is durable before any is known, and folders are synced once for all."""
        with self._writing():
            if self._use is not None:
                self._use.hold(record_name(record.key) for record in records)
            if self.remote is not None:
                self.remote.announce(records)
            self._records.publish(records)
        if self.remote is not None:
            self.remote.push(records)

    def lookup(self, keys: Iterable[str], check_blobs: bool = True) -> dict[str, Record]:
        """Return the records of those keys that have one, by one query.

        A record whose blobs are missing or of the wrong size counts as absent, unless `check_blobs` is False. A damaged
        record counts as absent. What is not here is asked of the remote.
        """
        self._check()
        look = (self.remote or self._records).lookup
        if self._use is None:
            return look(keys, check_blobs)
        return self._use.looked_up(list(keys), lambda wanted: look(wanted, check_blobs))

    def entries(self) -> Iterator[Record]:
        """Yield every record, in the order of their keys, whether or not its blobs are there."""
        self._check()
        with told_in_words(self._root):
            keys = self._records.keys()
            while page := list(islice(keys, _PAGE)):
                found = self._records.lookup(page, check_blobs=False)
                yield from (found[key] for key in page if key in found)

    def find(self, prefix: str) -> list[Record]:
        """Return the records whose key starts so, and those that refer to a blob whose digest does."""
        prefix = prefix.lower()
        if not prefix.isalnum():
            return []
        self._check()
        mine = self._records.lookup(self._records.keys(prefix), check_blobs=False)
        holders = {r.key: r for r in self.entries() if any(digest.startswith(prefix) for digest in r.sizes)}
        return list((mine | holders).values())

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[survey.Damage]:
        """Read every record and hash every blob; return what is wrong.

        What is damaged is moved to `damaged/`, so that it is computed again. `progress(done, total)` counts files.
        """
        with self._writing():
            quiet = progress or (lambda _done, _total: None)
            if self.remote is None:
                return survey.verify(self._records, self._blobs, quiet)
            return survey.verify(self._records, self._blobs, quiet, self.remote.has_sizes)

    # --- facts ------------------------------------------------------------------------------------------------------

    def remember(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """Return the plain JSON data known under (kind, key), else compute and keep it.

        The key must hold everything that the answer depends on. Nothing is lost but time when it is forgotten.
        """
        self._check()
        return self._memory.remember(kind, key, compute)

    def recall(self, kind: str, key: str) -> Any | None:
        """Return what is kept under (kind, key), or None."""
        return self.recall_many(kind, [key]).get(key)

    def recall_many(self, kind: str, keys: Iterable[str]) -> dict[str, Any]:
        """Return what is kept under those of the keys that are known, by one query."""
        self._check()
        return self._memory.recall_many(kind, keys)

    def record_fact(self, kind: str, key: str, data: Any) -> None:
        """Keep plain JSON data under (kind, key), replacing what was there."""
        self._check()
        self._memory.record_many(kind, {key: data})

    def record_facts(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Keep several facts of one kind, in one transaction."""
        self._check()
        self._memory.record_many(kind, facts)

    def digest_of(self, path: Path) -> str:
        """Return the SHA-256 of a user's file. It is read again only when its size, times, inode or device changed.

        Raises:
            Failure: it cannot be read, or does not stop changing.
        """
        return self.digests_of([path])[path]

    def digests_of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the SHA-256 of files, as `digest_of`, by one query for what is known of them."""
        self._check()
        return self._memory.digests_of(paths)

    # --- folders ----------------------------------------------------------------------------------------------------

    @property
    def models_folder(self) -> Path:
        """Where fetched and built models lie; it may not exist yet."""
        return self.folder / "models"

    def work_folder(self, key: str) -> Path:
        """Return the folder for what is not finished under a key. Created when missing, kept until collected."""
        path = self.folder / "work" / key
        with self._writing():
            if self._use is not None:
                self._use.hold([work_name(key)])
            make_folder(str(path))
        return path

    def renew_work(self, key: str) -> None:
        """Throw away what is not finished under a key, so that it is begun anew."""
        with self._writing():
            self._files.remove_tree(f"{self._root}/work/{key}")

    def scratch(self) -> AbstractContextManager[Path]:
        """Lend a new empty folder on the store's disk. It is removed afterwards, after a kill by the next process."""
        with self._writing():
            return self._files.scratch()

    # --- several processes ------------------------------------------------------------------------------------------

    def lease(
        self,
        key: str,
        on_wait: Callable[[str], None] = lambda _holder: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> AbstractContextManager[Lease]:
        """Claim a key; `with` waits while another process or thread holds it. Look the record up again inside.

        `on_wait` is told who is waited for; `should_stop` is asked while waiting.

        Raises:
            Interrupted: `should_stop` said so.
        """
        with self._writing():
            return self._leases.hold(key, on_wait, should_stop)

    @contextmanager
    def held(
        self,
        on_wait: Callable[[str], None] = lambda _holder: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Use]:
        """While entered, nothing is collected that is found, written or published here: for a run in progress.

        `on_wait` is told of a collection that has to end first, `should_stop` is asked meanwhile. What was used stays
        known afterwards.
        """
        use, before = self._uses.begin(on_wait, should_stop), self._use
        self._use = use
        try:
            yield use
        finally:
            self._use = before
            use.end()

    def release(self, blobs: Iterable[Blob]) -> None:
        """Let go of blobs that the run in progress put here and needs no longer, where nobody else needs them either.

        Looks through the whole store; outside of a run it does nothing, and a collection takes them later.
        """
        if self._use is None:
            return
        digests = [blob.digest for blob in blobs]
        self._use.release(map(blob_name, digests))
        self.keeper().discard(digests)

    def keeper(self) -> Keeper:
        """Return what lists, pins and collects."""
        from vflow.engine.store.collect import Keeper

        self._check()
        return Keeper(self._files, self._records, self._blobs, self._leases, self._uses)

    def _second_tier(self, address: str) -> Remote:
        from vflow.engine.store.remote import Remote
        from vflow.engine.store.remote_address import address_of

        return Remote(address_of(address), self._files, self._blobs, self._records, self._keep)

    def _keep(self, records: Sequence[Record]) -> None:
        with suppress(Failure), self._writing():  # what cannot be kept is asked for again
            self._records.publish(records, complete=False)

    def _hold_blob(self, digest: str) -> None:
        if self._use is not None:
            self._use.hold([blob_name(digest)])

    # --- the folder itself ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the index. The store can be used on."""
        self._index.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with told_in_words(self._root):
            self._check()
            if not self._marked:
                self._mark()
            yield

    def _mark(self) -> None:
        path = self.folder / _MARKER
        if not path.exists():
            self._files.place(self._files.write(json.dumps({"format": FORMAT}).encode()), str(path))
            sync(self._root)
        self._marked = True

    def _check(self) -> None:
        """Refuse a folder that a newer version wrote, before anything in it is read."""
        if self._checked:
            return
        data = read_or_none(f"{self._root}/{_MARKER}")
        if data is not None and (found := _format(data)) != FORMAT:
            raise Failure(
                f"the store at {self._root} has format {found}, and this version of vflow knows format {FORMAT}",
                "update vflow, or use another store with --cache DIR",
            )
        self._checked = True


def _format(data: bytes) -> Any:
    try:
        return json.loads(data)["format"]
    except (ValueError, KeyError, TypeError):
        return "unknown"
