"""Names of layers in other programs, and the keys of adapters' files: light, so no torch is imported for most of it."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.problems import Failure
from vflow.nodes import families
from vflow.nodes.families.layer_names import LayerNames, bare, fused_ranks, metadata_of, written_layers

FAMILIES = ("hunyuan15", "kandinsky5", "ltx2", "sana")
FOLDER = Path(families.__file__).parent

#: how programs end the keys of A, B and alpha
TAILS = (
    (".lora_A.weight", ".lora_B.weight", ".alpha"),
    (".lora_A.default.weight", ".lora_B.default.weight", ".alpha"),
    (".lora_A", ".lora_B", ".alpha"),
    (".lora_down.weight", ".lora_up.weight", ".alpha"),
    (".lora.down.weight", ".lora.up.weight", ".alpha"),
    ("_lora.down.weight", "_lora.up.weight", ".alpha"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight", ".lora_alpha"),
)
PREFIXES = (
    "",
    "transformer.",
    "diffusion_model.",
    "model.diffusion_model.",
    "unet.",
    "base_model.model.",
    "transformer.base_model.model.",
)
WORDS = st.text("abcdefgkoqrtv_0123456789", min_size=1, max_size=6).filter(lambda word: "lora" not in word)
LAYERS = st.lists(WORDS, min_size=2, max_size=5).map(".".join).filter(lambda name: bare(name) == name)


def linear_layers(family, config):
    """Return the names of all linear layers of a real transformer, built without weights."""
    import diffusers
    import torch

    (kind,) = families.family(family).classes["transformer"]
    with torch.device("meta"):
        model = getattr(diffusers, kind).from_config(json.loads(config.read_text()))
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]


@pytest.fixture(
    scope="module", params=[c for f in FAMILIES for c in sorted((FOLDER / f / "configs/real").glob("*.json"))]
)
def real(request):
    """A family's names, and the linear layers of a real model of it."""
    family = request.param.parents[2].name
    return families.family(family).layer_names, linear_layers(family, request.param)


def test_every_linear_layer_of_the_real_model_has_a_name_there_and_is_found_again_from_it(real):
    names, layers = real
    unknown = [layer for layer in layers if names.place(layer) is None]
    assert unknown == [layer for layer in layers if layer == "norm_out.linear"]  # its halves change places
    found = {}
    for layer in set(layers) - set(unknown):
        place = names.place(layer)
        assert layer in place.members
        assert set(place.members) <= set(layers)
        assert found.setdefault(place.name, place.members) == place.members
        for written in (place.name, place.name.replace(".", "_")):
            assert names.ours(written) == place.members
        for written in (layer, layer.replace(".", "_")):
            assert names.ours(written) == (layer,)


def test_every_lora_target_is_named(real):
    names, layers = real
    family = next(known for known in map(families.family, FAMILIES) if known.layer_names is names)
    for target in family.lora_targets.values():
        hit = [layer for layer in layers if re.fullmatch(target.pattern, layer)]
        assert hit
        assert all(names.place(layer) for layer in hit)


@pytest.mark.parametrize(
    ("family", "written", "ours"),
    [
        ("ltx2", "patchify_proj", ["proj_in"]),
        ("ltx2", "adaln_single.emb.timestep_embedder.linear_1", ["time_embed.emb.timestep_embedder.linear_1"]),
        ("ltx2", "av_ca_a2v_gate_adaln_single.linear", ["av_cross_attn_video_a2v_gate.linear"]),
        ("ltx2", "transformer_blocks_12_audio_attn1_to_out_0", ["transformer_blocks.12.audio_attn1.to_out.0"]),
        ("hunyuan15", "double_blocks.3.img_attn_q", ["transformer_blocks.3.attn.to_q"]),
        ("hunyuan15", "double_blocks.3.txt_attn_v", ["transformer_blocks.3.attn.add_v_proj"]),
        ("hunyuan15", "double_blocks_3_txt_attn_proj", ["transformer_blocks.3.attn.to_add_out"]),
        ("hunyuan15", "double_blocks.3.img_mlp.fc2", ["transformer_blocks.3.ff.net.2"]),
        (
            "sana",
            "blocks.19.cross_attn.kv_linear",
            ["transformer_blocks.19.attn2.to_k", "transformer_blocks.19.attn2.to_v"],
        ),
        ("kandinsky5", "visual_transformer_blocks.0.cross_attention.to_query", None),
        ("kandinsky5", "double_blocks.0.img_attn.qkv", []),
        ("sana", "transformer_blocks.0.audio_attn1.to_q", []),
    ],
)
def test_names_are_read_as_the_original_code_and_other_trainers_write_them(family, written, ours):
    expected = (written,) if ours is None else tuple(ours)
    assert families.family(family).layer_names.ours(written) == expected


