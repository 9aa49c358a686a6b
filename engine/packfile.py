"""The form of a pack: a zip of data files. What may stand in it, by name, size and content, is decided here.

pack.json           the manifest: format, and size and SHA-256 of every other file
graph.yaml          the graph as resolved        original.yaml       the file as its author wrote it
graph.yaml.lock     its lock                     graph.yaml.frozen   what its nodes gave, see `frozen`
records/KEY.json    results                      blobs/DIGEST.*      their files
files/ID.*          clips, if the author gave them along             README.md

Whatever is not of this list is refused: so there are no folders, no links, no paths that lead elsewhere, no pickles.
"""

from __future__ import annotations

import codecs
import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vflow.engine.problems import GraphError

FORMAT = 1
MANIFEST, GRAPH, ORIGINAL, README = "pack.json", "graph.yaml", "original.yaml", "README.md"
LOCK, FROZEN = f"{GRAPH}.lock", f"{GRAPH}.frozen"
#: the endings of results and of clips; a text may have none
BLOBS = ("", ".json", ".yaml", ".safetensors", ".mp4", ".txt", ".md")
CLIPS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".txt")

_ALONE = frozenset((MANIFEST, GRAPH, ORIGINAL, README, LOCK, FROZEN))
_INSIDE = re.compile(
    r"records/[0-9a-zA-Z_-]{3,128}\.json"
    r"|blobs/[0-9a-f]{64}(?:\.(?:json|yaml|safetensors|mp4|txt|md))?"
    r"|files/[0-9A-Za-z_-]{1,128}\.(?:mp4|mov|mkv|webm|avi|txt)"
)
_ESCAPES = re.compile(r"\A[/\\~]|\A[A-Za-z]:|\\|(?:\A|/)\.\.?(?:/|\Z)|\x00")
_CODE = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".py", ".pyc", ".so", ".npy", ".npz", ".joblib")
_PLAIN = (".json", ".yaml", ".txt", ".md", ".lock", ".frozen")
# a terminal that shows the text would obey these
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

#: what reading a damaged archive raises
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
MOST_TEXT = 2**30
_MOST_ENTRIES = 2_000_000
_MOST_RATIO = 200
_SMALL = 2**20
_CHUNK = 2**20


@dataclass(frozen=True)
class Manifest:
    """What a pack says that it holds: name -> (size in bytes, SHA-256). `about` is for people."""

    entries: Mapping[str, tuple[int, str]]
    about: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(size for size, _ in self.entries.values())

    def below(self, folder: str) -> Iterator[str]:
        """Yield the names below a folder, in order."""
        return (name for name in sorted(self.entries) if name.startswith(f"{folder}/"))

    def to_bytes(self) -> bytes:
        """Return the manifest's file."""
        data = {**self.about, "pack": FORMAT, "entries": {name: list(entry) for name, entry in self.entries.items()}}
        return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def refusal(reason: str) -> GraphError:
    """Return the error for a pack that is not what a pack is."""
    return GraphError(f"this pack is refused: {reason}", "nothing was unpacked; ask its author for another")


def suffix_of(name: str) -> str:
    """Return the ending of an entry's name, with its dot; empty where there is none."""
    return Path(name).suffix


def read_manifest(archive: zipfile.ZipFile, size: int) -> Manifest:
    """Check the archive's list against its manifest, before anything of it is unpacked; `size` is the archive's.

    Raises:
        GraphError: something in it is not as it must be.
    """
    infos = archive.infolist()
    if len(infos) > _MOST_ENTRIES or sum(info.compress_size for info in infos) > size:
        raise refusal("its files lie over one another")
    seen: set[str] = set()
    for info in infos:
        _check_entry(info, seen)
    if MANIFEST not in seen:
        raise GraphError("this is no pack: it has no pack.json", "`vflow pack GRAPH -o FILE` makes one")
    manifest = _parse(_bounded(archive, MANIFEST))
    declared = {name: entry[0] for name, entry in manifest.entries.items()}
    found = {info.filename: info.file_size for info in infos if info.filename != MANIFEST}
    if wrong := sorted(name for name in declared.keys() | found.keys() if declared.get(name) != found.get(name)):
        raise refusal(f"its manifest says something else than what is in it, of {wrong[0]!r}")
    for name in (GRAPH, LOCK, FROZEN, README):
        if name not in found:
            raise refusal(f"it has no {name}")
    return manifest


def text_of(archive: zipfile.ZipFile, name: str, manifest: Manifest) -> bytes:
    """Return a text of the pack, checked.

    Raises:
        GraphError: it is not what the manifest says, or no text.
    """
    collected: list[bytes] = []
    extract(archive, name, manifest, collected.append)
    return b"".join(collected)


