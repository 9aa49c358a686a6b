"""What this process knows of a remote: whether it lives, what is there, what must not be trusted, what to say of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vflow.engine.store.files import make_folder
from vflow.engine.store.remote_address import Address
from vflow.engine.store.remote_link import Link

#: Seconds for which something that was not there is not asked for again.
_MISSED = 60.0


class Standing:
    """The state of one remote, shared by what reads and what writes. `folder` is where the store keeps notes of it."""

    def __init__(self, address: Address, folder: str) -> None:
        self.address, self.folder = address, folder
        self.link = Link(address)
        self.dead = False
        self.there: set[str] = set()  #: digests that are there with their size
        self._missed: dict[str, float] = {}  # path -> when it was not there
        self._notices: list[str] = []
        self._driven = False

    # --- whether it lives -------------------------------------------------------------------------------------------

    def is_usable(self) -> bool:
        """Tell whether it is worth asking.

        Raises:
            GraphError: its driver is not installed.
        """
        if not self.dead:
            self.drive()
        return not self.dead

    def drive(self) -> None:
        """Import the driver, once: not on the clock of whoever waits for an answer. Raises as `is_usable`."""
        if not self._driven:
            self.link.check_driver()
            self._driven = True

    def bury(self, why: str) -> None:
        """Do not ask it any more."""
        if not self.dead:
            self.dead = True
            self.tell(f"the remote {self.address.shown} does not answer ({why}); going on without it")

    def revive(self) -> None:
        """It has answered."""
        if self.dead:
            self.dead = False
            self.tell(f"the remote {self.address.shown} answers again")

    # --- what is there ----------------------------------------------------------------------------------------------

    def miss(self, path: str) -> None:
        """Note that nothing of use is there."""
        self._missed[path] = time.monotonic()

    def arrived(self, path: str) -> None:
        """Note that something was brought there."""
        self._missed.pop(path, None)

    def worth_asking(self, paths: Iterable[str]) -> list[str]:
        """Return those paths that were not missed a moment ago; none while the remote is dead."""
        since = time.monotonic() - _MISSED
        wanted = [path for path in paths if self._missed.get(path, float("-inf")) < since]
        return wanted if wanted and self.is_usable() else []

    # --- what must not be trusted -----------------------------------------------------------------------------------

    def distrust(self, digest: str, problem: str) -> None:
        """Note, for later processes too, that a blob there is not what it is named."""
        self.there.discard(digest)
        make_folder(f"{self.folder}/bad")
        Path(self._mark(digest)).touch()
        self.tell(f"the remote {self.address.shown} holds a blob that {problem}: {digest[:12]}; it is ignored")

    def trust(self, digest: str) -> None:
        """Note that a sound blob is there."""
        with suppress(OSError):
            os.unlink(self._mark(digest))
        self.there.add(digest)

    def is_bad(self, digest: str) -> bool:
        """Tell whether the blob there was found damaged."""
        return os.path.exists(self._mark(digest))

    def _mark(self, digest: str) -> str:
        return f"{self.folder}/bad/{digest}"

    # --- what to say ------------------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Say something to the user, at the next opportunity."""
        if text not in self._notices:
            self._notices.append(text)

    def take_notices(self) -> list[str]:
        """Return what there is to say, once."""
        said, self._notices = self._notices, []
        return said


def blob_path(digest: str) -> str:
    """Return where a blob lies below the address."""
    return f"blobs/{digest[:2]}/{digest}"


def record_path(key: str) -> str:
    """Return where a record lies below the address."""
    return f"records/{key[:2]}/{key}.json"
