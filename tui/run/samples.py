"""The clips and pictures of a run, by prompt and by stage: what was drawn on the way, and what the run gave.

Names are read as the nodes write them: `samples/step-000100/<prompt>.mp4` on the way, below `outputs/<output>/` at the
end, there perhaps with a folder for each step or each row. Pure but for looking into the run's folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal, Protocol

Kind = Literal["clip", "image"]

_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys((".mp4", ".webm", ".mkv", ".mov", ".gif"), "clip"),
        **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp"), "image"),
    }
)
_FOLDERS = ("samples", "outputs")
_STEP = re.compile(r"step-(\d+)")
#: names that say nothing: the row or the output above does
_PLAIN_NAMES = ("image", "picture", "video")
#: how many files of a run are looked at
_MOST = 20_000


class PublishedLike(Protocol):
    """A file that a run said it wrote: see `vflow.engine.following`."""

    @property
    def path(self) -> str | Path:
        """Where it lies, relative to the run's folder."""


@dataclass(frozen=True)
class Stage:
    """When samples were drawn: on the way (`place` is `samples`), or as an output of this name; `step` where known."""

    place: str
    step: int | None = None

    @property
    def label(self) -> str:
        """What it is called."""
        if self.place == "samples":
            return "samples" if self.step is None else f"step {self.step}"
        return self.place if self.step is None else f"{self.place} {self.step}"

    @property
    def order(self) -> tuple[bool, str, float]:
        """What stages are sorted by: those on the way first, each by its steps."""
        return self.place != "samples", self.place, float("inf") if self.step is None else self.step


@dataclass(frozen=True)
class Sample:
    """One file: a clip or a picture."""

    path: Path
    prompt: str
    stage: Stage
    kind: Kind


@dataclass(frozen=True)
class Gallery:
    """All samples of a run. `name` is what the run is called, `words` are prompts in full where they are known."""

    name: str = ""
    samples: Mapping[tuple[str, Stage], Sample] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts by their names; pictures of all prompts behind them."""
        kinds = {prompt: sample.kind for (prompt, _), sample in self.samples.items()}
        return tuple(sorted(kinds, key=lambda prompt: (kinds[prompt] == "image", prompt)))

    def stages(self, prompt: str) -> tuple[Stage, ...]:
        """The stages at which a prompt was drawn, in order."""
        return tuple(sorted((stage for row, stage in self.samples if row == prompt), key=lambda stage: stage.order))

    def at(self, prompt: str, stage: Stage) -> Sample | None:
        """Return the sample of a prompt at a stage: else the newest before it, else the first there is."""
        if found := self.samples.get((prompt, stage)):
            return found
        own = self.stages(prompt)
        before = [one for one in own if one.order <= stage.order]
        nearest = before[-1] if before else own[0] if own else None
        return self.samples[prompt, nearest] if nearest else None

    def said(self, prompt: str) -> str:
        """Return a prompt in words: in full, or as far as the file's name has them."""
        return self.words.get(prompt) or _spoken(prompt)


def gather(folder: Path, published: Iterable[PublishedLike] = ()) -> Gallery:
    """Find the clips and pictures in a run's folder, and those that it said it wrote, there or not."""
    names = {PurePosixPath(one.path) for one in published} | set(_files(folder))
    samples: dict[tuple[str, Stage], Sample] = {}
    for name in sorted(names):
        if sample := _sample(folder, name):
            samples.setdefault((sample.prompt, sample.stage), sample)
    return Gallery(folder.name, samples, _words(folder, {prompt for prompt, _ in samples}))


def _files(folder: Path) -> Iterator[PurePosixPath]:
    """Yield files below the folders that hold samples, relative to the run's; a folder that cannot be read is empty."""
    left = _MOST
    for top in _FOLDERS:
        for root, folders, files in os.walk(folder / top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            left -= len(files)
            if left < 0:
                return
            yield from (PurePosixPath(Path(root, name).relative_to(folder).as_posix()) for name in files)


def _sample(folder: Path, name: PurePosixPath) -> Sample | None:
    kind = _KINDS.get(name.suffix.lower())
    if kind is None or name.name.startswith(".") or name.is_absolute() or ".." in name.parts or len(name.parts) < 2:
        return None
    top, *inside = name.parts[:-1]
    place = top if top != "outputs" or not inside else inside.pop(0)
    step = None
    rows = []
    for part in inside:
        if found := _STEP.fullmatch(part):
            step = int(found[1])
        else:
            rows.append(part)
    prompt = name.stem
    if prompt in _PLAIN_NAMES:
        prompt = rows[-1] if rows else place
    elif found := _STEP.fullmatch(prompt):
        prompt, step = rows[-1] if rows else place, int(found[1])
    return Sample(folder.joinpath(*name.parts), prompt, Stage(place, step), kind)


# prompts in words


def _words(folder: Path, prompts: Iterable[str]) -> dict[str, str]:
    """Find prompts in full among the texts of the run's graph: their rows are their number and their first words."""
    from vflow.engine.document import MAX_BYTES, parse
    from vflow.engine.folder import GRAPH

    try:
        with (folder / GRAPH).open(encoding="utf-8") as file:
            root = parse(file.read(MAX_BYTES)).root
    except (OSError, UnicodeDecodeError):
        return {}
    lists = list(_texts(root.plain())) if root is not None else []
    found = {}
    for prompt in prompts:
        number, _, begin = prompt.partition("-")
        if number.isdecimal() and begin and (text := _of(int(number), begin, lists)):
            found[prompt] = text
    return found


def _texts(data: Any) -> Iterator[list[str]]:
    if isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        if data and all(isinstance(one, str) for one in data):
            yield data
        for value in data:
            yield from _texts(value)


def _of(number: int, begin: str, lists: Iterable[list[str]]) -> str:
    """Return the text that a row with this number and beginning was made of; "" where that is not clear."""
    fitting = [[text for text in texts if _plain(text).startswith(begin)] for texts in lists]
    for texts, fits in zip(lists, fitting, strict=True):
        if number <= len(texts) and texts[number - 1] in fits:
            return texts[number - 1]
    left = {text for fits in fitting for text in fits}
    return left.pop() if len(left) == 1 else ""


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", letters))


def _spoken(prompt: str) -> str:
    number, _, words = prompt.partition("-")
    return words.replace("-", " ") if number.isdecimal() and words else prompt.replace("-", " ")
