"""Where clips come from: a folder, or drawn sample clips, made once and kept in the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, GraphError, Problem, suggest

if TYPE_CHECKING:
    from vflow.engine.context import Context

SCHEME = "sample://"
#: The drawn data sets, with the version of each: it rises when other clips would come out.
SAMPLES = {"shapes": 1, "sounding": 1, "world": 1, "lesson": 1}
_DEFAULTS = {"clips": 24, "seed": 0}
_MOST_CLIPS = 10_000


def folder_of(source: str, context: Context) -> Path:
    """Return the absolute folder that a source names, drawing sample clips where they are not there yet.

    Raises:
        GraphError: there is no such folder or sample.
        Failure: sample clips cannot be written.
    """
    if source.startswith(SCHEME):
        return _sample_folder(source.removeprefix(SCHEME), context)
    if "://" in source:
        known = ", ".join(SCHEME + name for name in SAMPLES)
        remedy = f"give a folder on this machine, or a sample ({known})"
        raise GraphError(Problem(f"{source} is no folder", remedy, "source"))
    folder = Path(source).expanduser().absolute()
    if not folder.exists():
        raise GraphError(Problem(f"there is no folder {folder}", "give the folder that holds the clips", "source"))
    if not folder.is_dir():
        raise GraphError(Problem(f"{folder} is a file", "give the folder that it lies in", "source"))
    return folder


def _sample_folder(text: str, context: Context) -> Path:
    name, _, query = text.partition("?")
    if name not in SAMPLES:
        raise GraphError(Problem(f"there is no sample {name!r}", suggest(name, SAMPLES), "source"))
    options = _options(query)
    folder = context.store_folder / "samples" / f"{name}-v{SAMPLES[name]}-{options['clips']}-{options['seed']}"
    if not folder.is_dir():
        context.log(f"drawing {options['clips']} sample clips")
        try:
            _draw(folder, context, name, **options)
        except OSError as error:
            remedy = "make room on the disk of the store, or choose another with --cache"
            raise Failure(f"the sample clips cannot be written to {folder} ({error.strerror})", remedy) from error
    return folder


def _draw(folder: Path, context: Context, name: str, clips: int, seed: int) -> None:
    """Draw into a new folder and rename it: it is there completely or not at all, whoever else draws it too."""
    from vflow.nodes.data import shapes, world

    with context.scratch() as scratch:
        drawn = scratch / "drawn"
        drawn.mkdir()
        if name in ("shapes", "sounding"):
            shapes.draw_shapes(drawn, clips, seed, sounding=name == "sounding")
        else:
            world.draw_clips(drawn, (world.lesson if name == "lesson" else world.general)(clips, seed))
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            drawn.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _options(query: str) -> dict[str, int]:
    from urllib.parse import parse_qsl

    options = dict(_DEFAULTS)
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in options:
            raise GraphError(Problem(f"samples have no option {key!r}", suggest(key, options), "source"))
        if not value.isascii() or not value.isdigit():
            raise GraphError(Problem(f"{key}={value} is no whole number", f"write {key}={options[key]}", "source"))
        options[key] = int(value)
    if not 1 <= options["clips"] <= _MOST_CLIPS:
        raise GraphError(Problem(f"clips={options['clips']} is out of range", f"use 1 to {_MOST_CLIPS}", "source"))
    return options
