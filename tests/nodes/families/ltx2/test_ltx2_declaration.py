import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import LTX2VideoTransformer3DModel
from peft import LoraConfig

from vflow.nodes.families import ltx2
from vflow.nodes.families.ltx2 import FAMILY

REAL = json.loads((Path(ltx2.__file__).parent / "configs" / "real" / "transformer.json").read_text())


@pytest.fixture(scope="module")
def real_transformer():
    with torch.device("meta"):
        return LTX2VideoTransformer3DModel(**REAL)


def test_the_declaration_is_light():
    code = (
        "import sys; from vflow.nodes.families.ltx2 import FAMILY; FAMILY.flavours; FAMILY.rules.nearest_frames(61);"
        "heavy = {'torch', 'diffusers', 'transformers', 'peft', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_real_configuration_is_the_19b_of_the_published_checkpoint(real_transformer):
    assert sum(p.numel() for p in real_transformer.parameters()) == pytest.approx(18.876e9, rel=1e-3)


@pytest.mark.parametrize(
    ("target", "modules", "millions"),
    [
        ("video_attention", 384, 50.33),
        ("attention", 1152, 106.95),
        ("video_attention_ff", 480, 81.79),
        ("attention_ff", 1344, 154.14),
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
        model = LTX2VideoTransformer3DModel(**REAL | {"num_layers": 3})
        model.add_adapter(LoraConfig(r=16, target_modules=FAMILY.lora_targets[FAMILY.default_lora_target].pattern))
    weights = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert len(weights) == 384 * 3 // 48
    assert all(re.match(r"transformer_blocks\.\d+\.attn[12]\.", name) for name in weights)


def test_patterns_leave_the_projections_of_the_connectors_alone():
    for target in FAMILY.lora_targets.values():
        assert not re.fullmatch(target.pattern, "video_connector.transformer_blocks.0.attn1.to_q")


def test_frames_are_8k_plus_1_and_sizes_multiples_of_32():
    assert FAMILY.rules.frames_fit(57)
    assert not FAMILY.rules.frames_fit(61)
    assert FAMILY.rules.nearest_frames(61) == (57, 65)
    assert FAMILY.rules.nearest_sizes(500) == (480, 512)
    assert FAMILY.rules.latent_shape(121, 512, 768) == (16, 16, 24)
