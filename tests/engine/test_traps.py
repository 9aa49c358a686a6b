"""The traps that other workflow engines fell into, each with the test that keeps this one out of it.

Here stand those that no other file tests; the rest of the list, with its place:

keys
- 1, 1.0, True and "1" are one key: here; test_keys (`one_is_four_values`)
- the order of a mapping changes the key: here; test_keys (`the_order_of_keys`)
- lists, nesting and containers collide: test_keys (`two_digests_are_equal_only_for_the_same_data`, `nesting_is_framed`)
- what cannot be hashed, or is nested deep, counts as a constant: here; test_keys (`no_canonical_form_is_refused`)
- two types with the same fields are equal: here
- a key depends on the process, on the place, on the Python version: here; test_keys (`digests_do_not_change`)
- comments, blanks, names and the order of a file are in the key: here
- keys cost the square of the number of nodes: here
- the version of a node's code is not in the key: here; test_why (`a_new_version_is_told`)
- code of helpers and libraries is not in the key: golden statistics in tests/nodes/families/*; records say with what
  they were computed, test_why (`results_of_another_major_version`, `of_another_kind_of_device`)
- a NaN makes a node run for ever: here; test_keys (`floats_that_are_not_finite_are_refused`)

results
- a step upstream that comes out equal runs all below it again: test_run (`an_equal_identity`), test_why (`a_wave`)
- going back to old settings runs everything again: here; test_run (`going_back_to_old_settings`)
- one changed root runs more than what stands on it: here
- a node without inputs is not kept: here
- a failed run repeats what it had finished: here; test_run (`a_failure_names_node`)
- cached objects are changed by who uses them: here; store/test_blobs (`a_blob_is_read_only`), store/test_records
  (`a_record_cannot_be_changed`), test_run (`a_model_is_fetched_first`: it comes back as it was)
- a kept result whose file is gone fails later: test_run (`a_lost_blob`), store/test_records (`counts_as_absent`)
- a result computed again gets a new random name: test_why (`when_a_lost_blob_was_computed_again`)
- only the existence of an output file is looked at: here
- results are pickles: store/test_index (`a_pickle_in_the_index_is_never_opened`), test_imports and the store's records
- results are written in place and are torn by a kill; a kill loses the whole run: faults/test_killed_at_any_operation
- nothing ever leaves the store: store/test_collect

files
- a renamed, moved or touched file is a new one: here
- an edit that keeps size and time goes unnoticed: here; store/test_facts (`an_edit_that_keeps_size_and_time`)
- a file replaced by an older one goes unnoticed: here
- large files are only looked at by their time: here

several processes
- two runs at once compute everything twice, or one fails on a lock: faults/test_single_flight
- a killed run leaves a lock for people to remove: here; faults/test_single_flight
- locks depend on clocks: store/test_leases (`timed_on_the_own_clock`), faults/test_single_flight (`clocks_are_apart`)

graphs of strangers
- a literal that looks like a link is taken for one: here
- a graph with one unknown node does not open: here; test_check (`an_unknown_type_is_one_problem`)
- a graph can name files to import, or carries code, or tags that make objects: here; test_document
  (`what_is_wrong_is_told_in_words`)
- the file says nothing on its format: test_load (`what_is_no_graph_is_told`)
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from vflow.engine import keys
from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.values import Items, Value

DONE: list[str] = []


class TrapNote(Value):
    text: str


class TrapTwin(Value):
    text: str


class TrapAny(Node):
    """Heavy, without inputs; its settings take many types."""

    value: int | float | bool | str = 0
    table: dict[str, int] = {}
    path: tuple[str | int, ...] = ()
    size: float = 1.0

    def run(self, context: Context) -> TrapNote:
        DONE.append(f"any {self.value!r}")
        return TrapNote(text=f"{self.value!r} {sorted(self.table.items())} {self.path} {self.size}")


class TrapAdd(Node):
    """Heavy: joins texts."""

    word: str = ""

    def run(self, context: Context, a: TrapNote, b: TrapNote | None = None) -> TrapNote:
        DONE.append(f"add {self.word}")
        if self.word == "fail":
            raise RuntimeError("by accident")
        text = keys.digest_bytes(f"{a.text} {b.text if b else ''} {self.word}".encode())
        return TrapNote(text=text)


class TrapMeddle(Node):
    """Tries to change what it is given."""

    def run(self, context: Context, a: TrapNote) -> TrapNote:
        a.text = "mine"
        return a


class TrapFiles(Node):
    """Light: the contents of a folder's files."""

    light = True
    folder: str

    def run(self, context: Context) -> Items[TrapNote]:
        paths = sorted(Path(self.folder).iterdir())
        digests = sorted(context.digest_of(path) for path in paths)
        return Items.of({digest[:8]: TrapNote(text=digest) for digest in digests})


