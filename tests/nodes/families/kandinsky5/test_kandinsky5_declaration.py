import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import Kandinsky5Transformer3DModel
from peft import LoraConfig

from vflow.nodes.data.rules import Ruled
from vflow.nodes.families import kandinsky5
from vflow.nodes.families.kandinsky5 import FAMILY
from vflow.nodes.models import layout, source
from vflow.nodes.values import VAE, Source

REAL = Path(kandinsky5.__file__).parent / "configs" / "real"


def config(size):
    return json.loads((REAL / f"{size}.json").read_text())


@pytest.fixture(scope="module")
def real():
    with torch.device("meta"):
        return {size: Kandinsky5Transformer3DModel(**config(size)) for size in ("lite", "pro")}


def test_the_declaration_is_light():
    code = (
        "import sys; from vflow.nodes.families.kandinsky5 import FAMILY; FAMILY.flavours;"
        "heavy = {'torch', 'diffusers', 'transformers', 'peft', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("size", "billions"), [("lite", 2.008), ("pro", 19.311)])
def test_the_real_configurations_are_of_the_published_size(real, size, billions):
    assert sum(p.numel() for p in real[size].parameters()) / 1e9 == pytest.approx(billions, rel=1e-3)
    assert real[size].visual_embeddings.in_layer.in_features == 4 * 33


@pytest.mark.parametrize(
    ("size", "target", "modules", "millions"),
    [
        ("lite", "projections", 198, 11.35),
        ("lite", "visual_attention", 256, 14.68),
        ("lite", "attention", 264, 15.14),
        ("lite", "attention_ff", 332, 24.89),
        ("pro", "projections", 372, 48.76),
        ("pro", "visual_attention", 480, 62.91),
        ("pro", "attention", 496, 65.01),
        ("pro", "attention_ff", 624, 106.95),
    ],
)
def test_a_lora_of_rank_16_hits_the_expected_modules_at_real_size(real, size, target, modules, millions):
    pattern = FAMILY.lora_targets[target].pattern
    hit = [module for name, module in real[size].named_modules() if re.fullmatch(pattern, name)]
    assert all(isinstance(module, torch.nn.Linear) for module in hit)
    assert len(hit) == modules
    assert sum(16 * (m.in_features + m.out_features) for m in hit) / 1e6 == pytest.approx(millions, abs=0.005)


def test_peft_puts_the_default_target_where_the_pattern_says():
    with torch.device("meta"):
        model = Kandinsky5Transformer3DModel(**config("lite") | {"num_visual_blocks": 3})
        model.add_adapter(LoraConfig(r=16, target_modules=FAMILY.lora_targets[FAMILY.default_lora_target].pattern))
    weights = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert len(weights) == 2 * 4 + 3 * 8


@pytest.mark.parametrize("name", ["out_layer.out_layer", "time_embeddings.out_layer", "text_embeddings.in_layer"])
def test_patterns_leave_layers_of_the_same_last_name_alone(name):
    assert not any(re.fullmatch(target.pattern, name) for target in FAMILY.lora_targets.values())
    modulation = "visual_transformer_blocks.0.visual_modulation.out_layer"
    assert not any(re.fullmatch(target.pattern, modulation) for target in FAMILY.lora_targets.values())


def test_frames_are_4k_plus_1_and_sizes_multiples_of_16():
    assert FAMILY.rules.nearest_frames(60) == (57, 61)
    assert FAMILY.rules.nearest_sizes(500) == (496, 512)
    assert FAMILY.rules.latent_shape(121, 512, 768) == (31, 64, 96)


def of(model, repository=""):
    named = Source(family="kandinsky5", part="vae", content="0", kind="hub", model=model, repository=repository)
    return VAE(source=named).rules


def test_checkpoints_with_sparse_attention_take_multiples_of_128():
    assert of("kandinsky5/t2v-lite-sft-5s").size_multiple == 16
    assert of("kandinsky5/t2v-lite-sft-10s").size_multiple == 128
    assert of("kandinsky5/t2v-pro-sft-5s-hd@main").size_multiple == 128
    name = "kandinskylab/Kandinsky-5.0-T2V-Pro-sft-5s-Diffusers"
    assert of(name, name).size_multiple == 128
    assert of("kandinsky5/i2v-pro-sft-5s").size_multiple == 128
    assert of("kandinsky5/i2v-lite-5s").size_multiple == of("tiny://kandinsky5").size_multiple == 16


@pytest.mark.parametrize(
    ("written", "multiple"),
    [('{"attention_type": "nabla"}', 128), ('{"attention_type": "regular"}', 16), ("[]", 16), ("{", 16), (None, 16)],
)
def test_a_folder_says_by_its_configuration_whether_its_attention_is_sparse(tmp_path, written, multiple):
    (tmp_path / "transformer").mkdir()
    if written is not None:
        (tmp_path / "transformer" / "config.json").write_text(written)
    named = Source(family="kandinsky5", part="vae", content="0", kind="folder", model=str(tmp_path))
    assert VAE(source=named).rules.size_multiple == multiple


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("1280x720", "1280x640 or 1280x768"), ("1000x520", None), (720, "640 or 768"), ("1280x768", "")],
)
def test_a_size_that_is_no_multiple_of_128_is_one_message_with_the_nearest(written, nearest):
    source = Source(family="kandinsky5", part="vae", content="0", kind="hub", model="kandinsky5/i2v-pro-sft-5s")
    problems = list(Ruled.of(VAE(source=source), "refuse", None, None).problems((), [("resolution", written)]))
    if nearest == "":
        assert not problems
        return
    (problem,) = problems
    assert "multiples of 128" in problem.message
    sizes = re.findall(r"\d+x\d+|\d+", problem.remedy)
    assert sizes
    assert all(int(side) % 128 == 0 for size in sizes for side in size.split("x"))
    assert nearest is None or nearest in problem.remedy


