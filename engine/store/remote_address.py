"""Where the second tier lies: an address that fsspec understands, chosen by the user and never by a graph.

Looking at an address imports nothing: the file system behind it is opened when something is asked of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vflow.engine.problems import GraphError

_PROTOCOL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL | re.IGNORECASE)
_SECRET = re.compile(r"^[^/@]*@")  # user:password@ before a host


@dataclass(frozen=True)
class Address:
    """An address without a slash at its end: `s3://bucket/vflow`, `file:///mnt/team/vflow`."""

    url: str

    @property
    def protocol(self) -> str:
        """What stands before `://`, of the innermost address where several are chained."""
        last = self.url.rpartition("::")[2]
        return (_PROTOCOL.fullmatch(last) or _PROTOCOL.fullmatch(self.url) or ["", "file"])[1].lower()

    @property
    def is_near(self) -> bool:
        """True when nothing goes over the network, so that it may be used offline."""
        return self.protocol in ("file", "local", "memory")

    @property
    def can_write(self) -> bool:
        """False where a file system can only be read, so that nothing is kept to be sent."""
        return self.protocol not in ("http", "https")

    @property
    def shown(self) -> str:
        """The address for people and events: without user, password and query."""
        protocol, separator, rest = self.url.rpartition("://")
        return f"{protocol}{separator}{_SECRET.sub('', rest).partition('?')[0]}"

    @cached_property
    def tag(self) -> str:
        """A short name for a folder, from which the address (it may hold a secret) cannot be read."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


def address_of(text: str) -> Address:
    """Return the address of what the user wrote; without a protocol it is a local folder.

    Raises:
        GraphError: it cannot be an address.
    """
    if not (found := _PROTOCOL.fullmatch(text)):
        return Address(Path(text).expanduser().absolute().as_uri())
    if not found[2].strip("/"):
        raise GraphError(
            f"a remote needs a place behind {found[1]}://: {text!r}", "write for instance s3://bucket/folder"
        )
    return Address(text.rstrip("/"))


def chosen(flag: str | None, offline: bool = False) -> str | None:
    """Return the address that a run uses: `--remote`, else `$VFLOW_REMOTE`, else the user's setting `remote`.

    `--remote ""` uses none. With `offline` only those are used that need no network.

    Raises:
        GraphError: it cannot be an address.
    """
    text = flag if flag is not None else os.environ.get("VFLOW_REMOTE")
    if text is None:
        from vflow.engine import config

        text = config.load().remote if config.config_file().exists() else None
    if not text or (offline and not address_of(text).is_near):
        return None
    return address_of(text).url
