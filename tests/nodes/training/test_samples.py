"""Joining samples by row, and the order in which they are trained on."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine.problems import Failure
from vflow.engine.values import Blob, Items
from vflow.nodes.training.samples import Order, Sample, join
from vflow.nodes.values import EMPTY_ROW, Embedding, Latent


def latent(width=64):
    return Latent(blob=Blob(digest="0", size=1), frames=17, height=64, width=width, fps=25.0)


def embedding(text=""):
    return Embedding(blob=Blob(digest=text or "1", size=1), caption=text)


class Names:
    def label_of(self, row):
        return f"{row}.mp4"


samples_of = st.lists(
    st.tuples(st.text("abcdef", min_size=1, max_size=6), st.sampled_from([64, 96, 128])),
    min_size=1,
    max_size=20,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [Sample(row, latent(width), embedding(row)) for row, width in sorted(pairs)])


def test_samples_are_joined_by_row_whatever_the_order_of_the_lists():
    latents = Items.of({"b": latent(96), "a": latent()})
    captions = Items.of({EMPTY_ROW: embedding(), "a": embedding("x"), "b": embedding("y")})
    joined = join(latents, captions, Names())
    assert [(s.row, s.latent.width, s.embedding.caption) for s in joined] == [("a", 64, "x"), ("b", 96, "y")]


def test_rows_that_do_not_match_are_named_and_counted():
    latents = Items.of({f"{i}": latent() for i in range(8)})
    captions = Items.of({"0": embedding("x")})
    with pytest.raises(Failure, match=r"without an encoded caption: 1\.mp4, 2\.mp4, .* and 2 more"):
        join(latents, captions, Names())
    with pytest.raises(Failure, match=r"without an encoded clip: 9\.mp4"):
        join(Items.of({"0": latent()}), Items.of({"0": embedding(), "9": embedding()}), Names())


def test_no_sample_at_all_is_a_failure():
    with pytest.raises(Failure, match="no sample"):
        join(Items(), Items.of({EMPTY_ROW: embedding()}), Names())


@given(samples_of, st.integers(1, 5), st.integers(0, 2**40), st.integers(0, 3))
def test_an_epoch_takes_every_sample_and_batches_have_one_size(samples, batch_size, seed, epoch):
    order = Order(samples, batch_size, seed)
    first = epoch * order.batches_per_epoch
    batches = [planned.indices for planned in order.between(first, first + order.batches_per_epoch)]
    taken = Counter(index for batch in batches for index in batch)
    assert taken.keys() == set(range(len(samples)))
    assert all(len(batch) == batch_size for batch in batches)
    assert all(len({samples[index].shape for index in batch}) == 1 for batch in batches)
    for indices in order.buckets.values():  # a short batch is filled evenly: nobody comes twice more than another
        counts = [taken[index] for index in indices]
        assert max(counts) - min(counts) <= 1


@given(samples_of, st.integers(1, 4), st.integers(0, 1000), st.integers(0, 60))
def test_the_order_can_be_entered_anywhere(samples, batch_size, seed, start):
    whole = list(Order(samples, batch_size, seed).between(0, start + 5))
    assert list(Order(samples, batch_size, seed).between(start, start + 5)) == whole[start:]


def test_epochs_and_seeds_differ():
    samples = [Sample(f"{i:02d}", latent(), embedding()) for i in range(12)]
    order = Order(samples, 2, seed=0)
    assert list(order.between(0, 6)) != list(order.between(6, 12))
    assert [p.indices for p in order.between(0, 6)] != [p.indices for p in Order(samples, 2, seed=1).between(0, 6)]