class TrapCount(Node):
    """Heavy, over a list."""

    def run(self, context: Context, notes: Items[TrapNote]) -> TrapNote:
        DONE.append("count")
        return TrapNote(text=" ".join(note.text for note in notes))


@pytest.fixture
def run(vflow):
    """Run a graph; return what was computed."""

    def call(path, *words, code=0):
        DONE.clear()
        result = vflow("run", path, *words)
        assert result.code == code, result.err
        assert "Traceback" not in result.err
        return list(DONE)

    return call


def keys_of(vflow, path):
    result = vflow("plan", path, "--json")
    assert result.code == 0, result.err
    return {name: node["key"] for name, node in json.loads(result.out)["nodes"].items()}


# --- keys ------------------------------------------------------------------------------------------------------------


def test_one_and_one_point_and_true_and_text_are_four_results(run, graph):
    for value, shown in (("1", "1"), ("1.0", "1.0"), ("true", "True"), ("'1'", "'1'")):
        assert run(graph({"a": f"type: TrapAny, value: {value}"})) == [f"any {shown}"]
    assert run(graph({"a": "type: TrapAny, value: 1"})) == []


def test_a_whole_number_where_a_float_is_meant_is_that_float(run, graph):
    assert run(graph({"a": "type: TrapAny, size: 2.0"})) != []
    assert run(graph({"a": "type: TrapAny, size: 2"})) == []


def test_the_order_of_a_mapping_is_no_change(run, graph):
    assert run(graph({"a": "type: TrapAny, table: {x: 1, y: 2}"})) != []
    assert run(graph({"a": "type: TrapAny, table: {y: 2, x: 1}"})) == []
    assert run(graph({"a": "type: TrapAny, table: {y: 1, x: 2}"})) != []


def test_unlike_settings_deep_inside_are_never_taken_for_equal():
    def nested(leaf, depth):
        for _ in range(depth):
            leaf = [leaf]
        return leaf

    digests = {keys.digest(nested(leaf, depth)) for leaf in (1, "1", [1]) for depth in (5, 7, 50, 300)}
    assert len(digests) == 12
    with pytest.raises(RecursionError):
        keys.digest(nested(1, 100_000))  # refused, not a constant


def test_two_types_with_equal_fields_are_two_identities():
    assert TrapNote(text="a").identity != TrapTwin(text="a").identity


def test_a_value_that_cannot_be_hashed_is_refused_and_no_constant():
    class TrapOdd(Value):
        odd: object

    with pytest.raises(TypeError):
        _ = TrapOdd(odd={1, 2}).identity
    with pytest.raises(TypeError):
        _ = TrapOdd(odd=object()).identity


def test_a_nan_in_a_setting_is_refused(vflow, graph):
    for number in (".nan", ".inf"):
        result = vflow("run", graph({"a": f"type: TrapAny, size: {number}"}))
        assert result.code == 2
        assert "size" in result.err


