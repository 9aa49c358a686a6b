"""What `Validate` draws with an adapter, diffusers' own pipeline draws with the adapter's file, bit for bit.

The pipeline is loaded, given the file and called as a user would do it; the clips are compared as files.
"""

import json
from functools import cached_property
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vflow.engine.contexts import NodeContext, World
from vflow.engine.lending import Lender
from vflow.engine.steps import Step
from vflow.engine.store import Store
from vflow.engine.values import Item, Items
from vflow.nodes.data.decode import write_video
from vflow.nodes.encode import EncodeText
from vflow.nodes.models import fetch, source
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.validation import Sampler, Validate
from vflow.nodes.values import NEGATIVE_ROW, VAE, Adapter, Caption, TextEncoder, Transformer

HEAVY = SimpleNamespace(node=SimpleNamespace(light=False))  #: what a context asks of its node
PROMPT, NEGATIVE = 'a red circle, it says "UP"', "blurry, still"
WIDTH, HEIGHT, FRAMES, STEPS, GUIDANCE, SEED = 96, 64, 9, 3, 3.0, 11

#: how each pipeline is called besides what all have in common
CALLS = {
    "hunyuan15": {"num_frames": FRAMES},
    "kandinsky5": {"num_frames": FRAMES, "guidance_scale": GUIDANCE},
    "ltx2": {
        "num_frames": FRAMES,
        "frame_rate": 25.0,
        "guidance_scale": GUIDANCE,
        "audio_guidance_scale": GUIDANCE,
        "guidance_rescale": 0.7,
        "audio_guidance_rescale": 0.7,
        "stg_scale": 0.0,
        "audio_stg_scale": 0.0,
        "spatio_temporal_guidance_blocks": [1],
        "modality_scale": 1.0,
        "audio_modality_scale": 1.0,
        "max_sequence_length": 64,
    },
    "sana": {"frames": FRAMES, "guidance_scale": GUIDANCE, "use_resolution_binning": False},
}


class Stage:
    """A family's miniature in a store, an adapter for it, and the clips of both sides."""

    def __init__(self, family, folder):
        self.folder, self.name = folder, family
        self.world = World(Store(folder / "store"), lender=Lender())
        self.context = NodeContext(self.world, Step("draw", bound=HEAVY, index=0))
        self.transformer, self.vae = self.recipe(Transformer), self.recipe(VAE)
        self.vae.fetch(self.context)
        self.family = self.transformer.family
        self.checkpoint = fetch.folder_of(self.transformer.source, self.context)
        pattern = self.family.lora_targets[self.family.default_lora_target].pattern
        self.lora = self.transformer.having(LoRA(rank=4, alpha=6, pattern=pattern))
        self.file = self.trained()

    def recipe(self, kind):
        return kind(source=source.resolve(f"tiny://{self.name}?random", kind.part, self.context), dtype="float32")

    def trained(self):
        """Write an adapter that does something, as a training does."""
        with self.context.load(self.lora) as live:
            torch.manual_seed(0)
            for name, parameter in live.modules()["transformer"].named_parameters():
                if ".lora_B." in name:
                    parameter.data.normal_(std=0.3)
            return self.family.save_adapter(live, self.folder / "adapter")

    @cached_property
    def validated(self):
        """The clip of `Validate`."""
        texts = {"one": Caption(text=PROMPT), NEGATIVE_ROW: Caption(text=NEGATIVE, negative=True)}
        encoded = EncodeText().run(self.context, self.recipe(TextEncoder), Items.of(texts))
        prompts = Items(Item(row, value) for row, value in zip(texts, encoded, strict=True))
        settings = {"resolution": f"{WIDTH}x{HEIGHT}", "frames": FRAMES, "steps": STEPS, "guidance": GUIDANCE}
        sampler = Sampler(**settings, seed=SEED, sound=False if self.family.sound else None)
        sampling = sampler.run(self.context, self.vae, prompts)
        adapter = Adapter(blob=self.context.put(self.file.read_bytes(), ".safetensors"), family=self.name, rank=4)
        (videos,) = Validate().run(self.context, self.lora, sampling, Items.of({"adapter": adapter}))
        return self.context.blob_path(videos.videos[0].blob).read_bytes()

    def pipeline(self, file=None):
        """Load diffusers' pipeline, and an adapter's file into it as the model card says."""
        index = json.loads((self.checkpoint / "model_index.json").read_text())
        pipe = getattr(diffusers, index["_class_name"]).from_pretrained(self.checkpoint, local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        if file is not None:
            eval("pipe." + self.family.loads_adapter_by.format(folder=file.parent, file=file.name))
        if "guidance_scale" not in CALLS[self.name]:
            pipe.guider = pipe.guider.new(guidance_scale=GUIDANCE)
        return pipe

    @cached_property
    def plain(self):
        """The pipeline's clip without the adapter."""
        return self.drawn(self.pipeline())

    def drawn(self, pipe):
        """Return the pipeline's clip, written as ours are."""
        output = pipe(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            width=WIDTH,
            height=HEIGHT,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(SEED),
            output_type="np",
            **CALLS[self.name],
        )
        target = self.folder / "theirs.mp4"
        write_video(target, (output.frames[0] * 255).round().astype(np.uint8), self.family.rules.fps)
        return target.read_bytes()


@pytest.fixture(scope="module", params=sorted(CALLS))
def stage(request, tmp_path_factory):
    torch.set_num_threads(1)
    return Stage(request.param, tmp_path_factory.mktemp("pipelines"))


def test_the_pipeline_draws_with_the_adapters_file_what_validate_draws(stage):
    assert stage.drawn(stage.pipeline(stage.file)) == stage.validated
    assert stage.validated != stage.plain


def test_with_another_prefix_the_pipeline_loads_nothing_and_draws_another_clip(stage, tmp_path):
    """What the test above would miss if it compared two clips without the adapter."""
    prefix = stage.family.adapter_prefix
    wrong = {f"elsewhere.{name.removeprefix(prefix)}": tensor for name, tensor in load_file(stage.file).items()}
    file = tmp_path / stage.file.name
    save_file(wrong, file)
    try:
        pipe = stage.pipeline(file)
    except (ValueError, KeyError):
        return
    assert stage.drawn(pipe) == stage.plain != stage.validated
