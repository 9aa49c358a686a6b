"""What is wrong with a graph is told in one clear message for it, before anything heavy, in every family."""

import json
import shutil
import struct

import pytest
import yaml

from vflow.engine.cli import DONE, WRONG, main
from vflow.engine.problems import GraphError
from vflow.nodes.data.bucket_videos import BucketVideos
from vflow.nodes.families import families
from vflow.nodes.validation import Sampler
from vflow.nodes.values import VAE, Source

FAMILIES = families(third_party=False)
OTHER = {"hunyuan15": "sana", "kandinsky5": "ltx2", "ltx2": "hunyuan15", "sana": "kandinsky5"}
#: a layer that each family's adapters lie beside
LAYER = {
    "hunyuan15": "transformer_blocks.0.attn.add_q_proj",
    "kandinsky5": "visual_transformer_blocks.0.self_attention.to_query",
    "ltx2": "transformer_blocks.0.audio_attn1.to_q",
    "sana": "transformer_blocks.0.attn1.to_q",
}
EVERY = pytest.mark.parametrize("name", sorted(FAMILIES))


def loader(kind, model):
    return {"type": kind, "model": model, "dtype": "float32"}


def graph_of(name, model=None):
    """A whole training of a family, small."""
    model = model or f"tiny://{name}"
    frames = FAMILIES[name].rules.nearest_frames(9)[0]
    return {
        "vflow": 1,
        "nodes": {
            "transformer": loader("LoadTransformer", model),
            "vae": loader("LoadVAE", model),
            "text_encoder": loader("LoadTextEncoder", model),
            "clips": {
                "type": "BucketVideos",
                "inputs": {"vae": "vae"},
                "source": "sample://shapes?clips=4",
                "resolution": 64,
                "frames": frames,
            },
            "captions": {
                "type": "EncodeText",
                "inputs": {"text_encoder": "text_encoder", "captions": "clips.captions"},
            },
            "latents": {"type": "EncodeVideo", "inputs": {"vae": "vae", "clips": "clips.clips"}},
            "lora": {"type": "ApplyLoRA", "inputs": {"model": "transformer"}, "rank": 4},
            "prompt_texts": {"type": "Prompts", "prompts": ["a red circle moves to the right"]},
            "prompts": {"type": "EncodeText", "inputs": {"text_encoder": "text_encoder", "captions": "prompt_texts"}},
            "sampler": {
                "type": "Sampler",
                "inputs": {"vae": "vae", "prompts": "prompts"},
                "resolution": "64x64",
                "frames": frames,
            },
            "train": {
                "type": "TrainLoop",
                "inputs": {"transformer": "lora", "latents": "latents", "captions": "captions", "sampler": "sampler"},
                "steps": 2,
                "precision": "fp32",
            },
        },
        "outputs": {"lora": "train.adapter"},
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def plan(store, tmp_path, capsys, monkeypatch):
    """Plan a graph; return exit code and what was said to be wrong."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def call(graph):
        file = tmp_path / "graph.yaml"
        file.write_text(yaml.safe_dump(graph, sort_keys=False))
        code = main(["plan", str(file), "--cache", str(store), "--offline"])
        said = capsys.readouterr().err
        return code, [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]

    return call


@pytest.fixture
def told(plan):
    """Plan a graph with one thing wrong; return the only message."""

    def call(graph):
        code, errors = plan(graph)
        assert code == WRONG
        assert len(errors) == 1, errors
        return errors[0]

    return call


def changed(name, **nodes):
    graph = graph_of(name)
    for node, settings in nodes.items():
        inputs = {**graph["nodes"].get(node, {}).get("inputs", {}), **settings.pop("inputs", {})}
        graph["nodes"][node] = {**graph["nodes"].get(node, {}), **settings}
        if inputs:
            graph["nodes"][node]["inputs"] = inputs
    return graph


@EVERY
def test_without_a_mistake_nothing_is_said(plan, name):
    assert plan(graph_of(name)) == (DONE, [])


@EVERY
@pytest.mark.parametrize("node", ["clips", "sampler"])
def test_frames_against_the_rule(told, name, node):
    rules = FAMILIES[name].rules
    said = told(changed(name, **{node: {"frames": 8}}))
    assert f"nodes.{node}.frames: {FAMILIES[name].title} takes {rules.frames_words} frames, not 8" in said
    assert said.endswith(f"use {' or '.join(map(str, rules.nearest_frames(8)))}")


@EVERY
@pytest.mark.parametrize("node", ["clips", "sampler"])
def test_a_size_against_the_rule(told, name, node):
    rules = FAMILIES[name].rules
    said = told(changed(name, **{node: {"resolution": "854x480"}}))
    assert f"nodes.{node}.resolution: {FAMILIES[name].title} takes sizes that are multiples of" in said
    assert said.endswith("use " + " or ".join(f"{width}x480" for width in rules.nearest_sizes(854)))


@pytest.mark.parametrize("node", [BucketVideos, Sampler])
def test_an_hd_size_that_is_no_multiple_of_128(node):
    hd = Source(family="kandinsky5", part="vae", content="", model="kandinsky5/t2v-pro-sft-5s-hd", kind="hub")
    settings = {"source": "sample://shapes"} if node is BucketVideos else {}
    vae = VAE(source=hd)
    found = list(node(resolution="1280x720", **settings).preflight(_Linked(), vae=vae))
    if not found:
        with pytest.raises(GraphError) as caught:
            node(resolution="1280x720", frames=61, **settings).run(_Linked(), vae)
        found = [problem for problem in caught.value.problems if problem.where == "resolution"]
    (problem,) = found
    assert "multiples of 128, not 1280x720" in problem.message
    assert problem.remedy == "use 1280x640 or 1280x768"


class _Linked:
    """As much of a context as these nodes ask for before they find what is wrong."""

    offline = True

    def is_linked(self, port):
        return False

    def log(self, message, level="info"):
        pass

    def __getattr__(self, name):
        raise GraphError(f"{name} was asked for")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Folders that look like each family's checkpoint to whoever reads configurations and headers."""
    header = json.dumps({LAYER["sana"]: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + b"\0" * 4

    def made(known):
        folder = tmp_path_factory.mktemp(known.name)
        index = {}
        for part, folders in known.folders.items():
            for place, sub in enumerate(folders):
                (folder / sub).mkdir()
                kind = next(iter(sorted(known.classes[part]))) if not place else "Config"
                name = "_class_name" if part != "text_encoder" else "architectures"
                config = {name: kind if name == "_class_name" else [kind]} if not place else {}
                (folder / sub / "config.json").write_text(json.dumps(config))
                if not place:
                    stem = "model" if part in ("text_encoder", "image_encoder") else "diffusion_pytorch_model"
                    (folder / sub / f"{stem}.safetensors").write_bytes(weights)
                    index[sub] = ["diffusers", kind]
        (folder / "model_index.json").write_text(json.dumps(index))
        return folder

    return {name: made(known) for name, known in FAMILIES.items()}


@EVERY
def test_a_missing_sub_folder_is_named_with_where_it_is_to_be_had(told, checkpoints, tmp_path, name):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoints[name], folder)
    shutil.rmtree(folder / "vae")
    graph = graph_of(name)
    graph["nodes"]["vae"]["model"] = str(folder)
    said = told(graph)
    assert "lacks the sub-folder 'vae'" in said
    repositories = {flavour.repository for flavour in FAMILIES[name].flavours.values()}
    assert any(repository in said for repository in repositories)


@EVERY
def test_a_vae_of_another_family(told, name):
    other = OTHER[name]
    frames = FAMILIES[other].rules.nearest_frames(9)[0]
    wrong = {"model": f"tiny://{other}"}
    said = told(changed(name, vae=wrong, clips={"frames": frames}, sampler={"frames": frames}))
    assert f"the vae of {other} (tiny://{other})" in said
    assert f"a model of {name}" in said


@EVERY
def test_a_text_encoder_of_another_family(told, name):
    said = told(changed(name, text_encoder={"model": f"tiny://{OTHER[name]}"}))
    assert (
        f"nodes.train.inputs.captions: what is linked to captions comes from the text_encoder of {OTHER[name]}" in said
    )


@EVERY
def test_an_unknown_lora_target(told, name):
    known = FAMILIES[name]
    said = told(changed(name, lora={"target": known.default_lora_target[:-1]}))
    assert f"{known.title} has no LoRA target {known.default_lora_target[:-1]!r}" in said
    assert f"did you mean {known.default_lora_target!r}?" in said


def adapter_file(folder, layer, rank):
    """Write an adapter of one layer as diffusers names its tensors."""
    shapes = {f"transformer.{layer}.lora_A.weight": [rank, 8], f"transformer.{layer}.lora_B.weight": [8, rank]}
    header, end = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + 4 * shape[0] * shape[1]]}
    text = json.dumps(header).encode()
    file = folder / "adapter.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    return str(file)


