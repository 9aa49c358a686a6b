"""The LTX-2 miniature, random latents, and the engine's own context over a store in a temporary folder."""

import json
from types import SimpleNamespace

import pytest

from vflow.engine.contexts import NodeContext, World
from vflow.engine.folder import RunFolder
from vflow.engine.keys import digest
from vflow.engine.lending import Lender
from vflow.engine.steps import Step
from vflow.engine.store import Store
from vflow.engine.values import Item, Items
from vflow.nodes.encode import EncodeText
from vflow.nodes.models import source
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.training import TrainLoop
from vflow.nodes.values import EMPTY_ROW, VAE, Caption, Latent, Sampling, TextEncoder, Transformer

HEAVY = SimpleNamespace(node=SimpleNamespace(light=False), links={})  #: what a context asks of its node

SIZES = {"a": (64, 64), "b": (64, 64), "c": (64, 64), "d": (64, 96), "e": (64, 96)}


class Bench:
    """A store, a run and the values that a training reads. Trainings with the same `work` share a work folder."""

    def __init__(self, folder):
        self.world = World(Store(folder / "store"), folder=RunFolder(folder / "run"), lender=Lender())
        self.folder = folder
        self.events = []
        self.world.bus.listen(self.events.append)
        self.step = Step("train", bound=HEAVY, index=0)

    def context(self, work="work"):
        self.step.work_key = digest(work)
        return NodeContext(self.world, self.step)

    def recipe(self, kind, dtype="float32"):
        return kind(source=source.resolve("tiny://ltx2?random", kind.part, self.context()), dtype=dtype)

    def prepare(self):
        self.transformer, self.vae = self.recipe(Transformer), self.recipe(VAE)
        self.transformer.fetch(self.context())
        pattern = self.transformer.family.lora_targets["video_attention"].pattern
        self.lora = self.transformer.having(LoRA(rank=2, alpha=2, dropout=0.2, pattern=pattern))
        self.captions = self.encoded({**{row: f"a red square, {row}" for row in SIZES}, EMPTY_ROW: ""})
        self.latents = Items.of({row: self.latent(row, *size) for row, size in SIZES.items()})
        return self

    def encoded(self, captions):
        texts = Items.of({row: Caption(text=text) for row, text in captions.items()})
        found = EncodeText().run(self.context(), self.recipe(TextEncoder), texts)
        embeddings = Items(Item(row, value) for row, value in zip(texts.rows, found, strict=True))
        self.world.lender.keep_only(set())
        return embeddings

    def latent(self, row, height=64, width=64, scale=1.0):
        import torch

        from vflow.nodes.encoding.tensors import to_bytes

        generator = torch.Generator().manual_seed(int(digest(row)[:8], 16))
        values = scale * torch.randn(16, 3, height // 32, width // 32, generator=generator)
        blob = self.context().put(to_bytes({"latents": values}), ".safetensors")
        return Latent(blob=blob, frames=17, height=height, width=width, fps=25.0)

    def sampler(self, **fields):
        usual = {"width": 64, "height": 64, "frames": 9, "fps": 25.0, "steps": 2, "guidance": 1.0, "seed": 1}
        prompts = Items.of({"square": self.captions.by_row()["a"]})
        return Sampling.with_prompts(prompts, vae=self.vae, **{**usual, **fields})

    def train(
        self, work="work", *, transformer=None, latents=None, captions=None, stop_at=None, watch=None, **settings
    ):
        """Train a few steps; `watch` are observed inputs, `stop_at` the step after which the run is asked to stop."""
        usual = {
            "steps": 6,
            "batch_size": 2,
            "precision": "fp32",
            "tensorboard": False,
            "checkpoint_every": 0,
            "log_every": 1,
        }
        node = TrainLoop.model_validate_json(json.dumps({**usual, "gradient_checkpointing": False, **settings}))

        def listen(event):
            self.world.stopping = self.world.stopping or (event.kind == "metrics" and event.step == stop_at)

        self.events.clear()
        self.world.stopping = False
        self.world.bus._listeners[1:] = [listen]
        given = (transformer or self.lora, latents or self.latents, captions or self.captions)
        return node.run(self.context(work), *given, **(watch or {}))

    def said(self, kind):
        return [event for event in self.events if event.kind == kind]

    def bytes_of(self, adapter):
        return self.context().blob_path(adapter.blob).read_bytes()


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """The models, built once; tests that train use folders of their own in it."""
    return Bench(tmp_path_factory.mktemp("bench")).prepare()


@pytest.fixture
def bench(miniature):
    miniature.events.clear()
    yield miniature
    miniature.world.stopping = False
    miniature.world.lender.keep_only(set())
