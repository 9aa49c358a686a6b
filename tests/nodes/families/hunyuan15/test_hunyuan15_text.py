import pytest
import torch
from diffusers import HunyuanVideo15Pipeline

from vflow.nodes.families.hunyuan15 import FAMILY, text

#: of the miniature, seed 0; bits differ between processors, statistics do not
GOLDEN = {"text": 1.988, "glyph": 0.991}

CAPTIONS = [
    "a red circle moving left to right on a dark background",
    'a shop sign says "OPEN" and “cake”, again "OPEN"',
    "",
    "  Käfer 猫, up  ",
    "a very long caption " * 300,
]


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return HunyuanVideo15Pipeline.from_pretrained(checkpoint, local_files_only=True)


@torch.no_grad()
def by_diffusers(pipeline, captions):
    texts, text_mask, glyphs, glyph_mask = pipeline.encode_prompt(captions, batch_size=len(captions))
    return {"text": texts, "text_mask": text_mask, "glyph": glyphs, "glyph_mask": glyph_mask}


@pytest.fixture(scope="module")
def theirs(pipeline):
    return by_diffusers(pipeline, CAPTIONS)


@pytest.fixture(scope="module")
def ours(text_stack):
    return FAMILY.encode_text(text_stack, CAPTIONS)


@pytest.mark.parametrize("place", range(len(CAPTIONS)))
def test_the_tokens_kept_are_the_valid_ones_of_encode_prompt(theirs, ours, place):
    for name in ("text", "glyph"):
        kept, mask = ours[place][name], theirs[f"{name}_mask"][place]
        assert torch.equal(mask, (torch.arange(len(mask)) < len(kept)).float())  # valid tokens first, then padding
        assert torch.equal(kept, theirs[name][place, : len(kept)])
    assert theirs["text"].shape[1:] == (1000, 32)
    assert theirs["glyph"].shape[1:] == (256, 16)


def test_only_what_stands_in_quotes_is_read_as_glyphs(theirs, ours):
    assert [len(row["glyph"]) > 0 for row in ours] == [False, True, False, False, False]
    assert not theirs["glyph"][0].any()
    assert ours[1]["glyph"].abs().sum() > 0
    assert len(ours[4]["text"]) == 1000  # too long: the end is cut off


def test_captions_encoded_together_come_out_as_alone(text_stack, ours):
    for caption, row in zip(CAPTIONS[:4], ours, strict=False):
        (alone,) = FAMILY.encode_text(text_stack, [caption])
        for name in ("text", "glyph"):
            torch.testing.assert_close(row[name], alone[name], atol=1e-5, rtol=1e-5)


def test_stacked_rows_are_what_encode_prompt_gives_without_the_padding_that_all_share(theirs, ours):
    stacked = FAMILY.stack_embeddings(ours[:4])
    for name in ("text", "glyph"):
        tokens, mask = stacked[name], stacked[f"{name}_mask"]
        length = tokens.shape[1]
        assert length == max(len(row[name]) for row in ours[:4])
        assert torch.equal(mask.float(), theirs[f"{name}_mask"][:4, :length])
        assert torch.equal(tokens, theirs[name][:4, :length] * mask[..., None])


def test_captions_without_quotes_need_no_glyph_token_at_all(ours):
    stacked = FAMILY.stack_embeddings([ours[0], ours[2]])
    assert stacked["glyph"].shape == (2, 0, 16)
    assert stacked["glyph_mask"].shape == (2, 0)


def test_padding_on_the_left_would_cut_off_the_wrong_tokens(text_stack, ours, monkeypatch):
    monkeypatch.setattr(text_stack.tokenizer, "padding_side", "left")
    (wrong,) = FAMILY.encode_text(text_stack, CAPTIONS[:1])
    assert wrong["text"].shape != ours[0]["text"].shape


def test_the_tokenizer_is_padded_on_the_right_whatever_the_files_say(checkpoint, tmp_path):
    import os

    for path in checkpoint.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(checkpoint)).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, tmp_path / path.relative_to(checkpoint))
    file = tmp_path / "tokenizer" / "tokenizer_config.json"
    changed = file.read_text().replace('"padding_side": "right"', '"padding_side": "left"')
    assert changed != file.read_text()
    file.unlink()
    file.write_text(changed)
    assert FAMILY.load("text_encoder", tmp_path, "float32").tokenizer.padding_side == "right"


def test_the_system_message_the_lengths_and_the_cut_are_those_of_a_pipeline(pipeline):
    import inspect

    defaults = inspect.signature(pipeline._get_mllm_prompt_embeds).parameters
    assert defaults["system_message"].default == pipeline.system_message
    assert defaults["crop_start"].default == pipeline.prompt_template_encode_start_idx == 108
    assert defaults["tokenizer_max_length"].default == pipeline.tokenizer_max_length
    glyphs = inspect.signature(pipeline._get_byt5_prompt_embeds).parameters
    assert glyphs["tokenizer_max_length"].default == pipeline.tokenizer_2_max_length


def test_another_system_message_gives_other_embeddings(pipeline, ours):
    with torch.no_grad():
        wrong, _ = pipeline._get_mllm_prompt_embeds(
            pipeline.text_encoder,
            pipeline.tokenizer,
            CAPTIONS[:1],
            torch.device("cpu"),
            system_message=" ".join(pipeline.system_message.split()),
        )
    kept = ours[0]["text"]
    assert (wrong[0, : len(kept)] - kept).abs().max() > 0.1


def test_captions_that_differ_in_a_word_have_other_embeddings(text_stack):
    red, blue = FAMILY.encode_text(text_stack, ["a red circle moving up", "a blue circle moving up"])
    assert (red["text"] - blue["text"]).abs().max() > 0.1


def test_half_precision_is_kept_as_the_encoders_computed_it(checkpoint):
    (row,) = FAMILY.encode_text(FAMILY.load("text_encoder", checkpoint, "bfloat16"), [CAPTIONS[1]])
    assert row["text"].dtype == row["glyph"].dtype == torch.bfloat16


def test_padding_writes_zeros_behind():
    assert torch.equal(text.padded(torch.ones(1, 2), 3), torch.tensor([[1.0, 1], [0, 0], [0, 0]]))


def test_golden_statistics_of_an_embedding(ours):
    assert ours[1]["text"].std().item() == pytest.approx(GOLDEN["text"], abs=0.02)
    assert ours[1]["glyph"].std().item() == pytest.approx(GOLDEN["glyph"], abs=0.02)


def test_a_caption_is_cut_where_a_graph_says(pipeline, text_stack, monkeypatch):
    (ours,) = FAMILY.encode_text(text_stack, [CAPTIONS[-1]], 64)
    monkeypatch.setattr(pipeline, "tokenizer_max_length", 64)
    assert torch.equal(ours["text"], by_diffusers(pipeline, [CAPTIONS[-1]])["text"][0])
    assert len(ours["text"]) == 64
    assert FAMILY.prompt_tokens.usual == 1000
