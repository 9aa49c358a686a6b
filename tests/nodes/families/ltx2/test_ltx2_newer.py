"""LTX 2.3 and 2.5: checkpoints of their shape (other connectors, attention, vocoder, text encoder) go the same way.

Their configurations are those that diffusers' classes and conversion know, at miniature size; no real one was opened.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import LTX2ImageToVideoPipeline, LTX2Pipeline, LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2VocoderWithBWE
from peft import LoraConfig
from PIL import Image
from transformers import Gemma4UnifiedConfig, Gemma4UnifiedForConditionalGeneration

from vflow.engine.problems import Failure
from vflow.nodes.families import family_of
from vflow.nodes.families.exchange import FlowOptions, SamplingRequest
from vflow.nodes.families.ltx2 import FAMILY
from vflow.nodes.families.ltx2.text import sequence_length

from .conftest import FPS, FRAMES, HEIGHT, WIDTH, SeededDraws, batch_of, drawn_clip

PROMPT, NEGATIVE = "a red circle moving up", "blurry, still"
CONNECTORS = {
    "per_modality_projections": True,
    "proj_bias": True,
    "video_hidden_dim": 32,
    "audio_hidden_dim": 16,
    "audio_connector_attention_head_dim": 8,
    "video_gated_attn": True,
    "audio_gated_attn": True,
}
TRANSFORMER = {
    "use_prompt_embeddings": False,
    "gated_attn": True,
    "cross_attn_mod": True,
    "audio_gated_attn": True,
    "audio_cross_attn_mod": True,
    "perturbed_attn": True,
}
NEWEST = {"ff_bias": False, "use_prompt_adaln_single": False, "use_keyframes_abs_pos_embedding": True}
VOCODER = {
    "in_channels": 32,
    "hidden_channels": 64,
    "resnet_kernel_sizes": [3],
    "resnet_dilations": [[1, 3, 5]],
    "bwe_in_channels": 32,
    "bwe_hidden_channels": 32,
    "bwe_resnet_kernel_sizes": [3],
    "bwe_resnet_dilations": [[1, 3, 5]],
    "num_mel_channels": 16,
}


def write(checkpoint, folder, generation):
    """Make a checkpoint of a newer generation out of the miniature's parts and others with random weights."""
    shutil.copytree(checkpoint, folder)

    def config(name):
        return json.loads((checkpoint / name / "config.json").read_text())

    def replace(name, module):
        shutil.rmtree(folder / name)
        module.save_pretrained(folder / name)

    torch.manual_seed(0)
    newest = NEWEST if generation == "2.5" else {}
    replace("connectors", LTX2TextConnectors.from_config(config("connectors") | CONNECTORS))
    replace("transformer", LTX2VideoTransformer3DModel.from_config(config("transformer") | TRANSFORMER | newest))
    replace("vocoder", LTX2VocoderWithBWE(**VOCODER))
    index = json.loads((folder / "model_index.json").read_text())
    index["vocoder"] = ["ltx2", "LTX2VocoderWithBWE"]
    if generation == "2.5":
        replace("text_encoder", Gemma4UnifiedForConditionalGeneration(gemma4(config("text_encoder"))))
        index["text_encoder"] = ["transformers", "Gemma4UnifiedForConditionalGeneration"]
    (folder / "model_index.json").write_text(json.dumps(index))


def gemma4(older):
    text = {name: older["text_config"][name] for name in ("vocab_size", "hidden_size", "intermediate_size", "head_dim")}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "global_head_dim": 16}
    return Gemma4UnifiedConfig(
        text_config=text | {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 512},
        vision_config={"patch_size": 4, "mm_embed_dim": 16, "mm_posemb_size": 16, "output_proj_dims": 32},
        audio_config={"audio_embed_dim": 16},
    )


@pytest.fixture(scope="module", params=["2.3", "2.5"])
def generation(request):
    return request.param


@pytest.fixture(scope="module")
def newer(checkpoint, tmp_path_factory, generation):
    folder = tmp_path_factory.mktemp("newer") / generation
    write(checkpoint, folder, generation)
    return folder


@pytest.fixture(scope="module")
def parts(newer):
    return {part: FAMILY.load(part, newer, "float32") for part in ("transformer", "vae", "text_encoder")}


