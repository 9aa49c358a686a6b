"""A lock pins what a graph's names stand for; a run held to it refuses what differs, and says all of it at once."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine import lock
from vflow.engine.problems import GraphError


@pytest.fixture
def library(graph, tmp_path):
    """A graph over two files of the user and a model whose branch can move."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("alpha")
    (tmp_path / "texts/b.txt").write_text("beta")
    (tmp_path / "hub.json").write_text('{"me/saw": "c1"}')
    nodes = {
        "shelf": "type: ToyBranch, name: me/saw",
        "pages": "type: ToyFolder, source: texts",
        "read": "type: ToyRead, inputs: {pages: pages, tool: shelf}",
        "measure": "type: ToyMeasure, inputs: {texts: read}",
    }
    return graph(nodes, {"text": "measure"})


def locked(path):
    return json.loads(Path(f"{path}.lock").read_text())


def relock(path, change):
    data = locked(path)
    change(data)
    Path(f"{path}.lock").write_text(json.dumps(data))


def test_a_lock_lists_revisions_files_types_and_versions(vflow, library, tmp_path):
    result = vflow("lock", library)
    assert result.code == 0
    assert result.done == ["shelf", "folder"]
    data = locked(library)
    assert data["nodes"]["shelf"]["pins"] == {"hub me/saw@main": "c1"}
    assert set(data["nodes"]["pages"]["pins"]) == {"file a.txt", "file b.txt"}
    assert data["nodes"]["read"] == {"type": "ToyRead", "version": 1}
    assert {"python", "torch", "diffusers"} <= set(data["versions"])
    assert "+" not in data["versions"]["torch"]
    assert str(tmp_path) not in Path(f"{library}.lock").read_text()


def test_locking_again_gives_the_same_bytes(vflow, library):
    vflow("lock", library)
    first = Path(f"{library}.lock").read_bytes()
    assert vflow("lock", library).code == 0
    assert Path(f"{library}.lock").read_bytes() == first


def test_what_is_as_it_was_locked_runs(vflow, library):
    vflow("lock", library)
    assert vflow("run", library, "--locked").code == 0
    assert vflow("plan", library, "--locked").code == 0
    assert vflow("run", library, "--locked", "--until", "pages").code == 0


def test_a_locked_run_takes_the_revision_of_the_lock_when_the_branch_has_moved(vflow, library):
    vflow("lock", library)
    Path("hub.json").write_text('{"me/saw": "c2"}')
    held = vflow("run", library, "--locked")
    assert held.code == 0
    assert "fetch c1" in held.done
    assert "fetch c2" in vflow("run", library).done


def test_everything_that_differs_is_told_at_once(vflow, library, tmp_path):
    vflow("lock", library)

    def older(data):
        data["versions"]["torch"] = "1.0.0"
        data["versions"]["python"] = "2.7"
        data["nodes"]["measure"]["version"] = 7
        data["nodes"]["ghost"] = {"type": "ToyRead", "version": 1}
        del data["nodes"]["read"]

    relock(library, older)
    (tmp_path / "texts/a.txt").write_text("other")
    (tmp_path / "texts/b.txt").unlink()
    (tmp_path / "texts/c.txt").write_text("gamma")
    result = vflow("run", library, "--locked")
    assert result.code == 2
    assert not any(word.startswith("read") for word in result.done)
    for told in (
        "torch is",
        "the lock has 1.0.0",
        "pip install torch==1.0.0",
        "the lock has 2.7",
        "ToyMeasure version 1, the lock has ToyMeasure version 7",
        "nodes.ghost: the lock has this node, and the graph does not",
        "nodes.read: the lock does not have this node",
        "nodes.pages: changed since it was locked: a.txt",
        "gone since it was locked: b.txt",
        "came since it was locked: c.txt",
        "g.yaml:7:",
    ):
        assert told in result.err, told


def test_changed_settings_of_what_is_locked_are_told(vflow, library, tmp_path):
    vflow("lock", library)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/z.txt").write_text("zeta")
    library.write_text(library.read_text().replace("source: texts", "source: more"))
    assert "its settings were changed" in vflow("run", library, "--locked").err
    library.write_text(library.read_text().replace("source: more", "source: texts, note: elsewhere"))
    assert vflow("run", library, "--locked").code == 0  # a placement changes nothing that was locked


def test_moving_the_files_changes_nothing_but_the_setting(vflow, library, tmp_path):
    vflow("lock", library)
    (tmp_path / "texts").rename(tmp_path / "moved")
    library.write_text(library.read_text().replace("source: texts", "source: moved"))
    assert vflow("run", library, "--locked").code == 0


def test_a_lock_of_another_profile_is_told(vflow, graph):
    path = graph({"words": "type: ToyWords, words: [a]"}, more="profiles: {p: {nodes: {words: {words: [b]}}}}")
    assert vflow("lock", path, "--profile", "p").code == 0
    assert vflow("run", path, "--locked", "--profile", "p").code == 0
    assert "was made with --profile p" in vflow("run", path, "--locked").err


def test_a_graph_that_ships_is_locked_in_the_current_folder(vflow, tmp_path):
    result = vflow("lock", "ltx2_lora", "--profile", "tiny")
    assert result.code == 0
    assert (tmp_path / "ltx2_lora.lock").is_file()
    assert vflow("plan", "ltx2_lora", "--profile", "tiny", "--locked").code == 0


def test_a_lock_may_lie_elsewhere(vflow, library):
    assert vflow("lock", library, "-o", "here.lock").code == 0
    assert vflow("run", library, "--lock", "here.lock").code == 0
    missing = vflow("run", library, "--locked")
    assert missing.code == 2
    assert "`vflow lock GRAPH` makes one" in missing.err


def test_what_is_no_lock_is_never_written_over(vflow, library, tmp_path):
    Path(f"{library}.lock").write_text("my notes")
    assert vflow("lock", library).code == 2
    assert Path(f"{library}.lock").read_text() == "my notes"
    assert vflow("lock", library, "-o", "no/such/folder").code == 2
    assert "is no lock" in vflow("run", library, "--locked").err


def test_a_newer_lock_is_told_apart_from_a_broken_one():
    with pytest.raises(GraphError, match="update vflow"):
        lock.parse(b'{"lock": 99}', "x")


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inside: (
            st.lists(inside, max_size=3)
            | st.dictionaries(
                st.sampled_from(["lock", "graph", "nodes", "versions", "profiles", "pins"]), inside, max_size=6
            )
        ),
        max_leaves=12,
    ).map(lambda data: json.dumps(data).encode())
)
def test_anything_may_stand_in_a_locks_file(data):
    with contextlib.suppress(GraphError):
        lock.parse(data, "x")
