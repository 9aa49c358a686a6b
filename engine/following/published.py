"""Files that a run put into its folder: adapters and clips on the way, and its outputs at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

Kind = Literal["clip", "image", "adapter", "other"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys((".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif"), "clip"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp"), "image"),
    ".safetensors": "adapter",
}  # type: ignore[assignment]
_STEP = re.compile(r"step-?(\d+)")
_NUMBERED = re.compile(r"\d+-(.+)")
_MOST_OUTPUTS = 5000


@dataclass(frozen=True, slots=True)
class Published:
    """A file of a run. `path` is relative to its folder; `step` and `prompt` as far as the name says them.

    `node` is empty for what the run exported at its end; `time` in seconds since the epoch.
    """

    time: float
    node: str
    path: str
    step: int | None = None
    kind: Kind = "other"
    prompt: str = ""


def published(path: str, node: str, when: float) -> Published:
    """Tell by a file's name what it is: `samples/step-000100/01-a-red-ball.mp4` is the clip of a prompt at a step."""
    parts = PurePosixPath(path)
    steps = _STEP.findall(path)
    kind = _KINDS.get(parts.suffix.lower(), "other")
    prompt = ""
    if kind in ("clip", "image"):
        named = _NUMBERED.fullmatch(parts.stem)
        prompt = (named[1] if named else parts.stem).replace("-", " ")
    return Published(when, node, path, int(steps[-1]) if steps else None, kind, prompt)


def outputs(folder: Path) -> list[Published]:
    """Return what a run exported into its folder, in the order of the names; nothing where it cannot be read."""
    found = []
    try:
        for path in sorted((folder / "outputs").rglob("*"))[:_MOST_OUTPUTS]:
            if path.is_file() and not path.name.startswith("."):
                found.append(published(path.relative_to(folder).as_posix(), "", path.stat().st_mtime))
    except OSError:
        pass
    return found
