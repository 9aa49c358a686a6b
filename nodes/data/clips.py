"""Clips as a folder holds them: found, hashed, probed (kept per content), and with their captions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import keys
from vflow.engine.problems import Failure, Problem
from vflow.nodes.data.windows import Timeline

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.data.bucket_videos import BucketVideos

SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi"})
#: Rises when `probe.probe` would say something else of the same file.
PROBE_VERSION = 2
#: How many names a problem lists.
_NAMED = 5


@dataclass(frozen=True)
class Footage:
    """What `probe.probe` found in a video file. `width` and `height` are those shown: square pixels, turned.

    `sound` tells whether it has a sound track.
    """

    width: int
    height: int
    rotation: int
    timeline: Timeline
    hdr: bool
    sound: bool

    @classmethod
    def from_probe(cls, data: dict[str, Any]) -> Footage:
        """Read what `probe.probe` wrote."""
        width, height = round(data["width"] * Fraction(*data["sar"])), data["height"]
        if data["rotation"] in (90, 270):
            width, height = height, width
        timeline = _timeline(data["times"], Fraction(*data["tick"]))
        return cls(width, height, data["rotation"], timeline, data["hdr"], data["sound"])


@dataclass(frozen=True)
class Clip:
    """One file of the folder. `name` is its path below the folder, with slashes."""

    name: str
    path: Path
    digest: str
    probed: dict[str, Any]
    caption: str

    @cached_property
    def footage(self) -> Footage:
        """What is in it."""
        return Footage.from_probe(self.probed)


def read_clips(
    node: BucketVideos, context: Context, folder: Path, leave_out: Callable[[str, str], None]
) -> tuple[list[Clip], list[Problem]]:
    """Return the usable clips of a folder by name, and everything that is wrong.

    Broken files, and clips without a caption, are left out (name, reason) or are problems, as the node says.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in find_clips(folder)}
    if not paths:
        kinds = " ".join(sorted(SUFFIXES))
        return [], [Problem(f"no clips in {folder}", f"put video files there ({kinds}), in sub-folders too", "source")]
    problems: list[Problem] = []
    clips: list[Clip] = []
    captions = Captions(node, leave_out)
    for name, digest, probed in _probed(context, paths):
        if "broken" in probed:
            if node.on_error == "stop":
                remedy = "replace or remove it, or leave broken files out with on_error: skip"
                problems.append(Problem(f"{name} {probed['broken']}", remedy, "source"))
            else:
                leave_out(name, probed["broken"])
        elif (caption := captions.read(name, paths[name])) is not None:
            clips.append(Clip(name, paths[name], digest, probed, caption))
            context.pin(f"file {name}", digest)
            context.pin(f"file {name} (caption)", keys.digest_bytes(caption.encode()))
    return clips, problems + captions.problems(len(paths))


def known_footage(context: Context, digest: str) -> Footage | None:
    """Return what a clip was found to hold when its folder was read; None: nobody has looked at it."""
    probed = context.recall("probe", _key(digest))
    return Footage.from_probe(probed) if probed and "broken" not in probed else None


def footage_of(context: Context, digest: str, path: Path) -> Footage:
    """Return what a clip holds, looked at now where nobody has yet.

    Raises:
        Unreadable, OSError: as `probe.probe`.
    """
    from vflow.nodes.data.probe import probe

    return Footage.from_probe(context.remember("probe", _key(digest), lambda: probe(path)))


