"""Adapters in the forms of several programs, on the miniature transformers of all families.

What an adapter does is computed here by itself: W + alpha / rank * B @ A. ComfyUI's part is a model under the original
names, put together from ours, onto which a file's layers are added as ComfyUI adds them.
"""

import json
import re
from pathlib import Path

import diffusers
import pytest
import torch
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vflow.engine.problems import Failure
from vflow.nodes import families
from vflow.nodes.carrying import safetensors_file
from vflow.nodes.families import adapter_forms, adapters
from vflow.nodes.models.adapter_source import facts_of

FAMILIES = ("hunyuan15", "kandinsky5", "ltx2", "sana")
FOLDER = Path(families.__file__).parent
RANK, ALPHA = 4, 6


def transformer(family, seed=0):
    """Build the miniature's transformer with random weights."""
    (kind,) = family.classes["transformer"]
    config = json.loads((FOLDER / family.name / "configs/miniature/transformer.json").read_text())
    torch.manual_seed(seed)
    return getattr(diffusers, kind).from_config(config).requires_grad_(False).eval()


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """Each family; what no family does otherwise asks for one of them."""
    return families.family(request.param)


@pytest.fixture(scope="module")
def base(family):
    """The bare transformer, lent; a test takes its adapters off again."""
    return transformer(family)


@pytest.fixture
def model(base):
    yield base
    if getattr(base, "peft_config", None):
        base.unload_lora()


def adapted(family, model, seed=0, **settings):
    """Put an adapter on that does something."""
    target = settings.pop("target", family.default_lora_target)
    pattern = family.lora_targets[target].pattern if target in family.lora_targets else target
    model.add_adapter(LoraConfig(**({"r": RANK, "lora_alpha": ALPHA, "target_modules": pattern} | settings)))
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3)
    return model


@pytest.fixture(scope="module")
def written(family, base, tmp_path_factory):
    """Write files by settings of the adapter: the same settings, the same file."""
    made = {}

    def write(**settings):
        key = json.dumps(settings, sort_keys=True)
        if key not in made:
            folder = tmp_path_factory.mktemp("written")
            file = adapters.save(adapted(family, base, **settings), folder, family)
            base.unload_lora()
            made[key] = folder / "carried.safetensors"
            safetensors_file.write(file, made[key], "the recipe\nöß")
        return made[key]

    return write


@pytest.fixture
def file(written):
    return written()


def changes(model):
    """Return what the adapters on a model add to each layer's weights, as peft computes it."""
    layers = {name: layer for name, layer in model.named_modules() if hasattr(layer, "get_delta_weight")}
    return {name: sum(layer.get_delta_weight(one) for one in layer.active_adapters) for name, layer in layers.items()}


def changes_of(file, alpha):
    """Return the same of a file in diffusers' form, computed by hand."""
    tensors = load_file(file)
    names = [name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight")]
    return {
        name.removeprefix("transformer."): alpha
        / tensors[f"{name}.lora_A.weight"].shape[0]
        * tensors[f"{name}.lora_B.weight"]
        @ tensors[f"{name}.lora_A.weight"]
        for name in names
    }


def assert_close(left, right):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=1e-6, rtol=1e-5)


def to_comfyui(file, family, target):
    adapter_forms.write_comfyui(adapter_forms.read(file, family), target, family)
    return target


def to_diffusers(file, family, target):
    adapter_forms.write_diffusers(adapter_forms.read(file, family), target, family.adapter_prefix)
    return target