KNOWN = {
    "t2v-lite-sft-5s",
    "t2v-lite-sft-10s",
    "t2v-lite-pretrain-5s",
    "t2v-lite-pretrain-10s",
    "t2v-pro-sft-5s-hd",
    "i2v-lite-5s",
    "i2v-pro-sft-5s",
}


def test_every_flavour_says_whether_its_repository_is_known_to_exist():
    uncertain = {"t2v-pro-sft-10s-hd", "t2v-pro-pretrain-5s-hd", "t2v-pro-pretrain-10s-hd"}
    assert FAMILY.flavours.keys() == KNOWN | uncertain
    for name, flavour in FAMILY.flavours.items():
        assert flavour.repository.startswith("kandinskylab/Kandinsky-5.0-")
        words = "is known to exist" if name in KNOWN else "exists is not certain"
        assert f"repository {words}" in flavour.about


def test_flavours_know_their_task_and_their_attention():
    sparse = {name for name, flavour in FAMILY.flavours.items() if flavour.rules is not None}
    assert {name for name in FAMILY.flavours if "10s" in name or "pro" in name} == sparse
    assert {name for name, flavour in FAMILY.flavours.items() if flavour.task == "i2v"} == {
        "i2v-lite-5s",
        "i2v-pro-sft-5s",
    }


@pytest.mark.parametrize(
    ("pipeline", "task"), [("Kandinsky5T2VPipeline", "t2v"), ("Kandinsky5I2VPipeline", "i2v"), ("Another", "t2v")]
)
def test_the_pipelines_class_tells_what_a_checkpoint_is_for(pipeline, task):
    assert FAMILY.task_of({"_class_name": pipeline}) == task


def test_without_an_index_the_repository_tells_it():
    assert FAMILY.task_of({}, "kandinskylab/Kandinsky-5.0-I2V-Lite-5s-Diffusers") == "i2v"
    assert FAMILY.task_of({}, "kandinskylab/Kandinsky-5.0-T2V-Lite-sft-5s-Diffusers") == "t2v"


def test_the_miniature_for_image_to_video_is_named_by_its_task(checkpoint, image_checkpoint):
    sources = [source.resolve(f"tiny://{name}", "transformer", None) for name in ("kandinsky5", "kandinsky5-i2v")]
    assert [one.task for one in sources] == ["t2v", "i2v"]
    assert sources[0].content != sources[1].content
    for folder, task in ((checkpoint, "t2v"), (image_checkpoint, "i2v")):
        tree = layout.FolderTree(folder, None)
        assert layout.read_family(tree, "transformer") is FAMILY
        assert layout.task_of(tree, FAMILY) == task