@pytest.fixture(scope="module")
def embeddings(parts):
    return [FAMILY.encode_text(parts["text_encoder"], [text])[0] for text in (PROMPT, NEGATIVE)]


def test_it_is_recognised(newer, generation):
    index = json.loads((newer / "model_index.json").read_text())
    classes = {name: entry[1] for name, entry in index.items() if isinstance(entry, list)}
    assert family_of(classes) is FAMILY
    assert classes["text_encoder"] in FAMILY.classes["text_encoder"]
    assert generation in FAMILY.flavours


@pytest.mark.parametrize("conditioned", [False, True])
def test_a_clip_equals_the_plain_pipelines_bit_for_bit_with_its_sound(newer, parts, embeddings, conditioned):
    picture = ((drawn_clip((0.9, -0.8, -0.8), 4)[0, :, 0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    kind = LTX2ImageToVideoPipeline if conditioned else LTX2Pipeline
    pipeline = kind.from_pretrained(newer, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        **({"image": Image.fromarray(picture)} if conditioned else {}),
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        width=WIDTH,
        height=HEIGHT,
        num_frames=FRAMES,
        frame_rate=FPS,
        num_inference_steps=2,
        guidance_scale=3.0,
        audio_guidance_scale=3.0,
        guidance_rescale=0.7,
        audio_guidance_rescale=0.7,
        stg_scale=1.0,
        audio_stg_scale=1.0,
        spatio_temporal_guidance_blocks=[1],
        modality_scale=1.0,
        audio_modality_scale=1.0,
        generator=torch.Generator().manual_seed(11),
        max_sequence_length=sequence_length(parts["text_encoder"]),
        output_type="np",
    )
    request = SamplingRequest(
        embeddings=embeddings[0],
        negative=embeddings[1],
        width=WIDTH,
        height=HEIGHT,
        frames=FRAMES,
        fps=FPS,
        steps=2,
        guidance=3.0,
        seed=11,
        options={"stg_scale": 1.0, "stg_block": 1},
        image=picture if conditioned else None,
        sound=True,
    )
    ours = FAMILY.draw_clip(parts["transformer"], parts["vae"], request)
    assert np.array_equal(ours.frames, (theirs.frames[0] * 255).round().astype(np.uint8))
    assert ours.sound.rate == 48000
    assert np.array_equal(ours.sound.samples, theirs.audio[0].numpy().clip(-1, 1))


def test_images_are_compressed_as_the_generation_was_trained(parts, generation, checkpoint):
    assert parts["vae"].image_crf == (18 if generation == "2.5" else 33)
    assert FAMILY.load("vae", checkpoint, "float32").image_crf == 33


def test_training_learns_with_the_noise_level_told_to_the_text_too(newer, parts, embeddings):
    """Of 2.3 the text attention is modulated by the noise level as well, which has to be told beside the timestep."""
    clip = FAMILY.encode_video(parts["vae"], drawn_clip((0.9, -0.8, -0.8), 4), "mode", None)
    batch = batch_of(clip, [embeddings[0]])
    model = FAMILY.load("transformer", newer, "float32").transformer
    torch.manual_seed(0)
    model.add_adapter(LoraConfig(r=4, target_modules=FAMILY.lora_targets["attention_ff"].pattern))
    given = {}
    model.register_forward_pre_hook(lambda _, __, kwargs: given.update(kwargs), with_kwargs=True)
    said = FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), FlowOptions(first_frame_probability=1.0))
    assert given["sigma"].tolist() == given["audio_sigma"].tolist() == [500.0]
    (said.prediction - said.target).square().mul(said.weight).mean().backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad and "audio" not in name}
    assert any(p.grad.abs().max() > 0 for p in trained.values())


def test_a_text_encoder_of_another_class_is_refused(newer, tmp_path):
    folder = shutil.copytree(newer, tmp_path / "other")
    config = json.loads((folder / "text_encoder/config.json").read_text())
    (folder / "text_encoder/config.json").write_text(json.dumps(config | {"architectures": ["Gemma5Model"]}))
    with pytest.raises(Failure, match="Gemma5Model; known: Gemma3"):
        FAMILY.load("text_encoder", folder, "float32")
