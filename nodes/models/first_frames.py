"""What image to video asks of the models at a node, held against what is linked there. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Problem
from vflow.nodes.models.nodes import same_family
from vflow.nodes.values import VAE, ImageEncoder, Model

if TYPE_CHECKING:
    from vflow.engine.context import Context


def is_given(port: str, context: Context, inputs: Mapping[str, Any]) -> bool:
    """Tell whether there is something at a port in a preflight, known already or not."""
    return inputs.get(port) is not None or context.is_linked(port)


def task_problems(model: Model, images: bool, remedy: str, where: str = "inputs.images") -> Iterator[Problem]:
    """Yield a problem if a checkpoint for one task is used for the other, with or without `images`.

    `remedy` says how images are got here.
    """
    source, family = model.source, model.family
    wanted = "i2v" if images else "t2v"
    if source.task in (wanted, "either"):
        return
    others = [name for name, flavour in family.flavours.items() if (flavour.task or family.task) == wanted]
    other = f"load a checkpoint for it ({family.name}/{others[0]})" if others else "load another checkpoint"
    if images:
        found = f"{source.model} is for text to video and takes no first frames"
        yield Problem(found, f"leave the images out, or {other}", where)
    else:
        yield Problem(f"{source.model} is for image to video and needs first frames", remedy, where)


def encoder_problems(vae: VAE, image_encoder: ImageEncoder | None, linked: bool) -> Iterator[Problem]:
    """Yield what is missing or wrong where first frames are encoded; `linked`: there is an image encoder."""
    family = vae.family
    if not family.takes_images:
        yield Problem(f"{family.title} has no image to video", "leave the images out", "inputs.images")
    elif "image_encoder" in family.folders and not linked:
        yield Problem(
            f"{family.title} also reads features of the first frame, and there is no image encoder",
            "add a LoadImageEncoder of the same model, and link it to image_encoder",
            "inputs",
        )
    yield from same_family(vae, image_encoder)