def by_comfyui(file, family, layers):
    """Add a file's layers as ComfyUI does to the weights of a model under its names, made from `layers` of ours.

    A key is looked up as `diffusion_model.NAME`; what is not found there is an error here, where ComfyUI only logs it.
    """
    places = {name: family.layer_names.place(name) for name in layers}
    weights = {
        f"diffusion_model.{place.name}": torch.cat([layers[member].weight for member in place.members])
        for place in places.values()
    }
    tensors = load_file(file)
    for key in {name.rsplit(".lora_", 1)[0].removesuffix(".alpha") for name in tensors}:
        up, down = tensors.pop(f"{key}.lora_B.weight"), tensors.pop(f"{key}.lora_A.weight")
        scale = tensors.pop(f"{key}.alpha").item() / down.shape[0]
        weights[key] = weights[key] + (scale * torch.mm(up.float(), down.float())).type(weights[key].dtype)
    assert not tensors
    return {
        member: part - layers[member].weight
        for place in places.values()
        for member, part in zip(
            place.members, weights[f"diffusion_model.{place.name}"].chunk(len(place.members)), strict=True
        )
    }


SETTINGS = (
    {},
    {"lora_alpha": RANK},
    {"lora_alpha": 0.1, "r": 3},
    {"use_rslora": True},
    {"target": "others"},
    {"rank_pattern": {r"0\..*": 2}, "alpha_pattern": {r"0\..*": 1.5}},
)
#: adapters on a part of what is fused elsewhere
SOME = {
    "hunyuan15": r"transformer_blocks\.\d+\.attn\.(to_q|to_v|add_k_proj)",
    "kandinsky5": r"visual_transformer_blocks\.\d+\.self_attention\.to_query",
    "ltx2": r".*(proj_in|time_embed\.linear|attn1\.to_v)",
    "sana": r"transformer_blocks\.\d+\.(attn1\.to_k|attn2\.to_v)",
}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_file_of_ours_goes_to_comfyuis_form_and_comes_back_the_same_bytes(family, written, tmp_path, settings):
    if settings.get("target") == "others":
        settings = {"target": SOME[family.name]}
    ours = written(**settings)
    theirs = to_comfyui(ours, family, tmp_path / "theirs.safetensors")
    back = to_diffusers(theirs, family, tmp_path / "back.safetensors")
    assert back.read_bytes() == ours.read_bytes()
    assert to_diffusers(ours, family, tmp_path / "same.safetensors").read_bytes() == ours.read_bytes()
    assert to_comfyui(theirs, family, tmp_path / "again.safetensors").read_bytes() == theirs.read_bytes()
    assert safetensors_file.read(theirs) == "the recipe\nöß"


@pytest.mark.parametrize("target", ["usual", "all", "some"])
def test_in_comfyui_the_exported_file_does_what_ours_does_here(family, written, model, tmp_path, target):
    chosen = {"usual": family.default_lora_target, "all": list(family.lora_targets)[-1], "some": SOME[family.name]}
    ours = written(target=chosen[target])
    theirs = to_comfyui(ours, family, tmp_path / "theirs.safetensors")
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and family.layer_names.place(name)
    }
    there = by_comfyui(theirs, family, layers)
    here = changes_of(ours, ALPHA)
    assert any(change.abs().max() > 1e-3 for change in here.values())
    for name, change in there.items():
        torch.testing.assert_close(change, here.get(name, torch.zeros_like(change)), atol=1e-6, rtol=1e-5)


def test_comfyuis_form_has_its_prefix_and_alpha_beside_every_layer(family, file, tmp_path):
    tensors = load_file(to_comfyui(file, family, tmp_path / "theirs.safetensors"))
    facts = facts_of(tmp_path / "theirs.safetensors")
    assert (facts.family, facts.rank) == (family, RANK)  # also where layers are fused, with three times the rank
    downs = [name for name in tensors if name.endswith(".lora_A.weight")]
    assert len(tensors) == 3 * len(downs)
    for name in downs:
        key = name.removesuffix(".lora_A.weight")
        assert key.startswith("diffusion_model.")
        assert tensors[f"{key}.alpha"].item() / tensors[name].shape[0] == ALPHA / RANK


