"""A text in a box of its own at the end of an `.mp4` (ISO base media file format, ISO/IEC 14496-12).

A file is a row of boxes: 4 bytes of size, 4 of type, content. A box of type `uuid` names its kind by 16 bytes, and
players pass over kinds that they do not know. Behind all others it moves nothing, so that no offset has to be changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

#: the kind of our box: the name-based UUID (version 5, name space of addresses) of `vflow:recipe`
KIND = bytes.fromhex("0397aeb5ee4c519b8e98970dfe3c7f43")
#: longer texts are neither written nor read
MAX_TEXT = 8 << 20

_MAX_BOXES = 10_000
#: boxes that say how far they lie from the end of the file
_BOUND_TO_THE_END = (b"mfra",)


class Box(NamedTuple):
    """Where a box lies in the file, in bytes; `content` is where its content begins."""

    kind: bytes
    start: int
    content: int
    end: int


def write(source: Path, target: Path, text: str) -> None:
    """Copy a file and put the text behind its last box, in place of one that it carried before.

    Raises:
        ValueError: `source` is no `.mp4`, ends in a box that must stay the last one, or the text is too long.
        OSError: the disk is full, or not readable or writable.
    """
    payload = text.encode()
    if len(payload) > MAX_TEXT:
        raise ValueError(f"its recipe is longer than {MAX_TEXT >> 20} MiB")
    with source.open("rb") as file:
        end = _end_of_others(file)
    shutil.copyfile(source, target)
    with target.open("r+b") as out:
        out.truncate(end)
        out.seek(end)
        out.write((8 + len(KIND) + len(payload)).to_bytes(4, "big") + b"uuid" + KIND + payload)


def read(file: Path) -> str | None:
    """Return the text, or None where the file carries none.

    Raises:
        ValueError: it is no `.mp4`, or its text is too long or no text.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        for box in boxes(opened):
            if _is_ours(opened, box):
                length = box.end - box.content - len(KIND)
                if length > MAX_TEXT:
                    raise ValueError(f"its recipe is longer than {MAX_TEXT >> 20} MiB")
                return opened.read(length).decode()
    return None


def boxes(file: IO[bytes]) -> Iterator[Box]:
    """Yield the boxes of a file, those inside others not.

    Raises:
        ValueError: it is no row of boxes that begins with `ftyp`.
    """
    size, start = os.fstat(file.fileno()).st_size, 0
    for number in range(_MAX_BOXES):
        if start == size and number:
            return
        file.seek(start)
        head = file.read(16)
        length, kind, content = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if length == 1:  # a size that needs 8 bytes
            length, content = int.from_bytes(head[8:], "big"), start + 16
        end = size if length == 0 else start + length  # 0: up to the end of the file
        if not content <= end <= size or len(kind) != 4 or (number == 0 and kind != b"ftyp"):
            raise ValueError("this is no whole .mp4 file")
        yield Box(kind, start, content, end)
        start = end
    raise ValueError(f"it has more than {_MAX_BOXES} boxes")


def _end_of_others(file: IO[bytes]) -> int:
    """Return where the boxes end that were there before ours."""
    found = list(boxes(file))
    if _is_ours(file, found[-1]):
        return found.pop().start
    last = found[-1]
    file.seek(last.start)
    if last.kind in _BOUND_TO_THE_END or file.read(4) == bytes(4):
        raise ValueError(f"nothing can stand behind its last box, {last.kind.decode('ascii', 'replace')!r}")
    return last.end


def _is_ours(file: IO[bytes], box: Box) -> bool:
    if box.kind != b"uuid" or box.end - box.content < len(KIND):
        return False
    file.seek(box.content)
    return file.read(len(KIND)) == KIND
