"""Where the parts come from: the makers' own repository, and encoders that lie elsewhere."""

import json
import shutil

import pytest
import torch
from transformers import SiglipConfig, SiglipModel

from tests.nodes.models.conftest import Desk
from vflow.engine.problems import GraphError
from vflow.nodes.families.hunyuan15 import FAMILY
from vflow.nodes.models import fetch
from vflow.nodes.models.source import resolve

TEXT, VISION = "HUNYUANVIDEO_TEXT_ENCODER_PATH", "HUNYUANVIDEO_VISION_ENCODER_PATH"


@pytest.fixture
def context(tmp_path, monkeypatch):
    for variable in (TEXT, VISION):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "store").mkdir()
    return Desk(tmp_path / "store")


@pytest.fixture
def makers(image_checkpoint, tmp_path):
    """A local copy in the layout of tencent/HunyuanVideo-1.5, whose networks are in diffusers' classes."""
    folder = tmp_path / "HunyuanVideo-1.5"
    for name in ("scheduler", "vae"):
        shutil.copytree(image_checkpoint / name, folder / name)
    for name in ("480p_t2v", "480p_i2v"):
        shutil.copytree(image_checkpoint / "transformer", folder / "transformer" / name)
    (folder / "config.json").write_text(json.dumps({"_class_name": "HunyuanVideo_1_5_Pipeline"}))
    return folder


def problem(model, part, context, **elsewhere):
    with pytest.raises(GraphError) as caught:
        resolve(str(model), part, context, elsewhere)
    return str(caught.value)


def loaded(source, context):
    return FAMILY.load(source.part, fetch.folder_of(source, context), "float32")


def equal(left, right):
    ours, theirs = left.state_dict(), right.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_parts_of_a_copy_in_the_makers_layout_are_taken_where_they_load(image_checkpoint, makers, context):
    assert "holds several: 480p_i2v, 480p_t2v" in problem(makers, "transformer", context)
    variant = str(makers / "transformer" / "480p_i2v")
    source = resolve(str(makers), "transformer", context, {"transformer": variant})
    assert source.task == "i2v"
    live = loaded(source, context)
    expected = FAMILY.load("transformer", image_checkpoint, "float32")
    assert equal(live.transformer, expected.transformer)
    assert live.scheduler.config.shift == 5.0
    assert live.guider.config.guidance_rescale == expected.guider.config.guidance_rescale
    other = {"transformer": str(makers / "transformer" / "480p_t2v")}
    assert resolve(str(makers), "transformer", context, other).task == "t2v"
    vae = resolve(str(makers), "vae", context)
    assert vae.identity == resolve(str(image_checkpoint), "vae", context).identity
    assert vae.task == "either"  # it serves both transformers
    shutil.rmtree(makers / "transformer" / "480p_t2v")
    assert resolve(str(makers), "vae", context).task == "i2v"


def test_encoders_come_from_settings_or_from_the_environment(image_checkpoint, makers, context, tmp_path, monkeypatch):
    text, vision = tmp_path / "text_encoder", tmp_path / "vision_encoder"
    shutil.copytree(image_checkpoint / "text_encoder", text / "llm")
    shutil.copytree(image_checkpoint / "tokenizer", text / "llm", dirs_exist_ok=True)
    for name in ("image_encoder", "feature_extractor"):
        shutil.copytree(image_checkpoint / name, vision / "siglip" / name)
    monkeypatch.setenv(TEXT, str(text))
    monkeypatch.setenv(VISION, str(vision))

    message = problem(makers, "text_encoder", context)
    assert "lacks the sub-folder 'text_encoder_2'" in message
    assert "components: {text_encoder_2: hunyuan15/t2v-480p}" in message
    whole = str(image_checkpoint)
    source = resolve(str(makers), "text_encoder", context, {"text_encoder_2": whole, "tokenizer_2": whole})
    assert [component.model for _, component in source.components] == [f"${TEXT}", f"${TEXT}", whole, whole]
    assert equal(
        loaded(source, context).text_encoder, FAMILY.load("text_encoder", image_checkpoint, "float32").text_encoder
    )

    source = resolve(str(makers), "image_encoder", context)
    expected = resolve(whole, "image_encoder", context)
    assert source.identity == expected.identity
    assert equal(loaded(source, context).image_encoder, loaded(expected, context).image_encoder)

    monkeypatch.delenv(VISION)
    message = problem(makers, "image_encoder", context)
    assert "components: {image_encoder: hunyuan15/i2v-480p}" in message
    assert VISION in message
    assert "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_i2v" in message


def test_tencents_own_classes_are_answered_with_the_communitys_repositories(makers, context):
    for folder, name in (
        ("transformer/480p_t2v", "HunyuanVideo_1_5_DiffusionTransformer"),
        ("transformer/480p_i2v", "HunyuanVideo_1_5_DiffusionTransformer"),
        ("vae", "AutoencoderKLConv3D"),
    ):
        config = makers / folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"_class_name": name}))
    for part in ("transformer", "vae"):
        message = problem(makers, part, context)
        assert "makers' own layout" in message
        assert "hunyuan15/i2v-480p (hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_i2v)" in message


def test_a_scheduler_of_another_class_would_be_read_without_its_shift_and_is_refused(makers, context):
    config = {"_class_name": "FlowMatchDiscreteScheduler", "shift": 7.0}
    (makers / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    message = problem(makers, "transformer", context, transformer=str(makers / "transformer" / "480p_i2v"))
    assert "its scheduler is a FlowMatchDiscreteScheduler" in message
    assert "components: {scheduler: hunyuan15/t2v-480p}" in message


def test_the_vision_half_of_a_whole_siglip_is_taken(image_checkpoint, context, tmp_path, caplog):
    expected = FAMILY.load("image_encoder", image_checkpoint, "float32").image_encoder
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1}
    whole = SiglipModel(SiglipConfig(text_config=text | tokens, vision_config=expected.config.to_dict()))
    whole.vision_model.load_state_dict(expected.state_dict())
    whole.save_pretrained(tmp_path / "siglip")
    source = resolve(str(image_checkpoint), "image_encoder", context, {"image_encoder": str(tmp_path / "siglip")})
    caplog.clear()
    assert equal(loaded(source, context).image_encoder, expected)
    assert not caplog.records


def test_a_byt5_without_glyphs_is_refused(image_checkpoint, context, tmp_path):
    (tmp_path / "byt5").mkdir()
    (tmp_path / "byt5" / "config.json").write_text(json.dumps({"architectures": ["T5ForConditionalGeneration"]}))
    message = problem(image_checkpoint, "text_encoder", context, text_encoder_2=str(tmp_path / "byt5"))
    assert "T5ForConditionalGeneration" in message
    assert "components: {text_encoder_2: hunyuan15/t2v-480p}" in message