@pytest.mark.parametrize("scales", [{r"attn\.to_q": 1.0, r"attn1\.to_k": 1.0, "attn2.to_v": 3.0, ".*to_value": 2.0}])
def test_fused_layers_of_different_scales_do_the_same(family, written, model, tmp_path, scales):
    ours = written(alpha_pattern=scales)
    family.load_adapter(model, ours, 1.0)
    expected = changes(model)
    model.unload_lora()
    family.load_adapter(model, to_comfyui(ours, family, tmp_path / "theirs.safetensors"), 1.0)
    assert_close(changes(model), expected)


@pytest.mark.parametrize("form", ["comfyui", "diffusers"])
def test_every_form_loads_as_what_it_was(family, file, model, tmp_path, form):
    convert = {"comfyui": to_comfyui, "diffusers": to_diffusers}[form]
    family.load_adapter(model, convert(file, family, tmp_path / "other.safetensors"), 1.0)
    assert_close(changes(model), changes_of(file, ALPHA))
    (settings,) = model.peft_config.values()
    assert (settings.r, settings.lora_alpha) == (RANK, ALPHA)


def renamed(file, rename, alpha=None, tails=(".lora_A.weight", ".lora_B.weight")):
    """Return the tensors of a file of ours as another program names them, without its metadata."""
    found = {}
    for key, tensor in load_file(file).items():
        layer, kind = re.fullmatch(r"(?:transformer\.)?(.+)\.lora_([AB])\.weight", key).groups()
        found[rename(layer) + tails[kind == "B"]] = tensor
        if alpha is not None:
            found[f"{rename(layer)}.alpha"] = torch.tensor(float(alpha))
    return found


def underscored(layer):
    return "lora_unet_" + layer.replace(".", "_")


FORMS = {
    "unet": (lambda layer: f"unet.{layer}", None, (".lora_A.weight", ".lora_B.weight")),
    "unet of diffusers": (lambda layer: f"unet.{layer}", None, (".lora.down.weight", ".lora.up.weight")),
    "bare": (lambda layer: layer, None, (".lora_A.default.weight", ".lora_B.default.weight")),
    "comfyui by diffusers' names": (
        lambda layer: f"diffusion_model.{layer}",
        ALPHA,
        (".lora_A.weight", ".lora_B.weight"),
    ),
    "onetrainer": (lambda layer: f"transformer.{layer}", ALPHA, (".lora_down.weight", ".lora_up.weight")),
    "kohya": (underscored, ALPHA, (".lora_down.weight", ".lora_up.weight")),
}


@pytest.mark.parametrize("form", FORMS)
def test_files_of_other_trainers_are_recognised_and_do_what_they_say(family, file, model, tmp_path, form):
    rename, alpha, tails = FORMS[form]
    other = tmp_path / "other.safetensors"
    save_file(renamed(file, rename, alpha, tails), other)
    facts = facts_of(other)
    assert (facts.family.name, facts.rank) == (family.name, RANK)
    family.load_adapter(model, other, 1.0)
    assert_close(changes(model), changes_of(file, RANK if alpha is None else alpha))  # not told, it counts as the rank


@pytest.mark.parametrize("dots", [True, False])
def test_files_by_the_original_codes_names_that_fuse_layers_as_a_whole_do_the_same(family, model, tmp_path, dots):
    """A trainer of the original code has one A and B for all of queries, keys and values."""
    places = {family.layer_names.place(name) for name in target_layers(family, model)}
    tensors, expected = {}, {}
    torch.manual_seed(1)
    for place in sorted(places, key=lambda place: place.name):
        layers = [model.get_submodule(member) for member in place.members]
        down = torch.randn(RANK, layers[0].in_features)
        up = torch.randn(sum(layer.out_features for layer in layers), RANK)
        key = f"diffusion_model.{place.name}" if dots else underscored(place.name)
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(1.0)}
        expected |= dict(zip(place.members, (up @ down / RANK).chunk(len(layers)), strict=True))
    save_file(tensors, tmp_path / "other.safetensors")
    assert facts_of(tmp_path / "other.safetensors").family is family
    family.load_adapter(model, tmp_path / "other.safetensors", 1.0)
    assert_close(changes(model), expected)


