"""Networks from one file in the original layout, against the same weights in folders.

The files are made from miniatures by the inverse of diffusers' own renaming, which is found by renaming every name that
there could be.
"""

import re
from itertools import product

import diffusers
import pytest
import torch
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from safetensors.torch import load_file, save_file

from vflow.engine.problems import Failure, GraphError
from vflow.nodes import families
from vflow.nodes.families import loading
from vflow.nodes.models import facts
from vflow.nodes.models.nodes import ApplyLoRA, LoadTextEncoder, LoadTransformer, LoadVAE

FAMILIES = ("hunyuan15", "kandinsky5", "ltx2", "sana")


def converted(kind, names):
    """Rename as diffusers does: name in the file -> name in the class."""
    convert = SINGLE_FILE_LOADABLE_CLASSES[kind]["checkpoint_mapping_fn"]
    found = {}
    for name in names:
        (found[name],) = convert(checkpoint={name: torch.zeros(1)}, config={}) or [None]
    return found


def original(kind, tensors, guesses):
    """Return tensors by the names that the makers' code gives them, each found among guesses."""
    back = {ours: name for name, ours in converted(kind, guesses).items()}
    assert tensors.keys() <= back.keys()
    return {back[name]: tensor.clone() for name, tensor in tensors.items()}


def replaced(names, pairs):
    """Return every name with some of the replacements made."""
    for name in names:
        hit = [pair for pair in pairs if re.search(pair[0], name)]
        for chosen in product((False, True), repeat=len(hit)):
            guess = name
            for (pattern, text), made in zip(hit, chosen, strict=True):
                guess = re.sub(pattern, text, guess) if made else guess
            yield guess


def ltx2_transformer(tensors):
    pairs = (
        (r"\bproj_in\b", "patchify_proj"),
        (r"audio_proj_in\b", "audio_patchify_proj"),
        (r"^time_embed\.", "adaln_single."),
        (r"^audio_time_embed\.", "audio_adaln_single."),
        ("av_cross_attn_video_scale_shift", "av_ca_video_scale_shift_adaln_single"),
        ("av_cross_attn_audio_scale_shift", "av_ca_audio_scale_shift_adaln_single"),
        ("av_cross_attn_video_a2v_gate", "av_ca_a2v_gate_adaln_single"),
        ("av_cross_attn_audio_v2a_gate", "av_ca_v2a_gate_adaln_single"),
        ("video_a2v_cross_attn_scale_shift_table", "scale_shift_table_a2v_ca_video"),
        ("audio_a2v_cross_attn_scale_shift_table", "scale_shift_table_a2v_ca_audio"),
        ("norm_q", "q_norm"),
        ("norm_k", "k_norm"),
    )
    return original("LTX2VideoTransformer3DModel", tensors, list(replaced(tensors, pairs)))


def ltx2_vae(tensors):
    numbers = [
        (rf"{kind}_blocks\.\d+(?:\.(?:down|up)samplers\.0)?|mid_block", f"{kind}_blocks.{number}")
        for kind in ("down", "up")
        for number in range(9)
    ]
    tidy = [re.sub(r"\bresnets\b", "res_blocks", name) for name in tensors]
    guesses = {re.sub(*pair, name, count=1) for name in tidy for pair in numbers} | set(tidy)
    guesses |= {"per_channel_statistics.mean-of-means", "per_channel_statistics.std-of-means"}
    return original("AutoencoderKLLTX2Video", tensors, sorted(guesses))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """LTX-2's miniature, and one file of all its networks' weights as the makers' own files are."""
    folder = tmp_path_factory.mktemp("ltx2")
    families.family("ltx2").build_miniature(folder, 0)
    weights = {
        name: load_file(folder / name / "diffusion_pytorch_model.safetensors")
        for name in ("transformer", "vae", "audio_vae")
    }
    tensors = {f"model.diffusion_model.{name}": t for name, t in ltx2_transformer(weights["transformer"]).items()}
    tensors["model.diffusion_model.video_embeddings_connector.x.weight"] = torch.ones(2)
    tensors |= {f"vae.{name}": tensor for name, tensor in ltx2_vae(weights["vae"]).items()}
    tensors["vae.per_channel_statistics.mean-of-stds"] = torch.ones(2)
    tensors |= {f"audio_vae.{name}": tensor for name, tensor in weights["audio_vae"].items()}
    tensors["vocoder.x.weight"] = torch.ones(2)
    file = tmp_path_factory.mktemp("single") / "ltx-2-mini.safetensors"
    save_file(tensors, file)
    return folder, file