def test_keys_are_the_same_in_every_process_and_place(vflow, graph, tmp_path):
    path = graph({"words": "type: ToyWords, words: [one]", "carve": "type: ToyCarve, inputs: {words: words}"})
    mine = keys_of(vflow, path)["carve"]
    code = (
        "import sys, importlib.util as u; s = u.spec_from_file_location('toys', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m);"
        "from vflow.engine.cli import main; sys.exit(main(['plan', sys.argv[2], '--json']))"
    )
    for seed in ("1", "2"):
        place = tmp_path / f"place {seed}"
        place.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": seed, "VFLOW_HOME": str(place / "store"), "TMPDIR": str(place)}
        words = [sys.executable, "-c", code, str(Path(__file__).with_name("conftest.py")), str(path)]
        result = subprocess.run(words, env=env, cwd=place, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["nodes"]["carve"]["key"] == mine


def test_comments_blanks_names_and_order_are_no_change(run, graph, tmp_path):
    assert run(graph({"a": "type: TrapAny, value: 3", "b": "type: TrapAdd, inputs: {a: a}, word: x"})) != []
    (tmp_path / "other.yaml").write_text(
        "# another day\nvflow: 1\nname: other\nparams: {x: x}\nnodes:\n\n  second:   # renamed\n    word: ${x}\n"
        "    inputs: {a: first}\n    type: TrapAdd\n  first: {value: 3, type: TrapAny}\n"
    )
    assert run(tmp_path / "other.yaml") == []


def test_a_deep_graph_makes_each_key_from_its_own_parents_only(run, graph, monkeypatch):
    nodes = {"n0": "type: TrapAny", "n1": "type: TrapAdd, inputs: {a: n0, b: n0}"}
    nodes |= {f"n{i}": f"type: TrapAdd, inputs: {{a: n{i - 1}, b: n{i - 2}}}" for i in range(2, 150)}
    lengths = []
    canonical = keys.canonical
    monkeypatch.setattr(keys, "canonical", lambda data: lengths.append(len(canonical(data))) or canonical(data))
    assert len(run(graph(nodes))) == 150
    assert max(lengths) < 1000
    assert len(lengths) < 150 * 8


def test_a_raised_version_runs_again_and_the_old_one_is_still_there(run, graph, monkeypatch):
    path = graph({"a": "type: TrapAny", "b": "type: TrapAdd, inputs: {a: a}"})
    run(path)
    monkeypatch.setattr(TrapAdd, "version", 2)
    assert run(path) == ["add "]
    monkeypatch.setattr(TrapAdd, "version", 1)
    assert run(path) == []


# --- results ---------------------------------------------------------------------------------------------------------


def diamond(graph, root=1, left="l", right="r"):
    nodes = {
        "root": f"type: TrapAny, value: {root}",
        "aside": "type: TrapAny, value: 99",
        "left": f"type: TrapAdd, inputs: {{a: root}}, word: {left}",
        "right": f"type: TrapAdd, inputs: {{a: aside}}, word: {right}",
        "end": "type: TrapAdd, inputs: {a: left, b: right}, word: end",
    }
    return graph(nodes)


def test_one_changed_root_runs_what_stands_on_it_and_back_again_nothing(run, graph):
    assert len(run(diamond(graph))) == 5
    assert run(diamond(graph, root=2)) == ["any 2", "add l", "add end"]
    assert run(diamond(graph)) == []
    assert run(diamond(graph, root=2)) == []
    assert run(diamond(graph, right="rr")) == ["add rr", "add end"]


def test_a_node_without_inputs_is_kept(run, graph):
    path = graph({"a": "type: TrapAny"})
    assert run(path) == ["any 0"]
    assert run(path) == []


def test_after_a_failure_only_what_failed_and_what_stands_on_it_runs(run, graph):
    assert run(diamond(graph, right="fail"), code=1) == ["any 1", "any 99", "add l", "add fail"]
    assert run(diamond(graph, right="fixed")) == ["add fixed", "add end"]


def test_a_node_cannot_change_what_others_are_given(run, graph, vflow):
    nodes = {
        "a": "type: TrapAny",
        "meddle": "type: TrapMeddle, inputs: {a: a}",
        "b": "type: TrapAdd, inputs: {a: a}, word: b",
    }
    result = vflow("run", graph(nodes))
    assert result.code == 1
    assert "ValidationError" in result.err
    with pytest.raises(ValidationError):
        TrapNote(text="a").text = "b"


def test_no_value_that_ships_has_a_list_or_a_set_inside():
    import vflow.nodes.values

    kinds = [kind for kind in Value.kinds.values() if kind.__module__ == vflow.nodes.values.__name__]
    assert len(kinds) > 10
    for kind in kinds:
        for name, field in kind.model_fields.items():
            assert not any(word in str(field.annotation) for word in ("list[", "set[", "bytearray")), (kind, name)


def test_a_lost_or_altered_file_of_a_run_is_exported_again_from_the_store(vflow, graph):
    nodes = {"words": "type: ToyWords, words: [one]", "carve": "type: ToyCarve, inputs: {words: words}"}
    path = graph(nodes, {"texts": "carve"})
    file = Path(vflow("run", path, "--out", "out").out.split()[1])
    for change in (lambda: file.unlink(), lambda: file.write_text("tampered")):
        change()
        again = vflow("run", path, "--out", "out")
        assert again.done == ["words"]
        assert file.read_text() == "one"


# --- files -----------------------------------------------------------------------------------------------------------


def over_files(graph, folder):
    return graph({"files": f"type: TrapFiles, folder: '{folder}'", "count": "type: TrapCount, inputs: {notes: files}"})


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(name.encode() * (2 << 20))
    old = time.time_ns() - 10**13
    for path in folder.iterdir():
        os.utime(path, ns=(old, old))
    return folder


def test_renamed_moved_and_touched_files_are_no_change(run, graph, files, tmp_path):
    assert run(over_files(graph, files)) == ["count"]
    (files / "a").touch()
    (files / "b").rename(files / "d")
    assert run(over_files(graph, files)) == []
    files.rename(tmp_path / "moved")
    assert run(over_files(graph, tmp_path / "moved")) == []


def test_an_edit_that_keeps_size_and_time_is_noticed(run, graph, files):
    assert run(over_files(graph, files)) == ["count"]
    path = files / "a"
    before = path.stat()
    with path.open("r+b") as file:  # the same inode: only the change time tells
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert run(over_files(graph, files)) == ["count"]
    copy = files.parent / "copy"
    copy.write_bytes(b"y" + path.read_bytes()[1:])
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(path)  # another inode
    assert run(over_files(graph, files)) == ["count"]


def test_a_large_file_replaced_by_an_older_one_is_noticed(run, graph, files):
    run(over_files(graph, files))
    older = files.parent / "older"
    older.write_bytes(b"z" * (2 << 20))
    os.utime(older, (1_000_000_000, 1_000_000_000))
    older.replace(files / "c")
    assert run(over_files(graph, files)) == ["count"]


# --- several processes -----------------------------------------------------------------------------------------------


def test_what_a_killed_run_left_is_in_nobodys_way(run, graph, tmp_path):
    path = diamond(graph)
    code = (
        "import os, sys, importlib.util as u; s = u.spec_from_file_location('traps', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m);"
        "m.TrapAdd.run = lambda self, context, a, b=None: os.kill(os.getpid(), 9);"
        "m.TrapAdd.run.__annotations__ = {}; from vflow.engine.cli import main; main(['run', sys.argv[2]])"
    )
    words = [sys.executable, "-c", code, __file__, str(path)]
    assert subprocess.run(words, capture_output=True, check=False).returncode == -9
    left = list((tmp_path / "store/leases").iterdir())
    assert left  # its claims are still there
    assert len([word for word in run(path) if word.startswith("any")]) <= 2
    assert run(path) == []


# --- graphs of strangers ---------------------------------------------------------------------------------------------


def test_a_setting_that_looks_like_a_link_is_none(run, graph):
    path = graph({"text": "type: TrapAny", "a": "type: TrapAny, value: text, path: [text, 1]"}, {"a": "a"})
    assert run(path) == ["any 'text'"]


@pytest.mark.parametrize(
    "kind", ["os.system", "evil.py:Evil", "./evil.Evil", "evil.Evil", "vflow.engine.node.Node", "__import__"]
)
def test_a_graph_cannot_name_what_to_import(vflow, graph, tmp_path, kind):
    (tmp_path / "evil.py").write_text("open('harm', 'w')\n")
    result = vflow("run", graph({"a": f"type: '{kind}'", "b": "type: TrapAny"}))
    assert result.code == 2
    assert f"unknown node type {kind!r}" in result.err
    assert not (tmp_path / "harm").exists()
    assert "evil" not in sys.modules


def test_a_graph_with_an_unknown_type_still_opens_checks_and_is_compared(vflow, graph):
    path = graph({"a": "type: Nowhere, value: 1", "b": "type: TrapAny, value: 1"})
    other = graph({"a": "type: Nowhere, value: 2", "b": "type: TrapAny, value: 1"}, name="other")
    checked = vflow("check", path)
    assert checked.code == 2
    assert checked.err.count("unknown node type") == 1
    told = vflow("diff", path, other)
    assert "1" in told.out
    assert "2" in told.out
    assert "Traceback" not in told.err


def test_a_graph_carries_no_code(vflow, tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(
        "vflow: 1\nname: x\nnodes:\n  a: {type: TrapAny, value: !!python/object/apply:os.system ['touch harm']}\n"
    )
    result = vflow("run", path)
    assert result.code == 2
    assert "tag" in result.err
    assert not (tmp_path / "harm").exists()