def test_agrees_with_diffusers_own_renaming_of_ltx2_layers():
    import torch
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_ltx2_lora_to_diffusers

    names = families.family("ltx2").layer_names
    for layer in linear_layers("ltx2", FOLDER / "ltx2/configs/real/transformer.json"):
        key = f"diffusion_model.{names.place(layer).name}.lora_A.weight"
        assert list(_convert_non_diffusers_ltx2_lora_to_diffusers({key: torch.zeros(1)})) == [
            f"transformer.{layer}.lora_A.weight"
        ]


@given(layer=LAYERS, prefix=st.sampled_from(PREFIXES), tails=st.sampled_from(TAILS), alpha=st.booleans())
def test_a_layer_is_read_from_keys_of_every_form(layer, prefix, tails, alpha):
    keys = [prefix + layer + tail for tail in (tails if alpha else tails[:2])]
    (found,) = written_layers(keys).values()
    assert (found.layer, found.down, found.up, found.alpha) == (layer, keys[0], keys[1], keys[2] if alpha else "")


@given(layer=LAYERS.map(lambda name: name.replace(".", "_")), prefix=st.sampled_from(("lora_unet_", "lycoris_")))
def test_names_with_underscores_lose_their_prefix_only(layer, prefix):
    keys = [f"{prefix}{layer}{tail}" for tail in (".lora_down.weight", ".lora_up.weight", ".alpha")]
    assert list(written_layers(keys)) == [bare(layer)]


@given(st.lists(st.text("lora_AB.weighdownup0", max_size=20), max_size=6))
def test_any_keys_are_read_or_refused(keys):
    try:
        found = written_layers(keys)
    except Failure:
        return
    assert {key for layer in found.values() for key in (layer.down, layer.up, layer.alpha) if key} == set(keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["x.lora_A.weight", "x.lora_B.weight", "x.dora_scale"], "it is a DoRA"),
        (["x.lora_A.weight", "x.lora_B.weight", "x.lora_magnitude_vector.default.weight"], "it is a DoRA"),
        (["x.lokr_w1", "x.lokr_w2"], "'x.lokr_w1' is no LoRA weight"),
        (["x.lora_A.weight", "x.lora_B.weight", "x.lora_B.bias"], "'x.lora_B.bias' is no LoRA weight"),
        (["x.lora_down.weight", "x.lora_mid.weight", "x.lora_up.weight"], "'x.lora_mid.weight' is no LoRA weight"),
        (["x.weight"], "'x.weight' is no LoRA weight"),
        (["x.lora_A.weight", "x.alpha"], r"the layer x has no lora_B"),
        (["x.lora_B.weight"], r"the layer x has no lora_A"),
        (["x.alpha"], r"the layer x has no lora_A"),
        (["unet.x.lora_A.weight", "transformer.x.lora_A.weight"], "holds the layer x twice"),
    ],
)
def test_what_is_no_plain_lora_is_named(keys, words):
    with pytest.raises(Failure, match=words):
        written_layers(keys)


def test_templates_pair_up_or_fuse():
    names = LayerNames(comfyui=(("a.#.{x,y}", "b.#.{u,v}"), ("a.#.{p,q}", "b.#.pq"), ("same.{1,2}", "")))
    assert names.place("a.7.y").name == "b.7.v"
    assert names.place("a.7.q").members == ("a.7.p", "a.7.q")
    assert names.place("same.2").name == "same.2"
    assert names.place("a.x.y") is None
    assert names.ours("b_12_pq") == ("a.12.p", "a.12.q")
    with pytest.raises(ValueError):
        LayerNames(comfyui=(("a.{x,y,z}", "b.{u,v}"),)).ours("a.x")


def test_settings_of_the_transformer_are_found_under_any_prefix():
    settings = {"r": 4, "lora_alpha": 2}
    for prefix in ("transformer.", "unet.", ""):
        written = {prefix + name: value for name, value in settings.items()}
        assert metadata_of(written) == (prefix, settings)
    assert metadata_of({"transformer.r": 4, "text_encoder.r": 8}) == ("transformer.", {"r": 4})
    assert metadata_of({"text_encoder.r": 8}) == ("", {})


@pytest.mark.parametrize("text", ["[", "[1]", '{"a": 1}', '{"a": ["x"]}', "[" * 100_000])
def test_damaged_ranks_are_refused(text):
    with pytest.raises(Failure, match="metadata are damaged"):
        fused_ranks({"vflow_fused": text})