def state(module):
    return dict(module.state_dict())


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert torch.equal(left[name], right[name]), name


def test_the_networks_that_are_said_to_load_from_one_file_are_those_of_the_installed_diffusers():
    for name in FAMILIES:
        known = families.family(name)
        for part, kinds in known.classes.items():
            folder = known.folders[part][0]
            assert (folder in known.single_files) == bool(kinds & SINGLE_FILE_LOADABLE_CLASSES.keys()), kinds


@pytest.mark.parametrize(
    ("loader", "part", "dtype"), [(LoadTransformer, "transformer", "bfloat16"), (LoadVAE, "vae", "float32")]
)
def test_a_model_in_one_file_is_the_model_in_folders(miniature, context, loader, part, dtype):
    folder, file = miniature
    single = loader(model=str(file), config=str(folder), dtype=dtype).run(context)
    whole = loader(model=str(folder), dtype=dtype).run(context)
    assert single.source.family == "ltx2"
    assert single.source.task == whole.source.task
    assert single.source.identity != whole.source.identity
    assert single.is_fetched(context)
    assert single.bytes_to_fetch(context) == 0
    with context.load(single) as ours, context.load(whole) as theirs:
        assert_same(state(ours.modules()[part]), state(theirs.modules()[part]))
        assert not any(parameter.requires_grad for parameter in ours.modules()[part].parameters())
        assert not ours.modules()[part].training
    assert facts.weight_bytes(single, context) >= facts.weight_bytes(whole, context) > 0


def test_it_is_named_as_a_component_too_and_both_ways_are_one_model(miniature, context):
    folder, file = miniature
    one = LoadTransformer(model=str(file), config=str(folder)).run(context)
    other = LoadTransformer(model=str(folder), components={"transformer": str(file)}).run(context)
    assert one.source.identity == other.source.identity


def test_its_identity_is_the_content_wherever_it_lies(miniature, context, tmp_path):
    folder, file = miniature
    one = LoadVAE(model=str(file), config=str(folder)).run(context)
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(file.read_bytes())
    assert LoadVAE(model=str(moved), config=str(folder)).run(context).identity == one.identity
    tensors = load_file(file)
    tensors["vae.per_channel_statistics.mean-of-means"] += 1
    save_file(tensors, moved)
    assert LoadVAE(model=str(moved), config=str(folder)).run(context).identity != one.identity


