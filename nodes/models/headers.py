"""What a safetensors file says of itself in its header, read without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vflow.engine.problems import Failure

#: the format's own bound on a header
_MOST = 100_000_000


@dataclass(frozen=True)
class Header:
    """Names and shapes of the tensors in a file, and its metadata."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def read_header(file: Path) -> Header:
    """Read the header: its length in 8 bytes, little-endian, then JSON.

    Raises:
        Failure: the file is missing or no safetensors file.
    """
    try:
        told = file.stat()
        return _read(file, told.st_size, told.st_mtime_ns, told.st_ino)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Failure(
            f"{file} is no safetensors file: {error}", "give a whole file that ends in .safetensors"
        ) from error


@lru_cache(maxsize=64)  # every node that takes the model asks for the same ones
def _read(file: Path, size: int, *_: int) -> Header:
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(_MOST, size - 8):
            raise ValueError("its header has no possible length")
        return _parse(json.loads(opened.read(length)))


def _parse(data: dict[str, Any]) -> Header:
    metadata = {str(key): str(value) for key, value in (data.pop("__metadata__", None) or {}).items()}
    return Header({name: tuple(int(n) for n in tensor["shape"]) for name, tensor in data.items()}, metadata)
