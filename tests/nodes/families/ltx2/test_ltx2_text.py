import pytest
import torch
from diffusers import LTX2Pipeline

from vflow.nodes.families.ltx2 import FAMILY, text

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = 0.837

CAPTIONS = [
    "a red circle moving left to right on a dark background",
    "  star, up  ",
    "",
    "a very long caption " * 20,
]


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return LTX2Pipeline.from_pretrained(checkpoint, local_files_only=True)


def by_diffusers(pipeline, captions):
    with torch.no_grad():
        stacked, mask, _, _ = pipeline.encode_prompt(
            captions, do_classifier_free_guidance=False, max_sequence_length=pipeline.tokenizer_max_length
        )
        return pipeline.connectors(stacked, mask, padding_side=pipeline.tokenizer.padding_side)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_an_embedding_equals_encode_prompt_and_connectors(pipeline, text_stack, caption):
    (ours,) = FAMILY.encode_text(text_stack, [caption])
    video, audio, mask = by_diffusers(pipeline, [caption])
    assert torch.equal(ours["video"], video[0])
    assert torch.equal(ours["audio"], audio[0])
    assert torch.equal(ours["mask"], mask[0])
    assert ours["video"].shape == (64, 32)


def test_captions_encoded_together_come_out_as_alone(text_stack, pipeline):
    together = FAMILY.encode_text(text_stack, CAPTIONS)
    for caption, row in zip(CAPTIONS, together, strict=True):
        (alone,) = FAMILY.encode_text(text_stack, [caption])
        torch.testing.assert_close(row["video"], alone["video"], atol=1e-4, rtol=1e-4)
    video, _, _ = by_diffusers(pipeline, CAPTIONS)
    assert torch.equal(torch.stack([row["video"] for row in together]), video)


def test_captions_that_differ_in_a_word_have_other_embeddings(text_stack):
    red, blue = FAMILY.encode_text(text_stack, ["a red circle moving up", "a blue circle moving up"])
    assert (red["video"] - blue["video"]).abs().max() > 0.1


def test_the_length_is_1024_for_the_real_tokenizer_and_a_multiple_of_the_registers(text_stack, monkeypatch):
    monkeypatch.setattr(text_stack.tokenizer, "model_max_length", int(1e30))
    assert text.sequence_length(text_stack) == 1024
    monkeypatch.setattr(text_stack.tokenizer, "model_max_length", 45)
    assert text.sequence_length(text_stack) == 40
    monkeypatch.setattr(text_stack.tokenizer, "model_max_length", 3)
    assert text.sequence_length(text_stack) == 8


def test_golden_statistics_of_an_embedding(text_stack):
    (embedding,) = FAMILY.encode_text(text_stack, [CAPTIONS[0]])
    assert embedding["video"].std().item() == pytest.approx(1.0, abs=0.01)
    assert embedding["video"].abs().mean().item() == pytest.approx(GOLDEN, abs=0.005)


def test_a_caption_is_cut_and_padded_where_a_graph_says(pipeline, text_stack):
    (ours,) = FAMILY.encode_text(text_stack, [CAPTIONS[-1]], 32)
    with torch.no_grad():
        stacked, mask, _, _ = pipeline.encode_prompt(
            CAPTIONS[-1], do_classifier_free_guidance=False, max_sequence_length=32
        )
        video, _, _ = pipeline.connectors(stacked, mask, padding_side=pipeline.tokenizer.padding_side)
    assert torch.equal(ours["video"], video[0])
    assert len(ours["video"]) == 32
