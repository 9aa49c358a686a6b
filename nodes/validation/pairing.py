"""Which first frame belongs to which prompt. Light."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vflow.engine.problems import GraphError, Problem
from vflow.engine.values import Items
from vflow.nodes.values import Image


def paired(prompts: Sequence[str], images: Items[Image]) -> tuple[tuple[str, Image], ...]:
    """Return an image for the row of every prompt.

    By row, where every prompt's row has an image; else one image serves all prompts, and equal numbers of both belong
    together in their order.

    Raises:
        GraphError: none of these is so.
    """
    by_row = images.by_row()
    if all(row in by_row for row in prompts):
        return tuple((row, by_row[row]) for row in prompts)
    if len(images) == 1:
        return tuple((row, images[0]) for row in prompts)
    if len(images) == len(prompts):
        return tuple(zip(prompts, images.values, strict=True))
    told = f"{len(prompts)} prompts ({_some(prompts)}) and {len(images)} images ({_some(images.rows)})"
    remedy = "give one image, as many as prompts, or images and prompts of the same clips"
    raise GraphError(Problem(f"it is not clear which image belongs to which prompt: {told}", remedy, "inputs.images"))


def size_problems(images: Items[Image], width: int, height: int) -> Iterator[Problem]:
    """Yield a problem if images are of another size than the clips that begin with them."""
    other = [(row, image) for row, image in images.items() if (image.width, image.height) != (width, height)]
    if other:
        row, image = other[0]
        found = f"{len(other)} images are of another size than the clips, {width}x{height}: {row} is"
        remedy = f"write resolution: {width}x{height} where they come from"
        yield Problem(f"{found} {image.width}x{image.height}", remedy, "inputs.images")


def _some(rows: Sequence[str]) -> str:
    return ", ".join(rows[:3]) + (", ..." if len(rows) > 3 else "")
