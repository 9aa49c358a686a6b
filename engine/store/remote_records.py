"""Records that come from elsewhere: read as data, and taken only where every part of them is what it must be."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from vflow.engine.store.record import Record
from vflow.engine.values import blobs_of, output_from_json

#: Bytes of a record's file; more is not read.
LARGEST = 64 << 20

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]{1,20}){0,3}")
_NAME = re.compile(r"[0-9a-zA-Z_-]{0,128}")
#: Files in which other programs find code to run; nothing in vflow writes them.
_CODE = frozenset((".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".py"))
_DETAILS = {
    "node_type": str,
    "version": int,
    "settings": dict,
    "inputs": dict,
    "environment": dict,
    "facts": dict,
    "graph": str,
    "node": str,
}


def checked(key: str, data: bytes) -> Record:
    """Return the record of a key from the bytes of its file.

    Raises:
        ValueError: it is torn, that of another key, too large, not a record, or of values that this version lacks.
    """
    if len(data) > LARGEST:
        raise ValueError("it is too large")
    try:
        record = Record.from_file(key, data)
        _check(record, json.loads(data)["record"])
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"not a record: {type(error).__name__}") from error
    return record


def _check(record: Record, read: dict[str, Any]) -> None:
    for number in (read["seconds"], read["created"]):
        if type(number) not in (int, float) or not math.isfinite(number) or number < 0:
            raise ValueError("a number")
    details = read["details"]
    if any(type(details[name]) is not kind for name, kind in _DETAILS.items()):
        raise ValueError("details")
    if not _NAME.fullmatch(details.get("work", "")):
        raise ValueError("the name of a work folder")
    for digest, size, suffix in read["blobs"]:
        if not _DIGEST.fullmatch(digest) or type(size) is not int or size < 0:
            raise ValueError("a blob")
        if not _SUFFIX.fullmatch(suffix) or any(f".{part.lower()}" in _CODE for part in suffix.split(".")):
            raise ValueError("a blob's suffix")
    sizes = record.sizes
    # what the output refers to is exactly what is fetched and checked
    for blob in blobs_of(output_from_json(read["output"])):
        if sizes.get(blob.digest) != blob.size or not _SUFFIX.fullmatch(blob.suffix):
            raise ValueError("a blob that the record does not name")
