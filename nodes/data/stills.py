"""Stills as PNG in the store: the first frames of windows, and the pictures of a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, GraphError, Problem
from vflow.engine.values import Blob, Item, Items
from vflow.nodes.data.clips import SUFFIXES
from vflow.nodes.data.located import frames_of, located
from vflow.nodes.data.samples import folder_of
from vflow.nodes.values import Image, Window

if TYPE_CHECKING:
    import numpy as np

    from vflow.engine.context import Context

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
#: rises when other pixels would come out of the same file
VERSION = 1
#: stills of a folder are read while planning
MOST = 1000
_PNG = ".png"


def first_frames(context: Context, clips: Items[Window], size: tuple[int, int] | None) -> Iterator[Image]:
    """Yield the first frame of each window, in order; brought to a size (width, height) where one is given.

    Raises:
        Failure: a clip cannot be decoded.
    """
    from vflow.nodes.data.pictures import covering

    for done, (window, path, name) in enumerate(located(clips, context), 1):
        if context.stopping:
            context.interrupted()
        first = window.model_copy(update={"indices": window.indices[:1]})
        pixels = frames_of(first, path, name)[0]
        image = _kept(covering(pixels, *(size or (window.width, window.height))), context)
        context.progress(done, len(clips), "image")
        yield image


def read_stills(context: Context, source: str, width: int, height: int) -> Items[Image]:
    """Return the pictures of a folder at one size, under their names.

    Raises:
        GraphError: there is no such folder, it holds no picture or too many, or some cannot be read.
    """
    folder = folder_of(source, context)
    paths = {path.relative_to(folder).as_posix(): path for path in _find(folder)}
    if not 0 < len(paths) <= MOST:
        held = f"{len(paths)} pictures, more than {MOST}," if paths else "no pictures or clips"
        raise GraphError(Problem(f"there are {held} in {folder}", f"put pictures there ({_endings()})", "source"))
    digests = context.digests_of(list(paths.values()))
    keys = {name: f"{digests[path]}:{width}x{height}:{VERSION}" for name, path in paths.items()}
    known = context.recall_many("still", list(keys.values()))
    rows, items, problems = _rows(paths), [], []
    for name, path in paths.items():
        image = _remembered(known.get(keys[name]), width, height, context)
        if image is None:
            try:
                image = _read(path, width, height, context)
            except Failure as failure:
                problems.append(Problem(failure.message, failure.remedy, "source"))
                continue
            context.record_fact("still", keys[name], {"digest": image.blob.digest, "size": image.blob.size})
        context.pin(f"file {name}", digests[path])
        context.label(rows[name], name)
        items.append(Item(rows[name], image))
    if problems:
        raise GraphError(problems)
    context.report({"images": len(items), "size": f"{width}x{height}"})
    return Items(items)


def _find(folder: Path) -> Iterator[Path]:
    """Yield pictures and clips below a folder by name; hidden ones are passed over."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURES | SUFFIXES:
                yield Path(place, name)


def _rows(paths: dict[str, Path]) -> dict[str, str]:
    """Name each still by its path without the ending, or with it where two would have the same name."""
    bare = {name: name.removesuffix(path.suffix) for name, path in paths.items()}
    times = Counter(bare.values())
    return {name: row if times[row] == 1 else name for name, row in bare.items()}


def _remembered(known: dict[str, object] | None, width: int, height: int, context: Context) -> Image | None:
    if known is None:
        return None
    blob = Blob(digest=str(known["digest"]), size=int(str(known["size"])), suffix=_PNG)
    try:
        context.blob_path(blob)
    except Failure:
        return None
    return Image(blob=blob, width=width, height=height)


def _read(path: Path, width: int, height: int, context: Context) -> Image:
    from vflow.nodes.data.pictures import covering, read_picture
    from vflow.nodes.data.reading import Unreadable

    remedy = "replace it, or take it out of the folder"
    try:
        pixels = _first_frame(path) if path.suffix.lower() in SUFFIXES else read_picture(path)
    except Unreadable as error:
        raise Failure(f"{path.name} {error}", remedy) from error
    except OSError as error:
        raise Failure(f"{path.name} cannot be read ({error.strerror})", remedy) from error
    return _kept(covering(pixels, width, height), context)


def _first_frame(path: Path) -> np.ndarray:
    from vflow.nodes.data.clips import Footage
    from vflow.nodes.data.decode import decode
    from vflow.nodes.data.probe import probe

    footage = Footage.from_probe(probe(path))
    width, height = footage.width, footage.height
    size = {"scaled": (width, height), "offset": (0, 0), "width": width, "height": height}
    frame: np.ndarray = decode(path, Window(clip="", indices=(0,), fps=1.0, rotation=footage.rotation, **size))[0]
    return frame


def _kept(pixels: np.ndarray, context: Context) -> Image:
    from vflow.nodes.data.pictures import to_png

    height, width = pixels.shape[:2]
    return Image(blob=context.put(to_png(pixels), _PNG), width=width, height=height)


def _endings() -> str:
    return " ".join(sorted(PICTURES))
