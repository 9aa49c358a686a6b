"""A text in an `iTXt` chunk of a PNG picture (https://www.w3.org/TR/png-3/#11iTXt), before its end.

A chunk: 4 bytes of length, 4 of type, content, and the CRC-32 of type and content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple
from zlib import crc32

#: longer texts are neither written nor read
MAX_TEXT = 8 << 20

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: keyword, not compressed, no language, no translated keyword
_HEAD = b"vflow\0\0\0\0\0"
_MAX_CHUNKS = 100_000


class Chunk(NamedTuple):
    """Where a chunk lies in the file, in bytes."""

    kind: bytes
    start: int
    length: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + 12 + self.length


def write(source: Path, target: Path, text: str) -> None:
    """Copy a picture with the text before its end, in place of one that it carried before.

    Raises:
        ValueError: `source` is no PNG, or the text is too long.
        OSError: the disk is full, or not readable or writable.
    """
    content = _HEAD + text.encode()
    if len(content) > MAX_TEXT:
        raise ValueError(f"its recipe is longer than {MAX_TEXT >> 20} MiB")
    with source.open("rb") as file, target.open("wb") as out:
        out.write(_SIGNATURE)
        for chunk in _chunks(file):
            if chunk.kind == b"IEND":
                out.write(len(content).to_bytes(4, "big") + b"iTXt" + content)
                out.write(crc32(b"iTXt" + content).to_bytes(4, "big"))
            if not _is_ours(file, chunk):
                file.seek(chunk.start)
                shutil.copyfileobj(_Part(file, chunk.end - chunk.start), out)


def read(file: Path) -> str | None:
    """Return the text, or None where the picture carries none.

    Raises:
        ValueError: it is no PNG, or its text is too long or no text.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        for chunk in _chunks(opened):
            if _is_ours(opened, chunk):
                if chunk.length > MAX_TEXT:
                    raise ValueError(f"its recipe is longer than {MAX_TEXT >> 20} MiB")
                return opened.read(chunk.length - len(_HEAD)).decode()
    return None


class _Part:
    """The next bytes of a file, up to a number."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self.file, self.left = file, length

    def read(self, size: int = -1, /) -> bytes:
        data = self.file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data


def _chunks(file: IO[bytes]) -> Iterator[Chunk]:
    size, start = os.fstat(file.fileno()).st_size, len(_SIGNATURE)
    if file.read(start) != _SIGNATURE:
        raise ValueError("this is no PNG picture")
    for _ in range(_MAX_CHUNKS):
        file.seek(start)
        head = file.read(8)
        chunk = Chunk(head[4:], start, int.from_bytes(head[:4], "big"))
        if len(head) < 8 or chunk.end > size:
            raise ValueError("the picture is not whole")
        yield chunk
        if chunk.kind == b"IEND":
            return
        start = chunk.end
    raise ValueError(f"it has more than {_MAX_CHUNKS} chunks")


def _is_ours(file: IO[bytes], chunk: Chunk) -> bool:
    file.seek(chunk.start + 8)
    return chunk.kind == b"iTXt" and chunk.length >= len(_HEAD) and file.read(len(_HEAD)) == _HEAD
