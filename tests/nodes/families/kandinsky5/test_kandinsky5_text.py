import pytest
import torch
from diffusers import Kandinsky5T2VPipeline

from vflow.nodes.families.kandinsky5 import FAMILY, text

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = {"text": 0.8102, "pooled": 0.8554}

CAPTIONS = [
    "a red circle moving left to right on a dark background",
    "  star, &amp;amp;   up  ",
    "",
    "a video of two discs, one white, the other cyan",
    "two words",
]
LONG = "a very long caption of many words, " * 120


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return Kandinsky5T2VPipeline.from_pretrained(checkpoint, local_files_only=True)


def by_diffusers(pipeline, captions):
    with torch.no_grad():
        return pipeline.encode_prompt(captions)


@pytest.mark.parametrize("caption", [*CAPTIONS, LONG])
def test_an_embedding_equals_encode_prompt_of_the_caption_alone(pipeline, text_stack, caption):
    (ours,) = FAMILY.encode_text(text_stack, [caption])
    qwen, clip, ends = by_diffusers(pipeline, caption)
    assert torch.equal(ours["text"], qwen[0])
    assert torch.equal(ours["pooled"], clip[0])
    assert len(ours["text"]) == int(ends[-1])


def test_captions_encoded_together_come_out_as_alone_and_without_padding(text_stack, pipeline):
    together = FAMILY.encode_text(text_stack, CAPTIONS)
    assert len({len(row["text"]) for row in together}) == len(CAPTIONS)
    for caption, row in zip(CAPTIONS, together, strict=True):
        (alone,) = FAMILY.encode_text(text_stack, [caption])
        for name in ("text", "pooled"):
            torch.testing.assert_close(row[name], alone[name], atol=1e-4, rtol=1e-4)
    qwen, clip, ends = by_diffusers(pipeline, CAPTIONS)
    assert [len(row["text"]) for row in together] == ends.diff().tolist()
    assert all(torch.equal(row["text"], theirs[: len(row["text"])]) for row, theirs in zip(together, qwen, strict=True))
    assert torch.equal(torch.stack([row["pooled"] for row in together]), clip)


def test_a_long_caption_does_not_cut_its_neighbours(text_stack):
    long, short = FAMILY.encode_text(text_stack, [LONG, CAPTIONS[0]])
    assert torch.equal(short["text"], FAMILY.encode_text(text_stack, [CAPTIONS[0]])[0]["text"])
    assert len(long["text"]) <= text.MAX_LENGTH == 512


def test_the_template_is_cut_off_and_nothing_of_the_caption(text_stack, pipeline):
    start, template = pipeline.prompt_template_encode_start_idx, pipeline.prompt_template
    ids = text_stack.tokenizer(template.format("star, up")).input_ids
    assert text_stack.tokenizer.decode(ids[start:]) == "star, up<|im_end|>"
    assert len(FAMILY.encode_text(text_stack, ["star, up"])[0]["text"]) == len(ids) - start


def test_rows_are_put_together_with_zeros_behind_them(text_stack):
    rows = FAMILY.encode_text(text_stack, CAPTIONS)
    stacked = FAMILY.stack_embeddings(rows)
    assert stacked["length"].tolist() == [len(row["text"]) for row in rows]
    for row, padded in zip(rows, stacked["text"], strict=True):
        assert torch.equal(padded[: len(row["text"])], row["text"])
        assert not padded[len(row["text"]) :].any()


def test_captions_that_differ_in_a_word_have_other_embeddings(text_stack):
    red, blue = FAMILY.encode_text(text_stack, ["a red circle moving up", "a blue circle moving up"])
    assert (red["text"] - blue["text"]).abs().max() > 0.1
    assert (red["pooled"] - blue["pooled"]).abs().max() > 0.1


def test_golden_statistics_of_an_embedding(text_stack):
    (embedding,) = FAMILY.encode_text(text_stack, [CAPTIONS[0]])
    said = {name: tensor.abs().mean().item() for name, tensor in embedding.items()}
    assert said == pytest.approx(GOLDEN, abs=0.005)


def test_a_caption_is_cut_where_a_graph_says(pipeline, text_stack):
    (ours,) = FAMILY.encode_text(text_stack, [LONG], 32)
    with torch.no_grad():
        qwen, _, _ = pipeline.encode_prompt(LONG, max_sequence_length=32)
    assert torch.equal(ours["text"], qwen[0])
    assert 0 < len(ours["text"]) <= 32 < FAMILY.prompt_tokens.usual == text.MAX_LENGTH
