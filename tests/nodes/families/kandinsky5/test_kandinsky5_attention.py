"""Sparse attention (NABLA): what the pipeline hands over, which blocks attend, and the way back to dense attention."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import Kandinsky5I2VPipeline, Kandinsky5T2VPipeline

from vflow.engine.problems import Failure
from vflow.nodes.families.exchange import FlowOptions, SamplingRequest
from vflow.nodes.families.kandinsky5 import FAMILY, attention, latents, training

from .conftest import SeededDraws, batch_of

NABLA = {
    "attention_type": "nabla",
    "attention_P": 0.3,
    "attention_wT": 3,
    "attention_wW": 1,
    "attention_wH": 1,
    "attention_add_sta": True,
    "attention_method": "topcdf",
}
SHAPE = (3, 16, 32)
PLAIN = FlowOptions()


@pytest.fixture(scope="module")
def sparse_checkpoint(checkpoint, tmp_path_factory):
    """The miniature, its transformer configured for sparse attention."""
    folder = tmp_path_factory.mktemp("sparse") / "checkpoint"
    shutil.copytree(checkpoint, folder)
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | NABLA))
    return folder


@pytest.fixture
def sparse(sparse_checkpoint):
    return FAMILY.load("transformer", sparse_checkpoint, "float32")


@pytest.fixture
def kernel(monkeypatch):
    """Attention within the mask by masking scores, in the place of the fused kernel that only a GPU has."""
    monkeypatch.setattr(attention, "kernel_for", lambda device, width: attention.dense_within)
    return attention.dense_within


@pytest.fixture(scope="module")
def embedding(text_stack):
    return FAMILY.encode_text(text_stack, ["a red circle"])[0]


@pytest.fixture
def batch(embedding):
    return batch_of(torch.randn(1, 16, *SHAPE, generator=torch.Generator().manual_seed(0)), [embedding])


def said_by(live, batch):
    with torch.no_grad():
        return FAMILY.predict(live, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN).prediction


def dense_of(sparse, batch):
    sparse.transformer.register_to_config(attention_type="regular")
    try:
        return said_by(sparse, batch)
    finally:
        sparse.transformer.register_to_config(attention_type="nabla")


def test_the_sparse_arguments_are_those_of_the_pipeline(sparse_checkpoint, sparse, kernel):
    pipeline = Kandinsky5T2VPipeline.from_pretrained(sparse_checkpoint, local_files_only=True)
    sample = torch.zeros(1, *SHAPE, 33)
    ours = attention.sparse_params(sparse.transformer, sample, torch.device("cpu"))
    theirs = pipeline.get_sparse_params(sample, torch.device("cpu"))
    assert torch.equal(ours.pop("sta_mask"), theirs.pop("sta_mask"))
    assert ours == theirs
    assert (ours["P"], ours["visual_shape"], ours["to_fractal"]) == (0.3, (3, 8, 16), True)


def test_without_a_kernel_attention_is_dense_with_one_warning(sparse, batch):
    attention.kernel_for.cache_clear()
    with pytest.warns(UserWarning, match=r"NABLA\) is computed densely, since there is no kernel for it on a cpu"):
        said = said_by(sparse, batch)
    assert torch.equal(said, dense_of(sparse, batch))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said_by(sparse, batch)


def test_sparse_attention_leaves_blocks_out(sparse, batch, kernel):
    assert (said_by(sparse, batch) - dense_of(sparse, batch)).abs().max() > 1e-3


def test_with_all_blocks_it_is_dense_attention_in_another_order(sparse, batch, kernel):
    sparse.transformer.register_to_config(attention_P=1.1)
    torch.testing.assert_close(said_by(sparse, batch), dense_of(sparse, batch), atol=2e-2, rtol=2e-2)


def test_our_processor_computes_what_diffusers_computes(sparse, batch, kernel):
    """Uncompiled, flex attention computes every block: with all blocks allowed that is the same."""
    sparse.transformer.register_to_config(attention_P=1.1)
    ours = said_by(sparse, batch)
    for block in sparse.transformer.visual_transformer_blocks:
        block.self_attention.set_processor(type(block.cross_attention.processor)())
        block.self_attention.set_attention_backend("flex")
    given = training.arguments(
        sparse, batch, noised_of(batch), torch.tensor([0.5]), torch.tensor([0])
    )  # this puts our processors back
    for block in sparse.transformer.visual_transformer_blocks:
        block.self_attention.set_processor(type(block.cross_attention.processor)())
        block.self_attention.set_attention_backend("flex")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sparse.transformer(**given).flatten(1, 3)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def noised_of(batch):
    noise = SeededDraws(1).normal("noise", batch.latents.shape[1:])
    return latents.channels_last(0.5 * batch.latents + 0.5 * noise)


def test_the_mask_of_blocks_says_which_tokens_attend():
    allowed = torch.tensor([[True, False, False], [True, True, False], [False, True, True]])
    query, key, value = torch.randn(3, 1, 1, 192, 8).unbind()
    said = attention.dense_within(query, key, value, attention.mask_of(allowed.expand(1, 1, 3, 3)))
    scores = query @ key.transpose(-1, -2) / 8**0.5
    whole = torch.kron(allowed, torch.ones(64, 64, dtype=torch.bool))
    expected = scores.masked_fill(~whole, -torch.inf).softmax(-1) @ value
    torch.testing.assert_close(said, expected, atol=1e-5, rtol=1e-5)


def test_a_kernel_is_tried_out_before_it_is_used():
    attention._try_out(attention.dense_within, torch.device("cpu"), 16)

    def every_block(query, key, value, _mask):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)

    with pytest.raises(ArithmeticError, match="disagrees"):
        attention._try_out(every_block, torch.device("cpu"), 16)


@pytest.mark.parametrize("size", [(8, 16), (16, 24)])
def test_sizes_that_are_no_multiple_of_128_are_refused(sparse, embedding, size):
    batch = batch_of(torch.zeros(1, 16, 1, *size), [embedding])
    with pytest.raises(Failure, match="takes multiples of 128"):
        said_by(sparse, batch)


def test_a_clip_is_drawn_sparsely_and_densely(sparse, sparse_checkpoint, vae, embedding, monkeypatch):
    request = SamplingRequest(
        embeddings=embedding, negative=None, width=256, height=128, frames=5, fps=24.0, steps=2, guidance=1.0, seed=1
    )
    attention.kernel_for.cache_clear()
    with pytest.warns(UserWarning, match="densely"):
        dense = FAMILY.draw(sparse, vae, request)
    monkeypatch.setattr(attention, "kernel_for", lambda device, width: attention.dense_within)
    drawn = FAMILY.draw(sparse, vae, request)
    assert drawn.shape == dense.shape == (5, 128, 256, 3)
    assert not np.array_equal(drawn, dense)


def test_a_clip_is_drawn_sparsely_from_an_image(sparse, sparse_checkpoint, vae, embedding, kernel):
    given = {}
    sparse.transformer.register_forward_pre_hook(lambda _m, _a, kwargs: given.update(kwargs), with_kwargs=True)
    image = np.random.default_rng(0).integers(0, 256, (128, 256, 3), np.uint8)
    request = SamplingRequest(
        embeddings=embedding, negative=None, width=256, height=128, frames=17, fps=24.0, steps=1, guidance=1.0, seed=1
    )
    drawn = FAMILY.draw(sparse, vae, replace(request, image=image))
    assert drawn.shape == (17, 128, 256, 3)
    pipeline = Kandinsky5I2VPipeline.from_pretrained(sparse_checkpoint, local_files_only=True)
    theirs = pipeline.get_sparse_params(given["hidden_states"], torch.device("cpu"))
    assert torch.equal(given["sparse_params"].pop("sta_mask"), theirs.pop("sta_mask"))
    assert given["sparse_params"] == theirs
    assert theirs["visual_shape"] == (5, 8, 16)
    kernels = {block.self_attention.processor.kernel for block in sparse.transformer.visual_transformer_blocks}
    assert kernels == {attention.dense_within}


def test_the_first_frame_stays_clean_under_sparse_attention(sparse, batch, kernel):
    still = {"latent": torch.randn(1, 16, 1, *SHAPE[1:]), "deviation": torch.zeros(1, 16, 1, *SHAPE[1:])}
    given = {}
    sparse.transformer.register_forward_pre_hook(lambda _m, _a, kwargs: given.update(kwargs), with_kwargs=True)
    with torch.no_grad():
        FAMILY.predict(sparse, replace(batch, image=still), torch.tensor([0.9]), SeededDraws(1), PLAIN)
    assert torch.equal(given["hidden_states"][:, :1, ..., :16], latents.channels_last(still["latent"]))
    assert given["sparse_params"]["visual_shape"] == (3, 8, 16)


def test_mixed_precision_chooses_blocks_as_inference_does(sparse, batch, kernel, monkeypatch):
    chosen, choose = [], attention.nablaT_v2

    def watched(query, *arguments, **named):
        chosen.append((query.dtype, torch.is_autocast_enabled("cpu")))
        return choose(query, *arguments, **named)

    monkeypatch.setattr(attention, "nablaT_v2", watched)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        FAMILY.predict(sparse, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    assert set(chosen) == {(torch.bfloat16, False)}


def test_sparse_training_reaches_every_adapted_layer(sparse, batch, kernel):
    from peft import LoraConfig

    model = sparse.transformer
    model.add_adapter(LoraConfig(r=2, target_modules=FAMILY.lora_targets["attention"].pattern))
    model.enable_gradient_checkpointing()
    model.train()
    said = FAMILY.predict(model, batch, torch.tensor([0.5]), SeededDraws(1), PLAIN)
    (said.prediction - said.target).square().mean().backward()
    gradients = [p.grad for name, p in model.named_parameters() if "lora_B" in name]
    assert len(gradients) == 36
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
