"""The trained miniature that ships: small, loaded like a real checkpoint, true to captions with seeds of its own."""

import itertools

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vflow.nodes.data import scores, world
from vflow.nodes.families.exchange import SamplingRequest
from vflow.nodes.families.ltx2 import FAMILY
from vflow.nodes.families.ltx2.latents import denormalise

FOLDER = FAMILY.trained_miniature


@pytest.fixture(scope="module")
def parts():
    return {part: FAMILY.load(part, FOLDER, "float32") for part in ("transformer", "vae", "text_encoder")}


def draw(parts, scene, seed, image=None):
    (prompt,) = FAMILY.encode_text(parts["text_encoder"], [scene.caption])
    size = (world.SIDE, world.SIDE, world.FRAMES, world.FPS)
    request = SamplingRequest(prompt, None, *size, steps=20, guidance=1.0, seed=seed, image=image)
    return FAMILY.draw(parts["transformer"], parts["vae"], request)


def test_it_is_small_and_in_16_bit_floats_and_names_no_place_of_the_machine_that_made_it():
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 16e6
    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}  # noqa: SIM118
        else:
            assert "_name_or_path" not in file.read_text()


def test_the_vae_gives_unseen_clips_of_the_whole_world_back(parts):
    errors = []
    for scene in itertools.islice(world.anything(77), 24):
        pixels = torch.from_numpy(world.draw(scene)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        latents = FAMILY.encode_video(parts["vae"], pixels, "mode", None)
        with torch.no_grad():
            back = parts["vae"].vae.decode(denormalise(latents, parts["vae"].vae)).sample
        errors.append((back - pixels).square().mean() / 4)
    assert float(-10 * torch.log10(torch.stack(errors)).mean()) > 25.5


def test_it_draws_what_known_captions_say_and_nothing_of_the_lesson(parts):
    known = [scores.measure(draw(parts, scene, 500 + n)) for n, scene in enumerate(world.general(8, 77))]
    right = [scores.is_right(shown, scene) for shown, scene in zip(known, world.general(8, 77), strict=True)]
    errors = [scores.centre_error(shown, scene) for shown, scene in zip(known, world.general(8, 77), strict=True)]
    assert np.mean(right) >= 7 / 8
    assert np.median(errors) < 0.05
    unknown = [scores.is_right(scores.measure(draw(parts, scene, 600)), scene) for scene in world.taught(4, 77)]
    assert sum(unknown) <= 1


def test_from_a_drawn_first_frame_the_shape_goes_on_from_where_it_is(parts):
    starts = []
    for aside in (-0.7, 0.7):
        scene = world.Scene("circle", "red", "from left to right", "dark", "large", "quickly", 11.0, 0.95, aside)
        shown = scores.measure(draw(parts, scene, 1, image=world.draw(scene)[0]))
        assert scores.is_right(shown, scene)
        starts.append(np.abs(shown.centres[0] - scene.centres()[0]).max())
        # the caption does not say how high: the picture does
        assert np.abs(shown.centres[:, 1] - scene.centres()[:, 1]).mean() < 5
    assert max(starts) < 4
