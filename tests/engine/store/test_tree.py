"""What the store holds as a tree, summed, sorted and searched; what goes and what stays, in words."""

import os
import threading

import pytest

from vflow.engine.problems import Interrupted
from vflow.engine.store.collect import Chooser, Limits
from vflow.engine.store.keeping import goes, stays, verdict
from vflow.engine.store.tree import ORDERS, Place, StoreTree

NOW = 1_700_000_000.0


@pytest.fixture
def filled(store, record):
    """Two graphs; two results of one node share a file, and one file belongs to nobody."""
    shared = store.put_bytes(b"s" * 1000)
    given = (
        ("a", {"graph": "one", "node": "latents", "blobs": [shared], "created": NOW - 50}),
        ("b", {"graph": "one", "node": "latents", "blobs": [shared], "created": NOW - 40}),
        (
            "c",
            {
                "graph": "one",
                "node": "train",
                "node_type": "Loop",
                "seconds": 90,
                "created": NOW - 30,
                "work": "w" * 64,
            },
        ),
        ("d", {"graph": "two", "node": "latents", "blobs": [store.put_bytes(b"d" * 300)], "created": NOW - 20}),
    )
    for name, fields in given:
        store.publish(record(name, **fields))
        path = store._records.path_of(record(name).key)
        os.utime(path, (fields["created"], fields["created"]))
    (store.work_folder("w" * 64) / "state").write_bytes(b"x" * 70)
    (store.work_folder("i" * 64) / "state").write_bytes(b"x" * 30)
    store.put_bytes(b"nobody's")
    return store


@pytest.fixture
def tree(filled):
    return StoreTree(filled.keeper().look(), filled.keeper().pinned())


def shown(tree, *opened, **how):
    return [place.key[:3] or place.node or place.graph for place in tree.lines(opened, **how)]


def test_places_are_summed_with_shared_files_once(tree):
    one, latents = tree.figures(Place("one")), tree.figures(Place("one", "latents"))
    assert (one.results, one.size, one.seconds) == (3, 1000 + 70, 93.0)
    assert (latents.results, latents.size, latents.type, latents.created) == (2, 1000, "Echo", NOW - 40)
    assert tree.figures(Place("one", "train")).kept == ()
    (train,) = (place for place in tree.lines([Place("one"), Place("one", "train")]) if place.key)
    assert tree.figures(train).kept == ("training",)
    assert tree.figures(Place("left over", kind="left over")).size == len(b"nobody's")


def test_only_what_is_open_is_seen_and_in_the_order_that_is_asked_for(tree, key):
    top = ["(interrupted training)" if name == "" else name for name in shown(tree)]
    assert sorted(top) == sorted(["(interrupted training)", "one", "two", "left over"])
    below = shown(tree, Place("one"), Place("one", "latents"))
    assert below[below.index("latents") + 1 : below.index("train")] == sorted([key("a")[:3], key("b")[:3]])
    results = [place for place in tree.lines([Place("one"), Place("one", "latents")], "age") if place.key]
    assert [place.key for place in results] == [key("b"), key("a")]
    for by in ORDERS:
        opened = [place for place in tree.lines(()) if place.kind == "results"]
        assert sorted(tree.lines(opened, by), key=repr) == sorted(tree.lines(opened, by, True), key=repr)
    assert [name for name in shown(tree, by="size") if name in ("one", "two")] == ["one", "two"]
    assert [name for name in shown(tree, by="size", reverse=True) if name in ("one", "two")] == ["two", "one"]


def test_a_search_keeps_what_has_every_word_and_sums_that_only(filled, tree, key):
    assert shown(tree.searched("one loop")) == ["one"]
    found = tree.searched(f"latents {key('b')[:10]}")
    assert [one.key for one in found.ones(Place("one"))] == [key("b")]
    assert found.figures(Place("one")).results == 1
    assert shown(tree.searched("two loop")) == []
    filled.keeper().pin([key("a")], "for the talk")
    pinned = StoreTree(filled.keeper().look(), filled.keeper().pinned())
    for words in ("talk", "pinned"):
        assert [one.key for one in pinned.searched(words).ones(Place("one"))] == [key("a")]
    assert tree.figures(Place("one")).results == 3  # the tree itself stays whole


def test_what_goes_and_what_stays_is_told_in_words(filled, key):
    filled.keeper().pin([key("d")])
    found = filled.keeper().look()
    taking = Chooser(found, Limits(), NOW).named([key("a"), key("c"), key("d"), "i" * 64])
    lines = "\n".join(goes(taking))
    assert ("latents  1 result" in lines, "state of training iiiiiiiiiiii, 30 B" in lines) == (True, True)
    assert stays(taking, found) == ["1 result stays: it is pinned", "1 file stays: other results need them"]
    assert verdict(taking, done=False).startswith("2 results, 2 training states would go")


def test_who_waits_for_another_collection_can_stop_waiting(filled, key):
    heard, stop = [], threading.Event()

    def wait(holder):
        heard.append(holder)
        stop.set()

    with filled._uses.collecting(lambda _holder: None), pytest.raises(Interrupted):
        filled.keeper().remove([key("a")], wait, stop.is_set)
    assert (len(heard), key("a") in filled.keeper().look().entries) == (1, True)