def test_the_configuration_alone_is_enough_beside_it(miniature, context, tmp_path):
    folder, file = miniature
    for name in ("model_index.json", "transformer/config.json", "scheduler/scheduler_config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    recipe = LoadTransformer(model=str(file), config=str(tmp_path)).run(context)
    with context.load(recipe) as live:
        assert live.scheduler is not None


def test_lora_targets_are_counted_as_in_folders(miniature, context):
    folder, file = miniature
    counted = []
    for settings in ({"model": str(file), "config": str(folder)}, {"model": str(folder)}):
        recipe = LoadTransformer(**settings).run(context)
        ApplyLoRA(rank=4).run(context, recipe)
        counted.append((context.reported["layers"], context.reported["parameters trained"]))
    assert counted[0] == counted[1]


def test_without_a_config_the_familys_first_flavour_is_taken(miniature, context, monkeypatch):
    asked = []

    def resolve(model, part, context, elsewhere):
        asked.append((model, dict(elsewhere)))
        raise GraphError("asked")

    monkeypatch.setattr("vflow.nodes.models.source.resolve", resolve)
    with pytest.raises(GraphError, match="asked"):
        LoadTransformer(model=str(miniature[1])).run(context)
    assert asked == [("ltx2/2.0", {"transformer": str(miniature[1])})]


def test_a_file_that_is_not_whole_or_is_quantised_is_refused_by_name(miniature, context, tmp_path):
    folder, file = miniature
    tensors = load_file(file)
    marker = "model.diffusion_model.av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight"
    lost = next(name for name in tensors if name.endswith("attn1.to_q.weight"))
    for change, words in (
        (lambda t: t.pop(lost), "lacks 1 weights of LTX2VideoTransformer3DModel"),
        (lambda t: t.update({f"{lost}_scale": torch.ones(1)}), "has besides 1 weights of .*to_q.weight_scale"),
        (lambda t: t.update({marker: torch.ones(3, 5)}), "does not load from"),
    ):
        changed = dict(tensors)
        change(changed)
        save_file(changed, tmp_path / "changed.safetensors")
        recipe = LoadTransformer(model=str(tmp_path / "changed.safetensors"), config=str(folder)).run(context)
        with pytest.raises(Failure, match=words), context.load(recipe):
            pass


def test_what_is_no_such_file_is_told_with_what_to_do(miniature, context, tmp_path, weights):
    folder, file = miniature

    def problem(loader, **settings):
        with pytest.raises(GraphError) as caught:
            loader(**settings).run(context)
        return str(caught.value)

    assert "there is no file" in problem(LoadVAE, model=str(tmp_path / "none.safetensors"))
    (tmp_path / "old.ckpt").write_bytes(b"")
    assert "only safetensors are opened" in problem(LoadVAE, model=str(tmp_path / "old.ckpt"))
    (tmp_path / "text.safetensors").write_text("no tensors")
    assert "is no safetensors file" in problem(LoadVAE, model=str(tmp_path / "text.safetensors"))
    part = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    assert "a file of such a folder is not loaded by itself" in problem(LoadTransformer, model=str(part))
    told = problem(LoadTextEncoder, model=str(file))
    assert "holds no text_encoder that is loaded from one file" in told
    assert (
        "diffusers loads transformer, vae from one file; take it from a model in folders, for instance ltx2/2.0" in told
    )
    weights(tmp_path / "wan.safetensors", **{"decoder.middle.0.residual.0.gamma": (2,)})
    wan = problem(LoadTransformer, model=str(tmp_path / "wan.safetensors"))
    assert "of Sana Video, diffusers loads vae from one file" in wan
    assert "is no vae of LTX Video 2" in problem(
        LoadVAE, model=str(folder), components={"vae": str(tmp_path / "wan.safetensors")}
    )
    assert "leave it out" in problem(LoadVAE, model=str(folder), config=str(folder))
    assert "lacks vae/config.json" in problem(
        LoadVAE, model=str(file), config=str(index_only(tmp_path / "index", folder))
    )


def index_only(place, folder):
    place.mkdir()
    (place / "model_index.json").write_bytes((folder / "model_index.json").read_bytes())
    return place


def test_wans_vae_loads_from_its_makers_file(tmp_path):
    """At the real depth, narrow: diffusers' renaming goes by the numbers of the real one's layers."""
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(base_dim=4, z_dim=16)
    kinds = ("residual.0.gamma", "residual.3.gamma")
    kinds += tuple(f"residual.{number}.{what}" for number in (2, 6) for what in ("weight", "bias"))
    kinds += tuple(f"{name}.{what}" for name in ("shortcut", "resample.1", "time_conv") for what in ("weight", "bias"))
    layers = [f"{side}.{number}" for side in ("encoder.downsamples", "decoder.upsamples") for number in range(15)]
    layers += [f"{side}.middle.{number}" for side in ("encoder", "decoder") for number in (0, 2)]
    guesses = [f"{layer}.{kind}" for layer in layers for kind in kinds]
    for side in ("encoder", "decoder"):
        guesses += [f"{side}.middle.1.{name}" for name in ("norm.gamma", "to_qkv.weight", "to_qkv.bias")]
        guesses += [f"{side}.middle.1.proj.{what}" for what in ("weight", "bias")]
        guesses += [f"{side}.{name}" for name in ("head.0.gamma", "head.2.weight", "head.2.bias")]
        guesses += [f"{side}.conv1.{what}" for what in ("weight", "bias")]
    guesses += [f"conv{number}.{what}" for number in (1, 2) for what in ("weight", "bias")]
    folder = tmp_path / "vae"
    vae.save_config(folder)
    save_file(original("AutoencoderKLWan", state(vae), guesses), folder / "original.safetensors")
    loaded = loading.load_network(diffusers.AutoencoderKLWan, folder, torch_dtype=torch.float32)
    assert_same(state(loaded), state(vae))
    assert families.family("sana").single_files["vae"].is_in(load_file(folder / "original.safetensors"))
