"""Canonical bytes and digests: one place decides when two things are the same.

Canonical JSON keeps the type of every value (1, 1.0, true and "1" are four values), ignores the order of keys and
refuses at any depth what has no canonical form (sets, bytes, NaN, objects), instead of guessing.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

# made once: with other than its default options `json.dumps` makes one at every call
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(data: Any) -> bytes:
    """Return the canonical JSON of plain data: dict with text keys, list, tuple, str, int, float, bool, None.

    Raises:
        TypeError: something in it is not plain data.
        ValueError: a float is not finite.
    """
    _refuse_unplain(data)
    return _ENCODER.encode(data).encode()


def digest(data: Any) -> str:
    """Return the SHA-256 of the canonical JSON of plain data, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(data)).hexdigest()


def digest_texts(texts: Any) -> str:
    """Return the same as `digest` for lists of nothing but texts, at any depth, without looking through them first."""
    return hashlib.sha256(json.dumps(texts, separators=(",", ":")).encode()).hexdigest()


def digest_pair(first: str, second: str) -> str:
    """Return the same as `digest([first, second])` for two digests. A hundred thousand items need one each."""
    return hashlib.sha256(f'["{first}","{second}"]'.encode()).hexdigest()


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_unplain(data: Any) -> None:
    # exact types: a bool is no int here, and an enum or numpy scalar would only pretend to be plain
    kind = type(data)
    if kind in (str, int, bool) or data is None:
        return
    if kind is float:
        if not math.isfinite(data):
            raise ValueError(f"{data} has no canonical form")
    elif kind is dict:
        for key, value in data.items():
            if type(key) is not str:
                raise TypeError(f"a key must be text, not {type(key).__name__}: {key!r}")
            if type(value) is not str:  # most are: a call for each would take longer than the digest
                _refuse_unplain(value)
    elif kind in (list, tuple):
        for value in data:
            if type(value) is not str:
                _refuse_unplain(value)
    else:
        raise TypeError(f"{kind.__name__} has no canonical form: {data!r}")
