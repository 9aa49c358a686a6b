import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import SanaVideoPipeline, SanaVideoTransformer3DModel
from peft import LoraConfig

from vflow.nodes.families import family_of, sana
from vflow.nodes.families.sana import FAMILY

REAL = json.loads((Path(sana.__file__).parent / "configs" / "real" / "transformer.json").read_text())


@pytest.fixture(scope="module")
def real_transformer():
    with torch.device("meta"):
        return SanaVideoTransformer3DModel(**REAL)


def test_the_declaration_is_light():
    code = (
        "import sys; from vflow.nodes.families.sana import FAMILY; FAMILY.flavours; FAMILY.rules.nearest_frames(60);"
        "heavy = {'torch', 'diffusers', 'transformers', 'peft', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_real_configuration_is_the_published_checkpoints_with_its_mlp_ratio(real_transformer):
    def parameters(model):
        return sum(p.numel() for p in model.parameters())

    assert parameters(real_transformer) == pytest.approx(2.057e9, rel=1e-3)
    with torch.device("meta"):
        of_the_class = SanaVideoTransformer3DModel(**{k: v for k, v in REAL.items() if k != "mlp_ratio"})
    assert parameters(of_the_class) == pytest.approx(1.906e9, rel=1e-3)


@pytest.mark.parametrize(
    ("target", "modules", "millions"),
    [("attention", 160, 11.47), ("self_attention", 80, 5.73), ("text_attention", 80, 5.73), ("all_linear", 166, 12.01)],
)
def test_a_lora_of_rank_16_hits_the_expected_modules_at_real_size(real_transformer, target, modules, millions):
    pattern = FAMILY.lora_targets[target].pattern
    hit = [module for name, module in real_transformer.named_modules() if re.fullmatch(pattern, name)]
    assert all(isinstance(module, torch.nn.Linear) for module in hit)
    assert len(hit) == modules
    assert sum(16 * (m.in_features + m.out_features) for m in hit) / 1e6 == pytest.approx(millions, abs=0.006)


def test_every_linear_layer_and_no_convolution_is_in_all_linear(real_transformer):
    linear = {name for name, module in real_transformer.named_modules() if isinstance(module, torch.nn.Linear)}
    pattern = FAMILY.lora_targets["all_linear"].pattern
    assert {name for name, _ in real_transformer.named_modules() if re.fullmatch(pattern, name)} == linear


def test_peft_puts_the_default_target_where_the_pattern_says():
    with torch.device("meta"):
        model = SanaVideoTransformer3DModel(**REAL | {"num_layers": 3})
        model.add_adapter(LoraConfig(r=16, target_modules=FAMILY.lora_targets[FAMILY.default_lora_target].pattern))
    weights = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert len(weights) == 8 * 3
    assert all(re.match(r"transformer_blocks\.\d+\.attn[12]\.", name) for name in weights)


def test_frames_are_4k_plus_1_and_sizes_multiples_of_32_as_the_pipeline_demands():
    assert FAMILY.rules.frames_fit(81)
    assert FAMILY.rules.frames_fit(85)
    assert FAMILY.rules.nearest_frames(60) == (57, 61)
    assert FAMILY.rules.nearest_sizes(854) == (832, 864)
    assert FAMILY.rules.latent_shape(81, 480, 832) == (21, 60, 104)
    pipeline = SanaVideoPipeline(None, None, None, None, None)
    pipeline.check_inputs("a", 480, 832)
    with pytest.raises(ValueError, match="divisible by 32"):
        pipeline.check_inputs("a", 480, 848)


def test_the_usual_sampling_is_that_of_the_pipelines_call():
    import inspect

    usual, said = FAMILY.sampling, inspect.signature(SanaVideoPipeline.__call__).parameters
    assert (usual.steps, usual.guidance) == (said["num_inference_steps"].default, said["guidance_scale"].default)
    assert (usual.width, usual.height, usual.frames) == tuple(
        said[name].default for name in ("width", "height", "frames")
    )


def test_a_checkpoint_is_recognised_by_its_classes():
    classes = {
        "transformer": "SanaVideoTransformer3DModel",
        "vae": "AutoencoderKLWan",
        "text_encoder": "Gemma2Model",
        "tokenizer": "GemmaTokenizerFast",
    }
    assert family_of(classes) is FAMILY
