"""What a hub repository holds, asked once and then remembered, so that later runs need no network.

A revision that was resolved stays resolved until `context.refresh` or another `@revision`; what a commit holds never
changes. Without a network the hub's own cache on this machine is read. The endpoint (`HF_ENDPOINT`) only says whom to
ask: it enters nothing that is remembered or compared.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import GraphError, Unasked
from vflow.nodes.families import families
from vflow.nodes.models.layout import File, FolderTree, Tree

if TYPE_CHECKING:
    from vflow.engine.context import Context

NAME = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>(?!.*\.\.)[\w./-]+))?")

_PUBLIC = "https://huggingface.co"
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_SECONDS = 15.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Unreachable(GraphError):
    """The hub does not answer, or broke off: that may pass by itself."""


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit: name -> (size in bytes, SHA-256, "" where the hub does not tell it)."""

    repository: str
    commit: str
    files: Mapping[str, tuple[int, str]]


class HubTree(Tree):
    """A checkpoint in a repository: its small files are downloaded when they are read."""

    def __init__(self, listing: Listing, context: Context) -> None:
        self.listing, self.context = listing, context
        self.title = self.repository = listing.repository
        self.commit = listing.commit
        self.remedy = "name a repository in diffusers layout, or a folder that holds one"

    def names(self, folder: str) -> Collection[str]:
        """Return what the listing has there."""
        split = (name.rpartition("/") for name in self.listing.files)
        return sorted(name for place, _, name in split if place == folder)

    def folders(self, folder: str) -> Collection[str]:
        """Return what the listing has there."""
        start = f"{folder}/" if folder else ""
        below = (name.removeprefix(start) for name in self.listing.files if name.startswith(start))
        return sorted({name.partition("/")[0] for name in below if "/" in name})

    def read(self, name: str) -> bytes:
        """Download the file, if it is not in the cache."""
        return download(self.listing, name, self.context).read_bytes()

    def files(self, names: Iterable[str]) -> list[File]:
        """Take hashes from the listing; the hub tells those of large files, the small ones are downloaded."""
        names = list(names)
        small = [name for name in names if not self.listing.files[name][1]]
        with ThreadPoolExecutor(8) as pool:
            paths = dict(
                zip(small, pool.map(lambda name: download(self.listing, name, self.context), small), strict=True)
            )
        digests = self.context.digests_of(list(paths.values()))
        told = self.listing.files
        return [(name, told[name][0], digests[paths[name]] if name in paths else told[name][1]) for name in names]

    def remember(self, what: str, compute: Callable[[], Any]) -> Any:
        """Remember for good: a commit does not change."""
        return self.context.remember("hub", f"{self.listing.repository}@{self.listing.commit}: {what}", compute)


class CachedTree(FolderTree):
    """A checkpoint in the hub's cache on this machine, as far as it was downloaded."""

    def __init__(self, repository: str, commit: str, context: Context) -> None:
        self.repository, self.commit = repository, commit
        super().__init__(
            snapshot(repository, commit), context, f"the copy of {repository} on this machine", how_to_fetch(repository)
        )

    def files(self, names: Iterable[str]) -> list[File]:
        """Read the hash of a large file off its name in the cache; hash the others."""
        names = list(names)
        targets = {name: (self.folder / name).resolve() for name in names}
        unnamed = [name for name in names if not _SHA256.fullmatch(targets[name].name)]
        hashed = {name: digest for name, _, digest in super().files(unnamed)}
        return [(name, targets[name].stat().st_size, hashed.get(name, targets[name].name)) for name in names]

    def how_to_get(self, family: Any, part: Any, folder: str) -> str:
        """Say how to fetch."""
        return self.remedy


def open_tree(repository: str, revision: str, context: Context) -> tuple[HubTree | CachedTree, str]:
    """Return the checkpoint and its commit.

    Raises:
        GraphError: there is no such repository or revision, no access, or neither a network nor a copy here.
    """
    what = f"hub {repository}@{revision}"
    tree, commit = _open(repository, context.pinned(what) or revision, context)
    context.pin(what, commit)
    return tree, commit


def _open(repository: str, revision: str, context: Context) -> tuple[HubTree | CachedTree, str]:
    key = f"{repository}@{revision}"
    known = context.recall("hub", key)
    if known is None or (context.refresh and not context.offline):
        try:
            known = _ask(repository, revision, context)
        except GraphError as error:
            commit = _cached_commit(repository, revision)
            if known is None and commit is None:
                raise
            context.log(f"{error.problems[0].message}: going on with what is here", "warning")
            if known is None:
                return CachedTree(repository, str(commit), context), str(commit)
        else:
            context.record_fact("hub", key, known)
            # a lock asks for the commit by its own name
            context.record_fact("hub", f"{repository}@{known['commit']}", known)
    files = {name: (size, digest) for name, size, digest in known["files"]}
    listing = Listing(repository, known["commit"], files)
    return HubTree(listing, context), listing.commit


