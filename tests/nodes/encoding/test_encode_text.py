"""Captions to embeddings."""

import pytest

from vflow.engine.problems import Interrupted
from vflow.engine.values import Items
from vflow.nodes.encode import EncodeText
from vflow.nodes.values import EMPTY_ROW


def encode(studio, *texts, **settings):
    return list(EncodeText(**settings).run(studio.context, studio.text_encoder, studio.captions(*texts)))


def test_an_embedding_is_what_the_family_says_of_the_caption(studio):
    import torch

    (kept,) = encode(studio, "a red square")
    with studio.context.load(studio.text_encoder) as live:
        (wanted,) = studio.text_encoder.family.encode_text(live, ["a red square"])
    found = studio.tensors_of(kept)
    assert kept.caption == "a red square"
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) and found[name].dtype == wanted[name].dtype for name in wanted)


def test_equal_captions_give_equal_bytes_and_others_do_not(studio):
    first, second, third = encode(studio, "a red square", "a blue disc", "a red square")
    assert first.identity == third.identity != second.identity


def test_results_come_one_by_one_as_they_are_finished(studio):
    results = EncodeText().run(studio.context, studio.text_encoder, studio.captions("one", "two"))
    next(results)
    assert [(event.done, event.total, event.unit) for event in studio.events] == [(1, 2, "caption")]
    results.close()


def test_a_batch_gives_the_same_up_to_rounding(studio):
    import torch

    texts = ("a red square", "a blue disc", "nothing")
    for one, batched in zip(encode(studio, *texts), encode(studio, *texts, batch_size=2), strict=True):
        found, wanted = studio.tensors_of(batched), studio.tensors_of(one)
        assert all(torch.allclose(found[name].float(), wanted[name].float(), atol=1e-4) for name in wanted)


def test_floating_point_values_are_kept_as_asked_and_masks_as_they_are(studio):
    (kept,) = encode(studio, "a red square", dtype="bfloat16")
    dtypes = {name: str(tensor.dtype) for name, tensor in studio.tensors_of(kept).items()}
    assert dtypes == {"video": "torch.bfloat16", "audio": "torch.bfloat16", "mask": "torch.int64"}


def test_the_empty_caption_is_always_encoded_as_well():
    also = EncodeText().also(Items())
    assert also.rows == (EMPTY_ROW,)
    assert also[0].text == ""


def test_stopping_leaves_between_two_captions(studio):
    results = EncodeText().run(studio.context, studio.text_encoder, studio.captions("one", "two"))
    next(results)
    studio.world.stopping = True
    with pytest.raises(Interrupted):
        next(results)


def test_batch_size_is_no_part_of_the_key_but_the_kept_type_is():
    assert EncodeText(batch_size=4).key_settings() == EncodeText().key_settings()
    assert EncodeText(batch_size=4).placed() == {"batch_size": 4}
    assert EncodeText(dtype="bfloat16").key_settings() != EncodeText().key_settings()


def test_negative_prompts_are_encoded_in_their_own_way_and_keep_their_place(studio, monkeypatch):
    from vflow.engine.values import Item
    from vflow.nodes.values import NEGATIVE_ROW, Caption

    told = []

    def encode_negative(live, prompts, tokens):
        told.extend(prompts)
        return family.encode_text(live, ["something else"])

    family = studio.text_encoder.family
    monkeypatch.setattr(family, "encode_negative", encode_negative, raising=True)
    prompts = studio.captions("one") + Items([Item(NEGATIVE_ROW, Caption(text="one", negative=True))])
    kept = list(EncodeText(batch_size=2).run(studio.context, studio.text_encoder, prompts))
    assert told == ["one"]
    assert [embedding.caption for embedding in kept] == ["one", "one"]
    assert kept[0].identity != kept[1].identity
    assert Caption(text="one").identity != Caption(text="one", negative=True).identity


def test_captions_are_cut_where_the_graph_says(studio):
    long = "a red square moving " * 40
    (usual,), (short,) = encode(studio, long), encode(studio, long, max_tokens=32)
    (wanted,) = encode(studio, long, max_tokens=None)
    assert usual.identity == wanted.identity
    assert len(studio.tensors_of(short)["video"]) < len(studio.tensors_of(usual)["video"])
    assert "max_tokens" not in EncodeText().key_settings()  # embeddings of before this setting stay


@pytest.mark.parametrize(("tokens", "remedy"), [(100, "use 128"), (1000, "use 896"), (2048, "use 1024")])
def test_a_number_of_tokens_that_the_family_does_not_take_is_told(studio, tokens, remedy):
    (problem,) = EncodeText(max_tokens=tokens).preflight(None, text_encoder=studio.text_encoder, captions=None)
    assert (problem.where, problem.remedy) == ("max_tokens", remedy)
    assert "multiples of 128 up to 1024 tokens" in problem.message
    assert not list(EncodeText(max_tokens=512).preflight(None, text_encoder=studio.text_encoder))
