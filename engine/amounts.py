"""Sizes and times as people write them: `200GB`, `30d`."""

from __future__ import annotations

import re

_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_size(text: str) -> int:
    """Return a number of bytes: `500MB`, `1.5 TB`, `2GiB`, or a bare number of bytes.

    Raises:
        ValueError: it is no size; says how to write one.
    """
    number, unit = _parts(text)
    if unit.lower() not in _SIZES:
        raise ValueError(f"{text!r} is no size: write a number and kB, MB, GB, TB, KiB, MiB, GiB or TiB, as in 200GB")
    return round(number * _SIZES[unit.lower()])


def parse_duration(text: str) -> float:
    """Return seconds: `90s`, `45min`, `12h`, `30d`, `2w`; a bare number only when it is 0.

    Raises:
        ValueError: it is no duration; says how to write one.
    """
    number, unit = _parts(text)
    if unit not in _SECONDS and (unit or number):
        raise ValueError(f"{text!r} is no duration: write a number and s, min, h, d or w, as in 30d")
    return number * _SECONDS.get(unit, 0)


def _parts(text: str) -> tuple[float, str]:
    """Split into number and unit; what is neither comes back as a unit that nobody knows."""
    found = _AMOUNT.fullmatch(text)
    return (float(found[1]), found[2]) if found else (1.0, "?")
