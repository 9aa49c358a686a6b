"""A text in the metadata of a safetensors file, under the key `vflow`. Tensors are copied byte for byte.

The format: the header's length as 8 bytes, little-endian; the header, JSON padded with spaces; the tensors' bytes.
https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

KEY = "vflow"
#: longer headers are not read: JSON takes many times its length in memory
MAX_HEADER = 8 << 20

_METADATA = "__metadata__"
_ALIGNMENT = 8
_PIECE = 1 << 20


def write(source: Path, target: Path, text: str) -> None:
    """Copy a file with the text in its metadata; keys are sorted, so equal content gives equal bytes.

    Raises:
        ValueError: `source` is no safetensors file, or the text does not fit.
        OSError: the disk is full, or not readable or writable.
    """
    with source.open("rb") as file:
        header = _header(file)
        metadata = {**header.pop(_METADATA, {}), KEY: text}
        packed = json.dumps({_METADATA: dict(sorted(metadata.items())), **header}, separators=(",", ":")).encode()
        packed += b" " * (-len(packed) % _ALIGNMENT)
        if len(packed) > MAX_HEADER:
            raise ValueError(f"with its recipe the header would be longer than {MAX_HEADER >> 20} MiB")
        with target.open("wb") as out:
            out.write(len(packed).to_bytes(8, "little") + packed)
            shutil.copyfileobj(file, out, _PIECE)


def read(file: Path) -> str | None:
    """Return the text, or None where the file carries none.

    Raises:
        ValueError: it is no safetensors file.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        found = _header(opened).get(_METADATA, {}).get(KEY)
    return found if isinstance(found, str) else None


def _header(file: IO[bytes]) -> dict[str, Any]:
    """Read the header; the file then stands at the first byte of the tensors."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= os.fstat(file.fileno()).st_size - 8:
        raise ValueError("this is no safetensors file: its header has no possible length")
    if length > MAX_HEADER:
        raise ValueError(f"its header is longer than {MAX_HEADER >> 20} MiB")
    try:
        header = json.loads(file.read(length).decode())
    except RecursionError as error:
        raise ValueError("its header nests too deep") from error
    if not isinstance(header, dict) or not isinstance(header.get(_METADATA, {}), dict):
        raise ValueError("this is no safetensors file: its header is of another form")
    return header
