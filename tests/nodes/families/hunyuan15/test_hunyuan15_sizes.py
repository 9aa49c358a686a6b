from types import SimpleNamespace

import pytest
from diffusers.pipelines.hunyuan_video1_5.image_processor import HunyuanVideo15ImageProcessor
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vflow.nodes.families.hunyuan15 import FAMILY
from vflow.nodes.families.hunyuan15.sizes import chosen_size
from vflow.nodes.validation import Sampler
from vflow.nodes.values import VAE, Source

PROCESSOR = HunyuanVideo15ImageProcessor(vae_scale_factor=16)


@settings(max_examples=60, deadline=None)
@given(width=st.integers(16, 4096), height=st.integers(16, 4096), side=st.sampled_from([80, 640, 960]))
@example(width=848, height=480, side=640)
@example(width=480, height=480, side=640)
@example(width=1, height=4096, side=640)
def test_the_size_is_what_diffusers_chooses(width, height, side):
    assert chosen_size(width, height, side) == PROCESSOR.calculate_default_height_width(height, width, side)[::-1]


def hints(model, ports=("images", "image_encoder"), **given_settings):
    context = SimpleNamespace(is_linked=lambda port: port in ports)
    found = Sampler(**given_settings).preflight(context, vae=VAE(source=source_of(model)))
    return [problem for problem in found if problem.severity == "hint"]


def test_a_size_that_the_pipeline_would_change_is_a_hint_that_names_the_other():
    (hint,) = hints("hunyuan15/i2v-480p", resolution="832x480")
    assert "drawn at 832x480; the pipeline of HunyuanVideo 1.5 would make that 816x480" in hint.message
    assert "816x480" in hint.remedy
    assert not hints("hunyuan15/i2v-480p")
    assert not hints("hunyuan15/i2v-480p", (), resolution="832x480")
    assert not hints("tiny://hunyuan15-i2v", resolution="832x480")


def source_of(model, kind="hub"):
    return Source(family="hunyuan15", part="vae", content="x", model=model, kind=kind, task="i2v")


@pytest.mark.parametrize(
    ("model", "size", "chosen"),
    [
        ("hunyuan15/i2v-480p", (832, 480), (816, 480)),
        ("hunyuan15/i2v-480p", (848, 480), (848, 480)),
        ("hunyuan15/i2v-720p", (1280, 720), (1280, 720)),
        ("hunyuan15/i2v-720p-distilled", (848, 480), (1264, 720)),
        ("./folder", (832, 480), (832, 480)),  # of which nothing is known
    ],
)
def test_a_flavours_choice_is_known_before_anything_is_loaded(model, size, chosen):
    assert FAMILY.image_size(source_of(model), *size) == chosen