def download(listing: Listing, name: str, context: Context, bars: Any = None) -> Path:
    """Return a file of a commit in the hub's cache, downloaded where it is missing.

    Raises:
        Unreachable: no network, or it broke off.
        GraphError: no access, or no room.
    """
    path = snapshot(listing.repository, listing.commit) / name
    if path.is_file():
        return path
    if context.offline:
        message = f"{listing.repository}/{name} is not on this machine"
        raise GraphError(Unasked(message, how_to_fetch(listing.repository)))
    from huggingface_hub import hf_hub_download

    try:
        return Path(
            hf_hub_download(
                listing.repository,
                name,
                revision=listing.commit,
                endpoint=os.environ.get("HF_ENDPOINT"),
                cache_dir=str(cache_folder()),
                tqdm_class=bars or silent_bars(),
            )
        )
    except Exception as error:
        kind = GraphError if isinstance(error, OSError) and error.errno in _OF_THE_DISK else Unreachable
        raise _explained(error, listing.repository, listing.commit) or kind(
            f"{name} of {listing.repository} could not be downloaded: {_reason(error)}",
            how_to_fetch(listing.repository),
        ) from error


def cache_folder() -> Path:
    """Return the hub's cache, as its own library places it; without importing the library, which takes 0.2 s."""
    environment = os.environ
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(environment.get("HF_HOME") or cache / "huggingface")
    return Path(
        environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or home / "hub"
    ).expanduser()


def snapshot(repository: str, commit: str) -> Path:
    """Return the folder in the hub's cache where a commit's files lie."""
    return _cached_repository(repository) / "snapshots" / commit


def how_to_fetch(repository: str) -> str:
    """Say how a repository gets onto this machine."""
    return (
        f"run `vflow fetch GRAPH` with a network (HF_ENDPOINT names a mirror), or download it elsewhere with "
        f"`hf download {repository} --local-dir FOLDER` and set `model` to that folder"
    )


def _ask(repository: str, revision: str, context: Context) -> dict[str, Any]:
    if context.offline:
        message = f"{repository} is not on this machine, and offline nobody can be asked"
        raise GraphError(Unasked(message, how_to_fetch(repository)))
    from huggingface_hub import HfApi

    try:
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        told = api.model_info(repository, revision=revision, files_metadata=True, timeout=_SECONDS)
    except Exception as error:
        raise _explained(error, repository, revision) or GraphError(
            f"{repository} is not on this machine, and {_reason(error)}", how_to_fetch(repository)
        ) from error
    if not re.fullmatch(r"[0-9a-f]{40,64}", told.sha or ""):
        raise GraphError(f"{repository}: the hub names no commit", how_to_fetch(repository))
    files = [[f.rfilename, f.size or 0, f.lfs.sha256 if f.lfs else ""] for f in told.siblings or []]
    return {"commit": told.sha, "files": files}


def _explained(error: Exception, repository: str, revision: str) -> GraphError | None:
    """Return the error in words when the hub answered with a refusal; None when it could not be asked."""
    from huggingface_hub import errors

    page = licence_page(repository)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError) or (status == 403 and isinstance(error, errors.HfHubHTTPError)):
        return GraphError(
            f"{repository} is gated: its licence has to be accepted first",
            f"accept it at {page}, then run `hf auth login`",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return GraphError(f"{repository} has no revision {revision!r}", f"see {_PUBLIC}/{repository}/commits/main")
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return GraphError(
            f"the hub has no model repository {repository!r}, or it is private",
            "check the name; for a private repository run `hf auth login`; a local folder is written as ./folder",
        )
    if isinstance(error, errors.HFValidationError):
        return GraphError(f"{repository!r} is no repository name", "write owner/name")
    return None


def licence_page(repository: str) -> str:
    """Return where a repository's licence is read and accepted."""
    flavours = (flavour for family in families().values() for flavour in family.flavours.values())
    known = {flavour.repository: flavour.licence_url for flavour in flavours}
    return known.get(repository) or f"{_PUBLIC}/{repository}"


def _reason(error: BaseException) -> str:
    whom = os.environ.get("HF_ENDPOINT", _PUBLIC)
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"{whom} cannot be asked ({first})"


def _cached_repository(repository: str) -> Path:
    return cache_folder() / f"models--{repository.replace('/', '--')}"


def _cached_commit(repository: str, revision: str) -> str | None:
    folder = _cached_repository(repository)
    reference = folder / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    return commit if (folder / "snapshots" / commit).is_dir() else None


def silent_bars() -> type:
    """Return a class of bars that draw nothing: the run has its own."""
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        """A bar that draws nothing."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **(kwargs | {"disable": True}))

    return Silent
