"""What a video trainer is made of: the nodes, the values on their edges, and the model families.

What belongs where:

- `values.py`: what travels along an edge (recipes of models, windows, captions, latents, adapters, clips);
- `families/`: one folder per model family, found by itself; nothing outside it knows a family by name;
- `models/`: from a model's name to a recipe, its files, its live form, and what is done to it (LoRA, offload);
- `data/`: clips, captions, prompts, stills; `encode.py`, `encoding/`: text, clips, stills to what the loop reads;
- `training/`: the loop; `validation/`: how to draw, and drawing.

Declarations import nothing heavy: torch and its kin stand in sibling modules that `run` imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vflow.engine.node import Node

#: modules that declare nodes, below this package; a new one is added here
MODULES = (
    "models.nodes",
    "models.unfreeze",
    "data.bucket_videos",
    "data.prompts",
    "data.images",
    "encode",
    "training.train_loop",
    "validation.sampler",
    "validation.validate",
    "validation.strip",
)


def declarations() -> tuple[type[Node], ...]:
    """Import every module that declares nodes and return the node classes of this distribution (entry point)."""
    from vflow.engine.node import Node

    for name in MODULES:
        import_module(f"{__name__}.{name}")
    return tuple(cls for cls in Node.types.values() if cls.__module__.startswith(f"{__name__}."))
