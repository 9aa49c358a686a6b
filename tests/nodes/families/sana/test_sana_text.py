import pytest
import torch
from diffusers import SanaVideoPipeline

from vflow.nodes.families.sana import FAMILY, text

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = 0.830

CAPTIONS = [
    "a red circle moving left to right on a dark background",
    "  Star, UP  ",
    "a very long caption " * 200,
]


class Spied:
    """The plain pipeline up to its first denoising step: what its transformer was given of the text."""

    def __init__(self, checkpoint):
        self.pipeline = SanaVideoPipeline.from_pretrained(checkpoint, local_files_only=True)
        self.pipeline.set_progress_bar_config(disable=True)
        self.given = {}
        self.pipeline.transformer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module, _args, kwargs):
        self.given = kwargs

    def said(self, prompts, negative=""):
        self.pipeline(
            prompts,
            negative_prompt=negative,
            height=32,
            width=32,
            frames=1,
            num_inference_steps=1,
            guidance_scale=2.0,
            use_resolution_binning=False,
            output_type="latent",
        )
        return self.given["encoder_hidden_states"], self.given["encoder_attention_mask"]


@pytest.fixture(scope="module")
def plain(checkpoint):
    return Spied(checkpoint)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_an_embedding_is_what_the_plain_pipeline_gives_its_transformer(plain, text_stack, caption):
    (ours,) = FAMILY.encode_text(text_stack, [caption])
    (negative,) = FAMILY.encode_negative(text_stack, ["Blurry, still"])
    embeddings, mask = plain.said(caption, "Blurry, still")  # the negative half comes first
    assert torch.equal(ours["text"], embeddings[1])
    assert torch.equal(ours["mask"], mask[1])
    assert torch.equal(negative["text"], embeddings[0])
    assert torch.equal(negative["mask"], mask[0])
    assert ours["text"].shape == (300, 32)
    assert ours["mask"].dtype == mask.dtype == torch.int64


def test_the_empty_caption_is_the_unconditional_half_of_guidance_without_the_instruction(plain, text_stack):
    empty, spaces = FAMILY.encode_text(text_stack, ["", "  "])
    embeddings, mask = plain.said("a red circle")
    assert torch.equal(empty["text"], embeddings[0])
    assert torch.equal(empty["mask"], mask[0])
    assert torch.equal(spaces["text"], empty["text"])
    # swapped back: behind the instruction it is something else, and that is what a positive prompt "" would be
    behind, _ = plain.said("")
    assert not torch.equal(empty["text"], behind[1])


def test_the_instruction_is_kept_off_negative_prompts(text_stack):
    (positive,) = FAMILY.encode_text(text_stack, ["blurry, still"])
    (negative,) = FAMILY.encode_negative(text_stack, ["blurry, still"])
    assert not torch.equal(positive["text"], negative["text"])


def test_captions_are_lower_cased_and_stripped(text_stack):
    loud, quiet = FAMILY.encode_text(text_stack, [" A Red CIRCLE ", "a red circle"])
    assert torch.equal(loud["text"], quiet["text"])


def test_the_instruction_is_that_of_the_installed_pipeline_and_asks_for_videos():
    lines = text.instruction()
    assert len(lines) == 8
    assert lines[-1] == "User Prompt: "
    assert "video" in lines[0]


def test_captions_encoded_together_come_out_as_alone_in_their_order(text_stack, plain):
    mixed = [CAPTIONS[0], "", CAPTIONS[1], CAPTIONS[2]]
    together = FAMILY.encode_text(text_stack, mixed)
    for caption, row in zip(mixed, together, strict=True):
        (alone,) = FAMILY.encode_text(text_stack, [caption])
        torch.testing.assert_close(row["text"], alone["text"], atol=1e-4, rtol=1e-4)
        assert torch.equal(row["mask"], alone["mask"])
    embeddings, mask = plain.said(CAPTIONS)
    assert torch.equal(torch.stack([row["text"] for row in (together[0], *together[2:])]), embeddings[3:])
    assert torch.equal(torch.stack([row["mask"] for row in (together[0], *together[2:])]), mask[3:])


def test_captions_that_differ_in_a_word_have_other_embeddings(text_stack):
    red, blue = FAMILY.encode_text(text_stack, ["a red circle moving up", "a blue circle moving up"])
    assert (red["text"] - blue["text"]).abs().max() > 0.1


def test_golden_statistics_of_an_embedding(text_stack):
    (embedding,) = FAMILY.encode_text(text_stack, [CAPTIONS[0]])
    assert embedding["text"].square().mean().sqrt().item() == pytest.approx(1.0, abs=0.01)
    assert embedding["text"][: int(embedding["mask"].sum())].abs().mean().item() == pytest.approx(GOLDEN, abs=0.005)


def test_a_caption_is_cut_and_padded_where_a_graph_says(plain, text_stack):
    (ours,) = FAMILY.encode_text(text_stack, [CAPTIONS[-1]], 48)
    (negative,) = FAMILY.encode_negative(text_stack, ["Blurry, still"], 48)
    with torch.no_grad():
        theirs, _, away, _ = plain.pipeline.encode_prompt(
            CAPTIONS[-1],
            negative_prompt="Blurry, still",
            max_sequence_length=48,
            complex_human_instruction=text.instruction(),
        )
    assert torch.equal(ours["text"], theirs[0])
    assert torch.equal(negative["text"], away[0])
    assert len(ours["text"]) == 48 < FAMILY.prompt_tokens.usual == 300
