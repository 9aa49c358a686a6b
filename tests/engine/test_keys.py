"""Canonical bytes: one place decides when two things are the same."""

import enum
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.keys import canonical, digest, digest_bytes, digest_file, digest_pair, digest_texts

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def same(a, b):
    """Equality that keeps types apart, unlike Python's."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


@given(plain, plain)
def test_two_digests_are_equal_only_for_the_same_data(a, b):
    assert (digest(a) == digest(b)) == same(a, b)


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_keys_does_not_matter(data):
    assert digest(data) == digest(dict(reversed(list(data.items()))))


def test_one_is_four_values():
    assert len({digest(value) for value in (1, 1.0, True, "1")}) == 4


def test_nesting_is_framed():
    assert len({digest(v) for v in ([["a"], "b"], [["a", "b"]], ["a", ["b"]], ["a", "b"], ["ab"], [["a,b"]])}) == 6


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), Colour.RED, {1: "a"}, {"deep": [{"er": [set()]}]}])
def test_what_has_no_canonical_form_is_refused_at_any_depth(value):
    with pytest.raises(TypeError):
        canonical(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf]])
def test_floats_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError):
        canonical(value)


def test_digests_do_not_change_between_versions():
    golden = "4c2a6d8e"
    golden = "a9db4cacff846394c11b1b613fea5fcd33f800be0597ace11fd82be2d23b1285"
    assert digest({"steps": 20, "lr": 1e-4, "names": ["a", None, True]}) == golden
    assert digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_a_file_and_its_bytes_have_one_digest(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 100_000)
    assert digest_file(tmp_path / "f") == digest_bytes(b"abc" * 100_000)


def test_the_quick_forms_give_the_same_digests():
    a, b = digest(1), digest(2)
    assert digest_pair(a, b) == digest([a, b])
    texts = ["Items", [["rów \u2028", a], ["\ud800", b]]]
    assert digest_texts(texts) == digest(texts)