def extract(archive: zipfile.ZipFile, name: str, manifest: Manifest, write: Callable[[bytes], object]) -> None:
    """Hand on a file of the pack piece by piece, never more of it than the manifest says, and check it by its digest.

    Raises:
        GraphError: it is not what the manifest says, or of another type than its name.
    """
    import hashlib

    size, digest = manifest.entries[name]
    hashed, check, left = hashlib.sha256(), Content(name, size), size
    try:
        with archive.open(name) as file:
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise refusal(f"{name} is longer than its manifest says")
                hashed.update(chunk)
                check.feed(chunk)
                write(chunk)
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise refusal(f"{name} is damaged") from error
    if left or hashed.hexdigest() != digest:
        raise refusal(f"{name} is not what its manifest says")
    check.end()


class Content:
    """Checks by its content, piece by piece, that a file is of the type that its name says."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self._kind = suffix_of(name)
        self._start = b""
        self._text = codecs.getincrementaldecoder("utf-8")() if self._kind in (*_PLAIN, "") else None

    def feed(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            GraphError: no text, where it should be one.
        """
        if len(self._start) < 16:
            self._start += chunk[:16]
        if self._text is not None:
            self._decode(chunk, False)

    def end(self) -> None:
        """Look at the beginning, now that all is there.

        Raises:
            GraphError: another type.
        """
        if self._text is not None:
            self._decode(b"", True)
        header = int.from_bytes(self._start[:8], "little")
        if self._kind == ".safetensors" and not (
            self._size >= 10 and header <= min(self._size - 8, 100_000_000) and self._start[8:9] == b"{"
        ):
            raise refusal(f"{self._name} is no safetensors file")
        if self._kind == ".mp4" and self._start[4:8] != b"ftyp":
            raise refusal(f"{self._name} is no MP4 file")

    def _decode(self, chunk: bytes, final: bool) -> None:
        assert self._text is not None
        try:
            text = self._text.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise refusal(f"{self._name} is no text") from error
        if _CONTROL.search(text):
            raise refusal(f"{self._name} holds control characters")


def controls(data: Any) -> bool:
    """Tell whether a text somewhere in plain data would do something to the terminal that shows it."""
    if isinstance(data, str):
        return bool(_CONTROL.search(data))
    if isinstance(data, Mapping):
        return any(controls(key) or controls(value) for key, value in data.items())
    return any(map(controls, data)) if isinstance(data, (list, tuple)) else False


def write(target: IO[bytes], manifest: Manifest, files: Mapping[str, bytes | Path]) -> None:
    """Write a pack: equal content gives equal bytes."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in ((MANIFEST, manifest.to_bytes()), *sorted(files.items())):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED if isinstance(content, bytes) else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=not isinstance(content, bytes)) as entry:
                for chunk in chunks(content):
                    entry.write(chunk)


def chunks(content: bytes | Path) -> Iterable[bytes]:
    """Yield bytes, or a file's bytes, piece by piece."""
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _check_entry(info: zipfile.ZipInfo, seen: set[str]) -> None:
    # the name before it was cut at a NUL, and with the separators that it really has
    name, kind = getattr(info, "orig_filename", info.filename), stat.S_IFMT(info.external_attr >> 16)
    if name in seen:
        raise refusal(f"it has {name!r} twice")
    seen.add(name)
    if _ESCAPES.search(name):
        raise refusal(f"{name!r} leads out of its folder")
    if kind == stat.S_IFLNK:
        raise refusal(f"{name!r} is a link")
    if kind not in (0, stat.S_IFREG) or info.is_dir():
        raise refusal(f"{name!r} is no plain file")
    if name.lower().endswith(_CODE):
        raise refusal(f"{name!r} may run code when it is opened")
    if name not in _ALONE and not _INSIDE.fullmatch(name):
        raise refusal(f"{name!r} has no place in a pack")
    if info.flag_bits & 1:
        raise refusal(f"{name!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refusal(f"{name!r} is compressed in a way that packs are not")
    if info.file_size > max(_SMALL, _MOST_RATIO * info.compress_size):
        raise refusal(f"{name!r} is a bomb: {info.file_size:,} bytes out of {info.compress_size:,}")
    if info.file_size > MOST_TEXT and (name in _ALONE or name.startswith("records/")):
        raise refusal(f"{name!r} is too large")


def _bounded(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as file:
            return file.read(MOST_TEXT)
    except (*DAMAGED, OSError) as error:
        raise refusal(f"{name} is damaged") from error


def _parse(data: bytes) -> Manifest:
    try:
        read = json.loads(data)
        if type(read["pack"]) is int and read["pack"] > FORMAT:
            raise GraphError(f"this pack has format {read['pack']}, this vflow knows {FORMAT}", "update vflow")
        entries = {}
        for name, (size, digest) in read.pop("entries").items():
            if type(size) is not int or size < 0 or not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(name)
            entries[name] = (size, digest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refusal("its manifest cannot be read") from error
    if controls(read):
        raise refusal("its manifest holds control characters")
    return Manifest(entries, read)
