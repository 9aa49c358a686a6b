"""Looking at the whole store: every record read, every blob hashed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vflow.engine.store.blobs import Blobs
from vflow.engine.store.records import Records


@dataclass(frozen=True)
class Damage:
    """Something that is wrong in the store. `name` is the record's key or the blob's digest.

    `needed_by` holds the keys of the records that lose their result by it, and count as absent from now on.
    """

    what: Literal["record", "blob"]
    name: str
    reason: str
    needed_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Read as a line."""
        needed = f" (needed by {len(self.needed_by)} results)" if self.needed_by else ""
        return f"{self.what} {self.name[:12]}: {self.reason}{needed}"


def verify(
    records: Records,
    blobs: Blobs,
    progress: Callable[[int, int], None],
    elsewhere: Callable[[dict[str, int]], set[str]] = lambda _sizes: set(),
) -> list[Damage]:
    """Return everything that is wrong, having moved aside what is damaged; see `Store.verify`.

    `elsewhere` tells which of some blobs (digest and size) need not be here.
    """
    keys, digests = list(records.keys()), list(blobs.digests())
    total = len(keys) + len(digests)
    damages: list[Damage] = []
    needed: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for done, key in enumerate(keys, 1):
        if reason := records.damage(key):
            damages.append(Damage("record", key, reason))
        elif record := records.read(key):
            sizes |= record.sizes
            for digest in record.sizes:
                needed.setdefault(digest, []).append(key)
        progress(done, total)
    reasons = {}
    for done, digest in enumerate(digests, len(keys) + 1):
        if reason := blobs.damage(digest):
            reasons[digest] = reason
        progress(done, total)
    missing = {d: size for d, size in sizes.items() if d not in reasons and not blobs.has(d, size)}
    reasons |= dict.fromkeys(missing.keys() - elsewhere(missing), "it is missing")
    damages += [Damage("blob", digest, why, tuple(needed.get(digest, ()))) for digest, why in reasons.items()]
    return damages
