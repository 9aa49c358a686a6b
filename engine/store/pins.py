"""Results that the user wants to keep whatever happens: a file under `pins/` for each time something was pinned."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator

from vflow.engine.keys import digest
from vflow.engine.store.files import Files, names_in, read_or_none, sync


class Pins:
    """The files under `pins/`. Methods that write raise `OSError`; callers put that in words."""

    def __init__(self, files: Files) -> None:
        self._files, self._folder = files, f"{files.root}/pins"

    def keys(self) -> dict[str, str]:
        """Return the keys that are pinned, each with the note that was given.

        Raises:
            ValueError: a pin cannot be read; nothing may be collected then.
        """
        return {key: note for _, kept, note in self._read() for key in kept}

    def add(self, keys: Iterable[str], note: str = "") -> None:
        """Pin the records of these keys."""
        if wanted := sorted(set(keys)):
            self._write(wanted, note)

    def remove(self, keys: Iterable[str]) -> set[str]:
        """Unpin; return those keys that were pinned."""
        gone, found = set(keys), set()
        for path, kept, note in list(self._read()):
            if hit := gone.intersection(kept):
                found |= hit
                if rest := [key for key in kept if key not in gone]:
                    self._write(rest, note)
                os.unlink(path)
                sync(self._folder)
        return found

    def _write(self, keys: list[str], note: str) -> None:
        data = {"keys": keys, "note": note, "created": time.time()}
        path = f"{self._folder}/{digest([keys, note])[:32]}.json"
        self._files.place(self._files.write(json.dumps(data).encode()), path)
        sync(self._folder)

    def _read(self) -> Iterator[tuple[str, list[str], str]]:
        for name in names_in(self._folder):
            path = f"{self._folder}/{name}"
            data = read_or_none(path)
            if data is None and not os.path.exists(path):
                continue  # unpinned just now
            try:
                pin = json.loads(data or b"")
                yield path, list(pin["keys"]), str(pin.get("note", ""))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ValueError(f"the pin {path} cannot be read") from None