def starting_from(name, file, of):
    graph = changed(name, lora={"inputs": {"adapter": "start"}})
    graph["nodes"]["start"] = {"type": "LoadAdapter", "source": file, "family": of}
    return graph


@EVERY
def test_an_adapter_of_another_family(told, tmp_path, name):
    other = OTHER[name]
    said = told(starting_from(name, adapter_file(tmp_path, LAYER[other], 4), other))
    assert f"the adapter is of {other}, the transformer of {name}" in said


@EVERY
def test_an_adapter_of_another_rank(told, tmp_path, name):
    said = told(starting_from(name, adapter_file(tmp_path, LAYER[name], 2), name))
    assert "the adapter to start from has rank 2; write rank: 2" in said


@pytest.mark.parametrize("model", ["hunyuan15-i2v", "kandinsky5-i2v"])
def test_an_image_to_video_checkpoint_without_images(plan, model):
    name = model.partition("-")[0]
    code, errors = plan(graph_of(name, f"tiny://{model}"))
    assert code == WRONG
    assert {error.partition(": ")[2].partition(" ")[0].rstrip(":") for error in errors} <= {
        "nodes.train.inputs.images",
        "nodes.sampler.inputs.images",
    }
    assert all(f"tiny://{model} is for image to video and needs first frames" in error for error in errors)


def with_sound_demanded(name):
    graph = graph_of(name)
    graph["nodes"]["sound"] = {
        "type": "EncodeAudio",
        "inputs": {"vae": "vae", "clips": "clips.clips"},
        "silent": "error",
    }
    graph["nodes"]["train"]["inputs"]["audio"] = "sound"
    return graph


def test_sound_demanded_of_clips_without_sound(told):
    said = told(with_sound_demanded("ltx2"))
    assert "4 clips have no sound track" in said
    assert "give clips with sound, or write silent: isolate" in said


@pytest.mark.parametrize("name", sorted(name for name, known in FAMILIES.items() if not known.sound))
def test_sound_demanded_of_a_family_without_sound(plan, name):
    code, errors = plan(with_sound_demanded(name))
    assert code == WRONG
    assert any(f"{FAMILIES[name].title} has no sound" in error for error in errors)