def target_layers(family, model):
    pattern = re.compile(family.lora_targets[family.default_lora_target].pattern)
    return [name for name, _ in model.named_modules() if pattern.fullmatch(name)]


def test_the_original_hunyuan_codes_own_names_are_understood(tmp_path):
    family = families.family("hunyuan15")
    model = transformer(family)
    names = {"to_q": "img_attn_q", "to_k": "img_attn_k", "to_v": "img_attn_v", "to_out.0": "img_attn_proj"}
    names |= {"add_q_proj": "txt_attn_q", "add_k_proj": "txt_attn_k", "add_v_proj": "txt_attn_v"}
    names |= {"to_add_out": "txt_attn_proj"}

    def rename(layer):
        block, part = re.fullmatch(r"transformer_blocks\.(\d+)\.attn\.(.+)", layer).groups()
        return f"lora_unet_double_blocks_{block}_{names[part]}"

    ours = adapters.save(adapted(family, model), tmp_path, family)
    model.unload_lora()
    save_file(renamed(ours, rename, ALPHA, (".lora_down.weight", ".lora_up.weight")), tmp_path / "other.safetensors")
    family.load_adapter(model, tmp_path / "other.safetensors", 1.0)
    assert_close(changes(model), changes_of(ours, ALPHA))


@pytest.mark.parametrize("family", ["ltx2", "sana"], indirect=True)
def test_alphas_and_ranks_that_differ_by_layer_are_kept(family, file, model, tmp_path):
    tensors = renamed(file, lambda layer: f"diffusion_model.{layer}", ALPHA)
    layers = [key.removesuffix(".alpha") for key in tensors if key.endswith(".alpha")]
    for number, layer in enumerate(layers):
        tensors[f"{layer}.alpha"] = torch.tensor(0.5 + number)
    odd = layers[1]
    down, up = f"{odd}.lora_A.weight", f"{odd}.lora_B.weight"
    tensors[down], tensors[up] = tensors[down][:1].clone(), tensors[up][:, :1].clone()
    save_file(tensors, tmp_path / "other.safetensors")
    family.load_adapter(model, tmp_path / "other.safetensors", 1.0)
    expected = {
        layer.removeprefix("diffusion_model."): (0.5 + number)
        / tensors[f"{layer}.lora_A.weight"].shape[0]
        * tensors[f"{layer}.lora_B.weight"]
        @ tensors[f"{layer}.lora_A.weight"]
        for number, layer in enumerate(layers)
    }
    assert_close(changes(model), expected)
    model.unload_lora()
    family.load_adapter(model, to_diffusers(tmp_path / "other.safetensors", family, tmp_path / "x.safetensors"), 1.0)
    assert_close(changes(model), expected)


@pytest.mark.parametrize("family", ["ltx2", "sana"], indirect=True)
def test_where_alpha_tensors_and_settings_disagree_the_tensors_count(family, file, model, tmp_path):
    theirs = to_comfyui(file, family, tmp_path / "theirs.safetensors")
    tensors = load_file(theirs)
    halved = {name: tensor / 2 if name.endswith(".alpha") else tensor for name, tensor in tensors.items()}
    save_file(halved, tmp_path / "halved.safetensors", safe_open(theirs, "pt").metadata())
    family.load_adapter(model, tmp_path / "halved.safetensors", 1.0)
    assert_close(changes(model), changes_of(file, ALPHA / 2))


