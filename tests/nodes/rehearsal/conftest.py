"""A miniature of each family, one sample of it, and its rehearsal check by check."""

import io
import json
import shutil
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch

from vflow.engine.contexts import NodeContext, RehearsalContext, World
from vflow.engine.folder import RunFolder
from vflow.engine.keys import digest
from vflow.engine.lending import Lender
from vflow.engine.steps import Step
from vflow.engine.store import Store
from vflow.engine.values import Item, Items
from vflow.nodes.encode import EncodeImage, EncodeText
from vflow.nodes.encoding.tensors import to_bytes
from vflow.nodes.families import family
from vflow.nodes.models import source
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.rehearsal import again, forward, result, text, weights
from vflow.nodes.rehearsal.stepping import Stepping
from vflow.nodes.rehearsal.subject import Subject
from vflow.nodes.training import TrainLoop, loop
from vflow.nodes.values import (
    EMPTY_ROW,
    VAE,
    Caption,
    Image,
    ImageEncoder,
    Latent,
    Sampling,
    TextEncoder,
    Transformer,
)

HEAVY = SimpleNamespace(node=SimpleNamespace(light=False))  #: what a context asks of its node
CAPTION = "a red square moving left to right on a dark background"
FRAMES, HEIGHT, WIDTH = 17, 64, 96
PARTS = {"transformer": Transformer, "vae": VAE, "text_encoder": TextEncoder, "image_encoder": ImageEncoder}


