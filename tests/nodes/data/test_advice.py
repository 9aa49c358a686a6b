"""Warnings about captions: no word of motion, too few words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.nodes.data import advice

MOVING = [
    "a woman walks through a field of tall grass",
    "the camera pans slowly across a harbour",
    "two dogs chasing a ball on the beach",
    "a red circle moving from left to right on a dark background",
    "waves crash against the rocks while gulls fly",
    "he turned and opened the door",
    "the leaves are swaying in the wind",
    "she is dancing",
    "smoke rises from the chimney",
    "a drone shot flying over a city at dusk",
]
STILL = [
    "a portrait of a woman with red hair, soft light",
    "a castle on a hill, oil painting, highly detailed",
    "an empty street at night in the style of film noir",
    "a bowl of fruit on a table",
    "the interior of a wooden cabin with a fireplace",
]


@pytest.mark.parametrize("text", MOVING)
def test_a_caption_of_motion_is_known(text):
    assert advice.says_motion(text)


@pytest.mark.parametrize("text", STILL)
def test_a_caption_of_a_still_is_known(text):
    assert not advice.says_motion(text)


def named(texts):
    return [(f"{number}.mp4", text) for number, text in enumerate(texts)]


def test_captions_are_warned_of_when_most_are_still_and_two_are_named():
    (warning,) = advice.still(named(STILL + MOVING[:4]))
    assert warning.startswith("5 of 9 captions have no word of motion (0.mp4, 1.mp4)")
    assert not list(advice.still(named(STILL + MOVING[:5])))
    assert not list(advice.still([]))


def test_nothing_is_said_of_captions_in_another_language():
    assert not list(advice.still(named(["eine Schale mit Obst", "ein leerer Weg", "一个苹果"])))


def test_short_texts_are_warned_of_where_the_family_says_how_many_words_it_wants():
    (warning,) = advice.short(named(["a cat", "a dog", MOVING[3]]), 10, "Toy Video", "captions")
    assert warning == "2 of 3 captions are short (0.mp4, 1.mp4): Toy Video wants 10 words or more"
    assert not list(advice.short(named(["a cat"]), 0, "Toy Video", "captions"))
    assert not list(advice.short(named(["a cat", *MOVING[:1]]), 5, "Toy Video", "captions"))


@given(st.lists(st.text(max_size=60), max_size=8), st.integers(0, 20))
def test_any_captions_give_at_most_one_warning_of_each_kind(texts, least):
    assert len(list(advice.still(named(texts)))) <= 1
    assert len(list(advice.short(named(texts), least, "Toy", "captions"))) <= 1
