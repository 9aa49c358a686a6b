"""A picture of clips beside each other: declaration. Light; drawing itself is in `stills.py`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node, Unit
from vflow.engine.values import Items
from vflow.nodes.values import Picture, Videos


class Strip(Node):
    """Put stills of clips into one picture: of each prompt a line for every drawing of it, those of `before` on top."""

    version: ClassVar[int] = 1

    stills: Annotated[int, Unit("stills")] = Field(
        6, ge=1, le=64, description="How many stills of each clip, its first and its last among them."
    )
    height: Annotated[int, Unit("pixels")] = Field(96, ge=16, le=1024, description="Height of a still in pixels.")

    def run(self, context: Context, clips: Items[Videos], before: Videos | None = None) -> Picture:
        """Return the picture; prompts are in the order of the clips.

        Raises:
            Failure: there is no clip, or one cannot be decoded.
        """
        from vflow.nodes.validation import stills

        return stills.picture(self, context, [*([before] if before else []), *clips])