class Rehearsed:
    """One family's miniature with one sample. What is asked of it is rehearsed on the spot, with what was injected."""

    def __init__(self, folder, name, task):
        torch.set_num_threads(1)
        self.family, self.task, self.folder = family(name), task, folder
        self.world = World(Store(folder / "store"), folder=RunFolder(folder / "run"), lender=Lender())
        self.checkpoint = folder / "checkpoint"
        self.family.build_miniature(self.checkpoint, 0, task)
        self.step = Step("train", bound=HEAVY, index=0)
        self.number, self.height, self.width = 0, HEIGHT, WIDTH
        self.captions = self.encoded(self.context())
        self.images = self.stills()

    @property
    def _sees(self):
        return self.task == "i2v" and "image_encoder" in self.family.folders

    def context(self):
        """A context over a fresh scratch folder."""
        self.number += 1
        return RehearsalContext(self.world, self.step, self.folder / f"scratch-{self.number}")

    def recipe(self, part, dtype="float32"):
        context = NodeContext(self.world, self.step)
        found = source.resolve(str(self.checkpoint), part, context)
        return PARTS[part](source=found, dtype=dtype)

    def forget(self):
        self.world.lender.keep_only(set())

    def encoded(self, context):
        texts = Items.of({"a": Caption(text=CAPTION), EMPTY_ROW: Caption(text="")})
        found = EncodeText().run(context, self.recipe("text_encoder"), texts)
        kept = Items(Item(row, value) for row, value in zip(texts.rows, found, strict=True))
        self.blobs = context._blobs
        self.forget()
        return kept

    def stills(self):
        """The first frame of the one sample, encoded; None for text to video."""
        if self.task != "i2v":
            return None
        context, out = self.context(), io.BytesIO()
        pixels = np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(out, "png")
        blob = NodeContext(self.world, self.step).put(out.getvalue(), ".png")
        self.image = Image(blob=blob, width=WIDTH, height=HEIGHT)
        encoder = self.recipe("image_encoder") if self._sees else None
        found = EncodeImage().run(context, self.recipe("vae"), Items.of({"a": self.image}), encoder)
        kept = Items.of({"a": next(found)})
        found.close()
        self.image_blobs = context._blobs
        self.forget()
        return kept

    def latents(self, context):
        rules = self.family.rules
        shape = rules.latent_shape(FRAMES, self.height, self.width)
        config = json.loads((self.checkpoint / "vae" / "config.json").read_text())
        channels = config.get("latent_channels") or config["z_dim"]
        generator = torch.Generator().manual_seed(int(digest(self.family.name)[:8], 16))
        values = torch.randn(channels, *shape, generator=generator)
        blob = context.put(to_bytes({"latents": values}), ".safetensors")
        size = {"frames": FRAMES, "height": self.height, "width": self.width}
        return Items.of({"a": Latent(blob=blob, fps=rules.fps, **size)})

    def subject(self, dtype="float32", **settings):
        context = self.context()
        for blobs in (self.blobs, getattr(self, "image_blobs", None)):
            if blobs is not None:
                shutil.copytree(blobs, context._blobs, dirs_exist_ok=True)
        pattern = self.family.lora_targets[self.family.default_lora_target].pattern
        lora = LoRA(rank=2, alpha=8, pattern=pattern)
        sampler = Sampling.with_prompts(
            Items.of({"a": self.captions.by_row()["a"]}),
            vae=self.recipe("vae", dtype),
            images=(("a", self.image),) if self.images else (),
            image_encoder=self.recipe("image_encoder") if self._sees else None,
            width=WIDTH,
            height=HEIGHT,
            frames=FRAMES,
            fps=self.family.rules.fps,
            steps=4,
            guidance=1.0,
            seed=0,
        )
        node = TrainLoop(precision="fp32" if dtype == "float32" else "bf16", gradient_checkpointing=False, **settings)
        given = loop.Inputs(
            self.recipe("transformer", dtype).having(lora),
            self.latents(context),
            self.captions,
            sampler,
            images=self.images,
        )
        return Subject(node, context, given)

    # --- the checks --------------------------------------------------------------------------------------------------

    def look(self, at, dtype="float32"):
        """Return the checks of one kind: name -> check, the failed one where several have a name."""
        try:
            found = list(getattr(self, f"_{at}")(dtype))
        finally:
            self.forget()
        return {check.name: check for check in sorted(found, key=lambda check: check.status == "failed")}

    def _weights(self, _dtype):
        for part in ("transformer", "vae", "text_encoder", *(["image_encoder"] if self._sees else [])):
            yield from weights.checks(self.context(), self.recipe(part))

    def _text(self, _dtype):
        context = self.context()
        captions = Items.of({"a": Caption(text=CAPTION), EMPTY_ROW: Caption(text="")})
        recipe = self.recipe("text_encoder")
        found = EncodeText().run(context, recipe, captions)
        kept = Items(Item(row, value) for row, value in zip(captions.rows, found, strict=True))
        yield from text.checks(EncodeText(), context, kept, recipe, captions)

    def _forward(self, dtype):
        yield from forward.checks(self.subject(dtype))

    def _sound(self, _dtype):
        context, recipe = self.context(), self.recipe("vae")
        with context.load(recipe) as live:
            samples = torch.rand(1, self.family.sound_format(live)[1], 16000) - 0.5
            yield again.compared(self.family, self.family.parity(), live, samples, 0.6)

    def _result(self, dtype):
        subject = self.subject(dtype)
        stepping = Stepping(subject)
        yield from stepping._first_steps()
        yield from result.checks(subject, stepping, stepping.result)

    def _steps(self, dtype):
        yield from Stepping(self.subject(dtype, checkpoint_every=10)).checks()


@pytest.fixture(scope="session")
def miniatures(tmp_path_factory):
    """Family and task -> its miniature with one sample, made when first asked for."""
    made = {}

    def of(name, task="t2v"):
        if (name, task) not in made:
            made[name, task] = Rehearsed(tmp_path_factory.mktemp(f"{name}-{task}"), name, task)
        return made[name, task]

    return of


@pytest.fixture
def edited(miniatures, tmp_path):
    """A copy of a miniature's checkpoint to change: `edited(name)` gives what is rehearsed from it."""
    changed = []

    def of(name, task="t2v"):
        rehearsed = miniatures(name, task)
        changed.append((rehearsed, rehearsed.checkpoint))
        rehearsed.checkpoint = shutil.copytree(rehearsed.checkpoint, tmp_path / "checkpoint")
        return rehearsed

    yield of
    for rehearsed, checkpoint in changed:
        rehearsed.checkpoint = checkpoint
