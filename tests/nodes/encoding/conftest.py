"""The LTX-2 miniature, drawn clips, and the engine's own context over a store in a temporary folder."""

from types import SimpleNamespace

import numpy as np
import pytest

from vflow.engine.contexts import NodeContext, World
from vflow.engine.keys import digest_file
from vflow.engine.lending import Lender
from vflow.engine.steps import Step
from vflow.engine.store import Store
from vflow.engine.values import Items
from vflow.nodes.models import source
from vflow.nodes.values import VAE, Caption, TextEncoder, Window

HEAVY = SimpleNamespace(node=SimpleNamespace(light=False), links={})  #: what a context asks of its node


class Studio:
    """Makes clips and encodes them."""

    def __init__(self, folder):
        self.folder = folder
        self.world = World(Store(folder / "store"), lender=Lender())
        self.events = []
        self.world.bus.listen(self.events.append)
        self.context = NodeContext(self.world, Step("encode", bound=HEAVY, index=0))
        self.vae, self.text_encoder = self.recipe(VAE), self.recipe(TextEncoder)
        self.vae.fetch(self.context)

    def recipe(self, kind):
        return kind(source=source.resolve("tiny://ltx2?random", kind.part, self.context), dtype="float32")

    def clip(self, name, width=64, height=64, frames=9):
        """Write a clip and return a window on all of it."""
        from vflow.nodes.data.decode import write_video

        path = self.folder / name
        pixels = np.random.default_rng(frames + len(name)).integers(0, 255, (frames, height, width, 3), np.uint8)
        write_video(path, pixels, 25.0)
        digest = digest_file(path)
        self.context.locate(digest, path)
        self.context.label(digest, name)
        size = {"scaled": (width, height), "offset": (0, 0), "width": width, "height": height}
        return Window(clip=digest, indices=tuple(range(frames)), fps=25.0, **size)

    def clips(self, *windows):
        return Items.of({f"row {number}": window for number, window in enumerate(windows)})

    def captions(self, *texts):
        return Items.of({f"row {number}": Caption(text=text) for number, text in enumerate(texts)})

    def bytes_of(self, value):
        return self.context.blob_path(value.blob).read_bytes()

    def tensors_of(self, value):
        from vflow.nodes.encoding.tensors import read

        return read(self.context.blob_path(value.blob))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture
def studio(shared):
    shared.events.clear()
    yield shared
    shared.world.stopping = False
    shared.world.lender.keep_only(set())
