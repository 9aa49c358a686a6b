"""What others may have of plain data and values: no paths of this machine, no secrets, no words of the user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vflow.engine import frozen, packfile, secrets
from vflow.engine.problems import Problem
from vflow.engine.values import Value, without_words

_ABSOLUTE = re.compile(r"\A(?:[/~\\]|[A-Za-z]:[/\\])")


def portable(data: Any) -> Any:
    """Return plain data with the last part of each absolute path of this machine in its place."""
    if isinstance(data, str):
        if not _ABSOLUTE.search(data) or "\0" in data or not os.path.lexists(os.path.expanduser(data)):  # noqa: PTH111
            return data
        return os.path.basename(os.path.expanduser(data).rstrip("/\\")) or "files"  # noqa: PTH111, PTH119
    if isinstance(data, Mapping):
        return {name: portable(value) for name, value in data.items()}
    return [portable(value) for value in data] if isinstance(data, (list, tuple)) else data


def portable_value(value: Value) -> Value:
    """Return a value without paths of this machine; where it would be another value then, it is sealed later."""
    told = value.to_json()
    return type(value).model_validate(portable(told["value"]))


def portable_recipe(value: Value) -> Value | None:
    """Return a recipe so, without the user's words; nothing else is told."""
    return portable_value(without_words(value)) if frozen.recipes_only(value) is not None else None


def leaks(files: Mapping[str, bytes | Path]) -> Iterator[Problem]:
    """Yield what the files would give away: texts are looked at for everything, the others for secrets."""
    values = {name: value.encode() for name, value in secrets.secrets().items()}
    for file, content in sorted(files.items()):
        if isinstance(content, bytes):
            found = secrets.leak(content.decode())
        else:
            found = next((f"the secret in ${name}" for name in _secrets_in(content, values)), None)
        if found:
            yield Problem(f"the pack would hold {found}, in {file}", "take it out of the graph and run it again")


def _secrets_in(path: Path, values: Mapping[str, bytes]) -> Iterator[str]:
    longest = max(map(len, values.values()), default=0)
    before = b""
    for chunk in packfile.chunks(path) if longest else ():
        data = before + chunk
        yield from (name for name, value in values.items() if value in data)
        before = data[-longest:]
