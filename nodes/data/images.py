"""The nodes that give first frames to image to video: of clips that are there, or from a folder of pictures. Light."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node, private
from vflow.engine.values import Items
from vflow.nodes.data.buckets import parse_size
from vflow.nodes.data.rules import Size
from vflow.nodes.values import Image, Window


class Images(Node):
    """Take the first frame of every clip window, as the still that image to video begins with.

    The stills have the rows of their clips: so a training finds the image of each sample, and a sampler that of each
    prompt where the clips' own captions are the prompts.
    """

    resolution: Size | None = Field(None, description="`WxH` in pixels; empty: the window's own.")

    def run(self, context: Context, clips: Items[Window]) -> Iterator[Image]:
        """Yield one still per window, scaled to cover `resolution` and cut from the middle.

        Raises:
            Failure: a clip cannot be decoded; names it.
        """
        from vflow.nodes.data.stills import first_frames

        yield from first_frames(context, clips, parse_size(self.resolution) if self.resolution else None)


class Stills(Node):
    """Take the pictures of a folder as stills, scaled to cover one size and cut from the middle.

    Clips in the folder give their first frame. The stills are in the order of their names, which are their rows: the
    first belongs to a sampler's first prompt.
    """

    light: ClassVar[bool] = True

    source: str = private(
        when="path",
        min_length=1,
        description="Folder of pictures (.png .jpg .jpeg .webp .bmp .tif .tiff) and clips, sub-folders too, relative "
        "to the current folder; or drawn ones: sample://shapes?clips=2.",
    )
    resolution: Size = Field(description="`WxH` in pixels: as the sampler draws.")

    def run(self, context: Context) -> Items[Image]:
        """Read the folder; what was read before is not read again.

        Raises:
            GraphError: there is no such folder, it holds no picture or too many, or some are damaged; names them.
        """
        from vflow.nodes.data.stills import read_stills

        return read_stills(context, self.source, *parse_size(self.resolution))