def find_clips(folder: Path) -> Iterator[Path]:
    """Yield the video files below a folder, by name; hidden ones are passed over, linked folders visited once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        stat = Path(place).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 - 3x faster
                yield Path(place, name)


class Captions:
    """Reads captions and remembers what is wrong with them, to be told together."""

    def __init__(self, node: BucketVideos, leave_out: Callable[[str, str], None]) -> None:
        self._node, self._leave_out = node, leave_out
        self._missing: list[str] = []
        self._empty: list[str] = []
        self._problems: list[Problem] = []

    def read(self, name: str, clip: Path) -> str | None:
        """Return the caption beside a clip; None where the clip cannot be used without."""
        file = clip.with_suffix(self._node.caption_extension)
        try:
            caption = file.read_bytes().decode("utf-8-sig").strip()
        except FileNotFoundError:
            return self._without(name, self._missing, f"has no caption ({file.name})")
        except UnicodeDecodeError as error:
            remedy = "save it as UTF-8"
            self._problems.append(Problem(f"the caption {file} is not UTF-8 (byte {error.start})", remedy, "source"))
            return None
        except OSError as error:
            self._problems.append(Problem(f"the caption {file} cannot be read ({error.strerror})", "", "source"))
            return None
        return caption or self._without(name, self._empty, f"has an empty caption ({file.name})")

    def _without(self, name: str, names: list[str], reason: str) -> str | None:
        names.append(name)
        if self._node.on_missing_caption == "skip":
            self._leave_out(name, reason)
        return "" if self._node.on_missing_caption == "empty" else None

    def problems(self, clips: int) -> list[Problem]:
        """Return what is wrong, of all clips."""
        found = list(self._problems)
        if self._node.on_missing_caption != "stop":
            return found
        extension = self._node.caption_extension
        remedy = f"write one beside each clip (a.mp4, a{extension}), or set on_missing_caption: skip or empty"
        if len(self._missing) == clips:
            found.append(Problem(f"no captions: none of the {clips} clips has a {extension} file", remedy, "source"))
        elif self._missing:
            found.append(Problem(f"{counted(self._missing)} no caption: {named(self._missing)}", remedy, "source"))
        if self._empty:
            found.append(Problem(f"{counted(self._empty)} an empty caption: {named(self._empty)}", remedy, "source"))
        return found


def _probed(context: Context, paths: dict[str, Path]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, digest and probe of each file; `{"broken": reason}` in place of a probe."""
    digests, unreadable = _digests(context, list(paths.values()))
    known = dict(context.recall_many("probe", [_key(digest) for digest in dict.fromkeys(digests.values())]))
    todo = {digest: path for path, digest in digests.items() if _key(digest) not in known}
    if todo:
        for digest, probed in _probe_all(todo, lambda done: context.progress(done, len(todo), "clip")):
            known[_key(digest)] = probed
            if not probed.get("passing"):
                context.record_fact("probe", _key(digest), probed)
    for name, path in paths.items():
        if path in digests:
            yield name, digests[path], known[_key(digests[path])]
        else:
            yield name, "", {"broken": unreadable[path]}


def _digests(context: Context, paths: Sequence[Path]) -> tuple[Mapping[Path, str], dict[Path, str]]:
    """Return the digests of files, and of those that cannot be read, why."""
    try:
        return context.digests_of(paths), {}
    except Failure:
        digests: dict[Path, str] = {}
        unreadable: dict[Path, str] = {}
        for path in paths:
            try:
                digests[path] = context.digest_of(path)
            except Failure as error:
                unreadable[path] = error.message
        return digests, unreadable


def _probe_all(todo: dict[str, Path], tell: Callable[[int], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    from vflow.nodes.data.probe import probe
    from vflow.nodes.data.reading import Unreadable

    def one(path: Path) -> dict[str, Any]:
        try:
            return probe(path)
        except Unreadable as error:
            return {"broken": str(error)}
        except OSError as error:
            return {"broken": f"cannot be read ({error.strerror})", "passing": True}

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "probe") as pool:
        for done, entry in enumerate(zip(todo, pool.map(one, todo.values()), strict=True), 1):
            tell(done)
            yield entry


def _key(digest: str) -> str:
    return f"{digest}:{PROBE_VERSION}"


def _timeline(times: dict[str, Any], tick: Fraction) -> Timeline:
    if "list" in times:
        return Timeline(times["list"], Fraction(times["last"]), tick)
    step, parts = times["step"]
    start = times["start"] * parts
    # ticks are divided so that an even step is a whole number of them
    return Timeline(range(start, start + step * times["count"], step), Fraction(step), tick / parts)


def counted(names: Sequence[str]) -> str:
    """Return `1 clip has`, `3 clips have`."""
    return "1 clip has" if len(names) == 1 else f"{len(names)} clips have"


def named(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
