"""A second tier behind the store, anywhere that fsspec reaches: read through, write behind, and never needed.

Its layout is the store's own (`blobs/ab/…`, `records/ab/…`), so that a store can be copied there and back. It is not
trusted: records carry their own SHA-256 and are taken as data only, blobs are hashed while they come. It is not relied
upon either: when it does not answer it counts as dead, everything goes on without it, and what was to be sent stays in
a journal (`remote/<address>/pending/`) for a later run. Nothing there is ever deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vflow.engine import keys
from vflow.engine.problems import GraphError
from vflow.engine.store.blobs import Blobs
from vflow.engine.store.files import Files
from vflow.engine.store.record import Record
from vflow.engine.store.records import Records
from vflow.engine.store.remote_address import Address
from vflow.engine.store.remote_link import Unreachable
from vflow.engine.store.remote_outbox import Outbox
from vflow.engine.store.remote_reading import Reader
from vflow.engine.store.remote_records import LARGEST, checked
from vflow.engine.store.remote_standing import Standing, blob_path, record_path
from vflow.engine.values import Blob

#: Seconds that the end of a run waits for what is still to be sent.
_LAST_SECONDS = 4.0


class Remote:
    """The second tier of a store. `keep` writes records into the store without asking for their blobs."""

    def __init__(
        self,
        address: Address,
        files: Files,
        blobs: Blobs,
        records: Records,
        keep: Callable[[Sequence[Record]], None],
    ) -> None:
        self.address = address
        self.brought: set[str] = set()  #: keys of the records that came from there
        self._blobs, self._records, self._keep = blobs, records, keep
        self._standing = Standing(address, f"{files.root}/remote/{address.tag}")
        self._reader = Reader(self._standing, files, blobs)
        pending = f"{self._standing.folder}/pending"
        self._outbox = Outbox(pending, self._send, self._standing.bury, self._standing.revive)
        self.take_notices = self._standing.take_notices

    # --- reading through --------------------------------------------------------------------------------------------

    def lookup(self, wanted: Iterable[str], check_blobs: bool) -> dict[str, Record]:
        """Return records of the store, and of the remote where the store lacks them; see `Store.lookup`."""
        wanted = list(dict.fromkeys(wanted))
        found = self._records.lookup(wanted, check_blobs=False)
        if brought := self._reader.records(key for key in wanted if key not in found):
            self._keep(list(brought.values()))
            self.brought.update(brought)
            found |= brought
        if check_blobs:
            lost = set(self.lacking(found))
            found = {key: record for key, record in found.items() if key not in lost}
        return found

    def lacking(self, records: Mapping[str, Record]) -> list[str]:
        """Return the keys of those records whose blobs are neither in the store nor there."""
        absent = {key: self._absent(record.blobs) for key, record in records.items()}
        there = self.has(blob for blobs in absent.values() for blob in blobs)
        return [key for key, blobs in absent.items() if any(blob.digest not in there for blob in blobs)]

    def has(self, blobs: Iterable[Blob]) -> set[str]:
        """Return the digests of those blobs that are there, as far as their sizes tell."""
        return self.has_sizes({blob.digest: blob.size for blob in blobs})

    def has_sizes(self, sizes: Mapping[str, int]) -> set[str]:
        """Return those of the digests that are there with these sizes; none while the remote is dead."""
        return self._reader.present(sizes)

    def share_of(self, records: Iterable[Record]) -> int:
        """Return how many of those records came from there, or have their blobs only there."""
        return sum(record.key in self.brought or not self._records.has_blobs(record) for record in records)

    def bring(self, blobs: Iterable[Blob], should_stop: Callable[[], bool] = lambda: False) -> None:
        """Download those blobs that the store lacks. What cannot be had stays missing; raises `OSError`.

        Raises:
            Interrupted: `should_stop` said so.
        """
        self._reader.bring(self._absent(blobs), should_stop)

    def _absent(self, blobs: Iterable[Blob]) -> list[Blob]:
        unique = {blob.digest: blob for blob in blobs}
        return [blob for blob in unique.values() if not self._blobs.has(blob.digest, blob.size)]

    # --- writing behind ---------------------------------------------------------------------------------------------

    def announce(self, records: Sequence[Record]) -> None:
        """Note, before records are published, that they are to be sent, and bring blobs that they pass on."""
        self.bring(blob for record in records for blob in record.blobs)
        if self.address.can_write:
            self._outbox.note(record.key for record in records)

    def push(self, records: Iterable[Record]) -> None:
        """Send records that were announced and published; returns at once."""
        if self.address.can_write:
            self._outbox.push(record.key for record in records)

    def resume(self) -> None:
        """Send what earlier runs could not; returns at once."""
        if self.address.can_write:
            self._outbox.resume()

    def flush(self, seconds: float) -> int:
        """Wait until all is sent, but no longer than so many seconds; return how many records are left."""
        return self._outbox.flush(seconds)

    def finish(self, waiting: bool = True) -> list[str]:
        """Give what is being sent a few seconds (none unless `waiting`); return what there is to say, once."""
        left = self.flush(_LAST_SECONDS if waiting else 0.0)
        said = self.take_notices()
        if left:
            results = "1 result is" if left == 1 else f"{left:,} results are"
            said.append(f"{results} still to be sent to {self.address.shown}: by the next run, or `vflow cache sync`")
        return said

    def sync(self, every: bool) -> tuple[int, int]:
        """Send what is left, or `every` record of the store, however long it takes; return counts of sent and left.

        Raises:
            GraphError: the remote can only be read, or its driver is not installed.
        """
        if not self.address.can_write:
            raise GraphError(f"the remote {self.address.shown} can only be read", "name one that can be written")
        self._standing.drive()
        if every:
            self._outbox.note(self._records.keys())
        before = self._outbox.waiting()
        self._outbox.resume()
        left = self._outbox.flush(None)
        return before - left, left

    # --- in the outbox's threads ------------------------------------------------------------------------------------

    def _send(self, key: str) -> bool:
        """Bring a record with its blobs there; False when the store lacks it or one of its blobs."""
        try:
            self._standing.drive()
        except GraphError as error:
            raise Unreachable(str(error)) from error
        record = self._records.read(key)
        if record is None or not all(map(self._send_blob, record.blobs)):
            return False
        if not self._has_sound(key, record):
            self._standing.link.upload(self._records.path_of(key), record_path(key))
        self._standing.arrived(record_path(key))
        return True

    def _send_blob(self, blob: Blob) -> bool:
        standing, path, local = self._standing, blob_path(blob.digest), self._blobs.path_of(blob.digest)
        known = not standing.is_bad(blob.digest)
        if known and (blob.digest in standing.there or standing.link.size(path) == blob.size):
            standing.there.add(blob.digest)
            return True
        if not self._blobs.has(blob.digest, blob.size) or keys.digest_file(Path(local)) != blob.digest:
            return False
        standing.link.upload(local, path)
        standing.trust(blob.digest)
        standing.arrived(path)
        return True

    def _has_sound(self, key: str, mine: Record) -> bool:
        """Tell whether a sound record of this key is there, with its blobs: then the first one stays."""
        standing = self._standing
        try:
            there = checked(key, standing.link.read(record_path(key), LARGEST) or b"")
        except ValueError:
            return False
        others = {digest: size for digest, size in there.sizes.items() if digest not in mine.sizes}
        return all(not standing.is_bad(d) and standing.link.size(blob_path(d)) == size for d, size in others.items())