@pytest.mark.parametrize("family", ["sana"], indirect=True)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda texts: texts | {"lora_adapter_metadata": "{"}, "metadata are damaged"),
        (lambda texts: texts | {"lora_adapter_metadata": '{"r": 4, "lora_alpha": "x"}'}, "metadata are damaged"),
        (
            lambda texts: texts | {"lora_adapter_metadata": '{"r": 7, "lora_alpha": 7}'},
            "say rank 7 of .*, its tensors 4",
        ),
        (lambda texts: texts | {"lora_adapter_metadata": '{"r": 4, "use_dora": true}'}, "it is a DoRA"),
        (lambda texts: texts | {"lora_adapter_metadata": '{"r": 4, "rank_pattern": {"(": 1}}'}, "metadata are damaged"),
        (lambda texts: texts | {"lora_adapter_metadata": '{"r": 4, "rank_pattern": [1]}'}, "metadata are damaged"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(family, file, model, tmp_path, change, words):
    texts = safe_open(file, "pt").metadata()
    save_file(load_file(file), tmp_path / "other.safetensors", change(texts))
    with pytest.raises(Failure, match=words):
        family.load_adapter(model, tmp_path / "other.safetensors", 1.0)
    assert not getattr(model, "peft_config", None)


@pytest.mark.parametrize("family", ["sana"], indirect=True)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda key, tensor: {f"{key}.dora_scale": torch.ones(1)}, "it is a DoRA"),
        (lambda key, tensor: {f"{key}.lokr_w1": torch.ones(1)}, "lokr_w1' is no LoRA weight"),
        (lambda key, tensor: {f"{key}.alpha": torch.ones(2)}, "alpha is no number"),
        (lambda key, tensor: {f"{key}.alpha": torch.tensor(float("nan"))}, "alpha is no number"),
        (lambda key, tensor: {f"{key}.lora_A.weight": torch.ones(3, tensor.shape[1])}, "is no LoRA of a linear layer"),
        (lambda key, tensor: {f"{key}.lora_A.weight": torch.ones(4, 5, 1, 1)}, "is no LoRA of a linear layer"),
    ],
)
def test_what_is_not_understood_is_named_and_nothing_is_loaded(family, file, model, tmp_path, change, words):
    tensors = load_file(file)
    key = next(name for name in tensors if name.endswith(".lora_A.weight"))
    tensors |= change(key.removesuffix(".lora_A.weight"), tensors[key])
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(Failure, match=words):
        family.load_adapter(model, tmp_path / "other.safetensors", 1.0)
    assert not getattr(model, "peft_config", None)


@pytest.mark.parametrize("ranks", ["[1, 2, 3]", "[4, 4, 5]", "[-1, 6, 7]", "[12]"])
def test_ranks_that_do_not_fit_a_fused_layer_are_refused(tmp_path, ranks):
    family = families.family("hunyuan15")
    layer = "double_blocks.0.img_attn.qkv"
    tensors = {f"{layer}.lora_A.weight": torch.ones(12, 32), f"{layer}.lora_B.weight": torch.ones(96, 12)}
    save_file(tensors, tmp_path / "a.safetensors", {"vflow_fused": f'{{"{layer}": {ranks}}}'})
    with pytest.raises(Failure, match="the ranks of double_blocks"):
        adapter_forms.read(tmp_path / "a.safetensors", family)


def test_a_layer_without_a_name_in_comfyui_is_named(tmp_path):
    family = families.family("hunyuan15")
    model = adapted(family, transformer(family), target=r"norm_out\.linear")
    ours = adapters.save(model, tmp_path, family)
    with pytest.raises(Failure, match=r"how ComfyUI names the layer norm_out\.linear of HunyuanVideo 1\.5"):
        to_comfyui(ours, family, tmp_path / "x.safetensors")


def test_an_adapter_of_another_family_is_one_message(family, file, tmp_path):
    for name in set(FAMILIES) - {family.name}:
        other = families.family(name)
        model = transformer(other)
        with pytest.raises(Failure, match=f"does not fit this transformer of {other.title}"):
            other.load_adapter(model, file, 1.0)
        assert not getattr(model, "peft_config", None)
