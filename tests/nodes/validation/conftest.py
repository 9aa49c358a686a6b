"""The LTX-2 miniature with an adapter, and the engine's own context over a store in a temporary folder."""

from types import SimpleNamespace

import pytest

from vflow.engine.contexts import NodeContext, World
from vflow.engine.lending import Lender
from vflow.engine.steps import Step
from vflow.engine.store import Store
from vflow.engine.values import Item, Items
from vflow.nodes.encode import EncodeText
from vflow.nodes.models import source
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.validation import Sampler, Validate
from vflow.nodes.values import VAE, Adapter, Caption, TextEncoder, Transformer

HEAVY = SimpleNamespace(node=SimpleNamespace(light=False), links={})  #: what a context asks of its node

SMALL = {"resolution": "64x64", "frames": 9, "steps": 2, "guidance": 1.0}


class Stage:
    """Models, prompts and adapters to draw with."""

    def __init__(self, folder):
        self.world = World(Store(folder / "store"), lender=Lender())
        self.events = []
        self.world.bus.listen(self.events.append)
        self.context = NodeContext(self.world, Step("draw", bound=HEAVY, index=0))
        self.transformer, self.vae = self.recipe(Transformer), self.recipe(VAE)
        self.vae.fetch(self.context)
        self.prompts = self.encoded({"square": "a red square", "disc": "a blue disc"})
        pattern = self.transformer.family.lora_targets["video_attention"].pattern
        self.lora = self.transformer.having(LoRA(rank=2, alpha=2, pattern=pattern))

    def recipe(self, kind):
        return kind(source=source.resolve("tiny://ltx2?random", kind.part, self.context), dtype="float32")

    def encoded(self, prompts):
        texts = Items.of({row: Caption(text=text) for row, text in prompts.items()}) + EncodeText().also(Items())
        found = EncodeText().run(self.context, self.recipe(TextEncoder), texts)
        return Items(Item(row, value) for row, value in zip(texts.rows, found, strict=True))

    def adapter(self, scale, step=None):
        """Make an adapter that changes what is drawn, by `scale`."""
        import torch

        with self.context.load(self.lora) as live, self.context.scratch() as folder:
            module = live.modules()["transformer"]
            for name, parameter in module.named_parameters():
                if ".lora_B." in name:
                    parameter.data = torch.full_like(parameter, scale)
            blob = self.context.put(self.transformer.family.save_adapter(module, folder), ".safetensors")
        return Adapter(blob=blob, family="ltx2", rank=2, step=step or 0)

    def sampling(self, **settings):
        return Sampler(**{**SMALL, **settings}).run(self.context, self.vae, self.prompts)

    def draw(self, *adapters, transformer=None, **settings):
        items = Items.of({f"adapter {number}": adapter for number, adapter in enumerate(adapters)})
        return list(Validate().run(self.context, transformer or self.lora, self.sampling(**settings), items))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture
def stage(shared):
    shared.events.clear()
    yield shared
    shared.world.stopping = False
    shared.world.lender.keep_only(set())
