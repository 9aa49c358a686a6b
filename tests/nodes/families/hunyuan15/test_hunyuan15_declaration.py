import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.pipelines.hunyuan_video1_5.image_processor import HunyuanVideo15ImageProcessor
from peft import LoraConfig

from vflow.nodes.families import hunyuan15
from vflow.nodes.families.hunyuan15 import FAMILY
from vflow.nodes.values import Source

REAL = json.loads((Path(hunyuan15.__file__).parent / "configs" / "real" / "transformer.json").read_text())


@pytest.fixture(scope="module")
def real_transformer():
    with torch.device("meta"):
        return HunyuanVideo15Transformer3DModel(**REAL)


def test_the_declaration_is_light():
    code = (
        "import sys; from vflow.nodes.families.hunyuan15 import FAMILY;"
        "FAMILY.flavours; FAMILY.rules.nearest_sizes(854);"
        "heavy = {'torch', 'diffusers', 'transformers', 'peft', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_real_configuration_is_the_8b_of_the_published_checkpoint(real_transformer):
    assert sum(p.numel() for p in real_transformer.parameters()) == pytest.approx(8.327e9, rel=1e-3)


@pytest.mark.parametrize(
    ("target", "modules", "millions"),
    [
        ("attention", 432, 28.31),
        ("video_attention", 216, 14.16),
        ("attention_refiner", 440, 28.84),
        ("attention_ff", 648, 63.70),
    ],
)
def test_a_lora_of_rank_16_hits_the_expected_modules_at_real_size(real_transformer, target, modules, millions):
    pattern = FAMILY.lora_targets[target].pattern
    hit = [module for name, module in real_transformer.named_modules() if re.fullmatch(pattern, name)]
    assert all(isinstance(module, torch.nn.Linear) for module in hit)
    assert len(hit) == modules
    assert sum(16 * (m.in_features + m.out_features) for m in hit) / 1e6 == pytest.approx(millions, abs=0.005)


def test_peft_puts_the_default_target_where_the_pattern_says():
    with torch.device("meta"):
        model = HunyuanVideo15Transformer3DModel(**REAL | {"num_layers": 3})
        model.add_adapter(LoraConfig(r=16, target_modules=FAMILY.lora_targets[FAMILY.default_lora_target].pattern))
    weights = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert len(weights) == 432 * 3 // 54
    assert all(re.match(r"transformer_blocks\.\d+\.attn\.", name) for name in weights)


def test_frames_are_4k_plus_1_and_sizes_multiples_of_16():
    assert FAMILY.rules.frames_fit(121)
    assert FAMILY.rules.nearest_frames(120) == (117, 121)
    assert FAMILY.rules.nearest_sizes(854) == (848, 864)
    assert FAMILY.rules.latent_shape(121, 480, 848) == (31, 30, 53)


def test_what_a_checkpoint_is_for_is_told_by_its_pipeline_by_its_encoder_or_by_its_repository():
    assert all(flavour.task == name[:3] for name, flavour in FAMILY.flavours.items())
    assert FAMILY.task_of({"_class_name": "HunyuanVideo15ImageToVideoPipeline"}) == "i2v"
    assert FAMILY.task_of({"_class_name": "HunyuanVideo15Pipeline"}) == "t2v"
    assert FAMILY.task_of({"image_encoder": "SiglipVisionModel"}) == "i2v"
    assert FAMILY.task_of({"transformer": "HunyuanVideo15Transformer3DModel"}) == "t2v"
    assert FAMILY.task_of({}, "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-720p_i2v") == "i2v"


@pytest.mark.parametrize(
    ("flavour", "width", "height", "guidance"),
    [("t2v-480p", 848, 480, 6.0), ("i2v-720p", 1280, 720, 6.0), ("i2v-480p-distilled", 848, 480, 1.0)],
)
def test_a_flavour_is_sampled_at_its_own_size_and_guidance_which_the_image_pipeline_takes_as_they_are(
    flavour, width, height, guidance
):
    source = Source(family="hunyuan15", part="vae", content="x", model=f"hunyuan15/{flavour}", kind="hub")
    sampling = FAMILY.sampling_of(source)
    assert (sampling.width, sampling.height, sampling.guidance) == (width, height, guidance)
    area = 960 if "720p" in flavour else 640
    processor = HunyuanVideo15ImageProcessor(vae_scale_factor=16)
    assert processor.calculate_default_height_width(height, width, area) == (height, width)


def test_the_flavours_names_resolve_to_the_communitys_whole_repositories():
    names = {name: flavour.repository for name, flavour in FAMILY.flavours.items()}
    assert names["t2v-480p"] == "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v"
    assert names["i2v-480p"] == "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_i2v"
    assert names["t2v-720p"] == "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-720p_t2v"
