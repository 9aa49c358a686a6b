"""A pack re-runs elsewhere with everything reused; a stranger's pack can do nothing but be refused or be data."""

import hashlib
import io
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vflow.engine import packfile, unpack
from vflow.engine.problems import Failure, GraphError
from vflow.engine.store import Record, Store
from vflow.engine.values import output_to_json

READ = "type: ToyRead, inputs: {pages: pages}"


@pytest.fixture
def library(graph, tmp_path):
    """A graph over files that only this machine has, with a node below each kind of node."""
    (tmp_path / "texts").mkdir()
    for name, text in (("alice", "alpha"), ("bob", "beta")):
        (tmp_path / f"texts/{name}.txt").write_text(text)

    def write(source="texts", words="x, y", more="", outputs=None):
        nodes = {
            "pages": f"type: ToyFolder, source: {source}",
            "words": f"type: ToyWords, words: [{words}]",
            "read": READ,
            "carve": "type: ToyCarve, inputs: {words: words}",
            "measure": "type: ToyMeasure, inputs: {texts: [read, carve]}",
            "walk": "type: ToyWalk, inputs: {text: measure}",
        }
        return graph(nodes, outputs or {"path": "walk.path"}, more=more)

    return write


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go to another machine: another folder, another store, none of the user's files."""

    def go(name="other"):
        for away in (tmp_path / "texts", tmp_path / "hub.json"):
            if away.is_dir():
                shutil.rmtree(away)
        place = tmp_path / name
        place.mkdir()
        monkeypatch.chdir(place)
        monkeypatch.setenv("VFLOW_HOME", str(place / "store"))
        return place

    return go


@pytest.fixture
def packed(vflow, library, tmp_path):
    """A pack of the graph."""

    def make(*words, **how):
        path = library(**how)
        ran = vflow("run", path)
        assert ran.code == 0, ran.err
        result = vflow("pack", path, "-o", tmp_path / "p.zip", *words)
        assert result.code == 0, result.err
        return tmp_path / "p.zip"

    return make


def names_in(pack):
    with zipfile.ZipFile(pack) as archive:
        return set(archive.namelist())


def content_of(pack):
    with zipfile.ZipFile(pack) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


# --- there and back --------------------------------------------------------------------------------------------------


def test_elsewhere_everything_is_reused(vflow, packed, elsewhere):
    pack = packed()
    here = elsewhere()
    assert vflow("unpack", pack, "it").code == 0
    assert {path.name for path in (here / "it").iterdir()} == {
        "graph.yaml", "original.yaml", "graph.yaml.lock", "graph.yaml.frozen", "README.md",
    }  # fmt: skip
    result = vflow("run", "it/graph.yaml", "--locked")
    assert result.code == 0, result.err
    assert result.done == ["words"]
    assert "0 results computed" in result.err
    assert Path(result.out.split()[1]).read_text() == "[5, 4, 1, 1] 3"


def test_without_a_folder_it_is_named_after_the_file(vflow, packed, elsewhere):
    pack = packed()
    here = elsewhere()
    assert vflow("unpack", pack).out.strip() == str(Path("p/graph.yaml"))
    assert (here / "p/graph.yaml").is_file()


def test_equal_packs_are_equal_bytes(vflow, packed, library, tmp_path):
    first = packed().read_bytes()
    assert vflow("pack", library(), "-o", tmp_path / "q.zip").code == 0
    assert (tmp_path / "q.zip").read_bytes() == first


def test_only_results_of_outputs_go_along_and_those_asked_for(packed):
    few = names_in(packed())
    assert len([name for name in few if name.startswith("records/")]) == 1
    more = names_in(packed("--with", "read", "--with", "measure"))
    assert len([name for name in more if name.startswith("records/")]) == 4
    assert few < more


def test_a_result_that_is_not_there_is_told(vflow, library, tmp_path):
    result = vflow("pack", library(), "-o", tmp_path / "p.zip", "--with", "carve")
    assert result.code == 2
    assert "nodes.walk" in result.err
    assert "nodes.carve" in result.err
    assert "`vflow run`" in result.err
    assert not (tmp_path / "p.zip").exists()
    wrong = vflow("pack", library(), "-o", tmp_path / "p.zip", "--with", "carv")
    assert "did you mean 'carve'?" in wrong.err


def test_what_does_not_depend_on_the_missing_files_can_be_changed(vflow, packed, elsewhere):
    pack = packed("--with", "read", "--with", "carve")
    elsewhere()
    vflow("unpack", pack, "it")
    graph = Path("it/graph.yaml")
    graph.write_text(graph.read_text().replace('"y"', '"zz"'))
    result = vflow("run", graph)
    assert result.code == 0, result.err
    assert result.done == ["words", "carve zz", "measure", "step 0", "step 1", "step 2"]


def test_what_needs_the_missing_files_says_so_before_anything_runs(vflow, packed, elsewhere):
    pack = packed()
    elsewhere()
    vflow("unpack", pack, "it")
    assert vflow("run", "it/graph.yaml", "--force", "read").code == 2
    graph = Path("it/graph.yaml")
    graph.write_text(graph.read_text().replace('"y"', '"zz"'))
    result = vflow("run", graph)
    assert result.code == 2
    assert "there is no folder texts" in result.err
    assert "the pack holds only what it is" in result.err
    assert not any(word.startswith("carve") for word in result.done)


def test_the_same_files_put_there_are_taken_and_others_are_refused(vflow, packed, elsewhere):
    pack = packed()
    elsewhere()
    vflow("unpack", pack, "it")
    graph = Path("it/graph.yaml")
    graph.write_text(graph.read_text().replace('"y"', '"zz"'))
    Path("texts").mkdir()
    Path("texts/1.txt").write_text("alpha")
    Path("texts/2.txt").write_text("other")
    refused = vflow("run", graph)
    assert refused.code == 2
    assert "something else here than where the pack was made" in refused.err
    Path("texts/2.txt").write_text("beta")
    taken = vflow("run", graph)
    assert taken.code == 0, taken.err
    assert "read alpha" in taken.done
    Path("texts/2.txt").write_text("other")
    Path("it/graph.yaml.frozen").unlink()
    assert vflow("run", graph).code == 0


def test_a_lengthened_walk_is_walked_from_what_the_pack_holds(vflow, packed, elsewhere):
    pack = packed("--with", "measure")
    elsewhere()
    vflow("unpack", pack, "it")
    graph = Path("it/graph.yaml")
    graph.write_text(graph.read_text().replace('{text: "measure"}', '{text: "measure"}, steps: 4'))
    result = vflow("run", graph)
    assert result.code == 0, result.err
    assert result.done == ["words", "step 0", "step 1", "step 2", "step 3"]


def test_observed_outputs_are_what_they_were(vflow, packed, elsewhere):
    pack = packed(outputs={"path": "walk.path", "stops": "walk.stops"})
    elsewhere()
    vflow("unpack", pack, "it")
    result = vflow("run", "it/graph.yaml")
    assert result.code == 0, result.err
    assert [Path(line.split()[1]).read_text() for line in result.out.splitlines()] == ["[5, 4, 1, 1] 3"] * 2


def test_with_clips_the_files_go_along_and_everything_can_be_computed(vflow, packed, elsewhere):
    pack = packed("--with-clips")
    assert len([name for name in names_in(pack) if name.startswith("files/")]) == 2
    here = elsewhere()
    vflow("unpack", pack, "it")
    graph = Path("it/graph.yaml")
    graph.write_text(graph.read_text().replace('"y"', '"zz"'))
    result = vflow("run", graph)
    assert result.code == 0, result.err
    assert {"read alpha", "read beta"} <= set(result.done)
    assert "folder" not in result.done
    changed = next((here / "it/files").iterdir())
    changed.chmod(0o644)
    changed.write_text("tampered")
    shutil.rmtree(here / "store")
    assert "there is no folder" in vflow("run", graph).err


def test_a_model_is_fetched_by_the_commit_that_it_stood_for(vflow, graph, tmp_path, elsewhere):
    (tmp_path / "hub.json").write_text('{"me/saw": "c1"}')
    nodes = {
        "shelf": "type: ToyBranch, name: me/saw",
        "words": "type: ToyWords, words: [one]",
        "carve": "type: ToyCarve, inputs: {words: words, tool: shelf}",
    }
    path = graph(nodes, {"texts": "carve"})
    vflow("run", path)
    assert vflow("pack", path, "-o", tmp_path / "p.zip").code == 0
    elsewhere()
    vflow("unpack", tmp_path / "p.zip", "it")
    assert vflow("run", "it/graph.yaml").done == ["words"]
    unpacked = Path("it/graph.yaml")
    unpacked.write_text(unpacked.read_text().replace('"one"', '"two"'))
    assert vflow("run", unpacked).done == ["words", "fetch c1", "carve two", "open c1", "close c1"]


def test_a_pack_can_be_packed_again(vflow, packed, elsewhere, tmp_path):
    pack = packed()
    elsewhere("second")
    vflow("unpack", pack, "it")
    vflow("run", "it/graph.yaml")
    again = vflow("pack", "it/graph.yaml", "-o", tmp_path / "q.zip")
    assert again.code == 0, again.err
    elsewhere("third")
    vflow("unpack", tmp_path / "q.zip", "it")
    assert vflow("run", "it/graph.yaml").done == ["words"]


# --- what stays at home ----------------------------------------------------------------------------------------------


def test_files_of_the_user_stay_at_home_with_their_names(packed):
    everything = b"".join(content_of(packed()).values())
    for own in (b"alpha", b"alice", b"bob"):
        assert own not in everything
    with_clips = b"".join(content_of(packed("--with-clips")).values())
    assert b"alpha" in with_clips


def test_absolute_paths_stay_at_home(vflow, packed, elsewhere, tmp_path):
    pack = packed(source=tmp_path / "texts")
    everything = b"".join(content_of(pack).values()) + b"".join(name.encode() for name in names_in(pack))
    assert str(tmp_path).encode() not in everything.replace(content_of(pack)["original.yaml"], b"")
    elsewhere()
    vflow("unpack", pack, "it")
    assert vflow("run", "it/graph.yaml", "--locked").done == ["words"]


def test_the_original_stays_at_home_where_it_tells_of_it(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pack = packed(source=tmp_path / "texts")
    assert "original.yaml" not in names_in(pack)
    assert str(tmp_path).encode() not in b"".join(content_of(pack).values())


def test_a_pack_with_a_secret_is_not_made(vflow, library, tmp_path, monkeypatch):
    path = library(words="one, open-sesame-now")
    assert vflow("run", path).code == 0
    monkeypatch.setenv("SOME_TOKEN", "open-sesame-now")
    result = vflow("pack", path, "-o", tmp_path / "p.zip")
    assert result.code == 2
    assert "the pack would hold the secret in $SOME_TOKEN, in graph.yaml" in result.err
    assert "sesame" not in result.err
    assert not (tmp_path / "p.zip").exists()
    monkeypatch.delenv("SOME_TOKEN")
    path = library(words="hf_" + "a1B2" * 9)
    vflow("run", path)
    assert "looks like a token" in vflow("pack", path, "-o", tmp_path / "p.zip").err


def test_a_secret_in_a_result_is_found_too(vflow, library, tmp_path, monkeypatch):
    path = library(words="open-sesame-now", outputs={"texts": "carve"})
    vflow("run", path)
    monkeypatch.setenv("SOME_TOKEN", "open-sesame-now")
    assert "in blobs/" in vflow("pack", path, "-o", tmp_path / "p.zip").err


def test_words_of_the_user_are_left_out_of_results(vflow, graph, tmp_path):
    path = graph({"told": "type: ToyTold, words: [a red circle]"}, {"told": "told"})
    vflow("run", path)
    assert vflow("pack", path, "-o", tmp_path / "p.zip").code == 0
    records = b"".join(c for n, c in content_of(tmp_path / "p.zip").items() if n.startswith("records/"))
    assert b"said-of" not in records
    assert vflow("pack", path, "-o", tmp_path / "q.zip", "--with-clips").code == 0
    records = b"".join(c for n, c in content_of(tmp_path / "q.zip").items() if n.startswith("records/"))
    assert b"said-of" in records


def test_only_a_pack_is_written_over(vflow, packed, library, tmp_path):
    pack = packed()
    assert vflow("pack", library(), "-o", pack).code == 0
    (tmp_path / "notes.zip").write_text("mine")
    assert vflow("pack", library(), "-o", tmp_path / "notes.zip").code == 2
    assert (tmp_path / "notes.zip").read_text() == "mine"


# --- strangers' packs ------------------------------------------------------------------------------------------------


def rebuilt(pack, target, change):
    """Write a pack again after `change(files)`, with a manifest that fits; `change` may return entries to add raw."""
    files = content_of(pack)
    manifest = json.loads(files.pop("pack.json"))
    raw = change(files) or []
    manifest["entries"] = {n: [len(c), hashlib.sha256(c).hexdigest()] for n, c in files.items()}
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("pack.json", json.dumps(manifest))
        for name, content in files.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
        for info, content in raw:
            archive.writestr(info, content)
    return target


def entry(name, mode=0, content=b"x"):
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = mode << 16
    return info, content


def everything_in(folder):
    return {str(p): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file() and "index" not in p.parts}


@pytest.fixture
def refuses(vflow, packed, elsewhere, tmp_path):
    """Unpack a changed pack: it is refused with this reason, and nothing is written anywhere."""
    pack = packed()
    place = elsewhere()

    def check(reason, change=None, bad=None):
        bad = bad or rebuilt(pack, tmp_path / "bad.zip", change)
        before = everything_in(tmp_path)
        result = vflow("unpack", bad, "it")
        assert result.code == 2, result.err
        assert reason in result.err
        assert not (place / "it").exists()
        after = everything_in(tmp_path)
        new = {name for name in after if name not in before and not name.endswith("store.json")}
        assert not new, new
        assert not list(place.glob(".unpacking-*"))

    check.pack = pack
    return check


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "a/../../evil.txt",
        "/etc/evil.txt",
        "C:/evil.txt",
        "..\\e.txt",
        "files/../../e.txt",
        "~/e.txt",
        ".",
    ],
)
def test_paths_that_escape_are_refused(refuses, name):
    def change(files):
        files[name] = b"evil"

    refuses("leads out of its folder", change)


@pytest.mark.parametrize(
    "name",
    [
        "blobs/m.pt",
        "files/model.bin",
        "run.py",
        "files/a.pkl",
        "records/x.npy",
        "blobs/" + "a" * 64 + ".pickle",
        "x.so",
    ],
)
def test_pickles_and_code_are_refused(refuses, name):
    def change(files):
        files[name] = b"\x80\x04."

    refuses("may run code", change)


@pytest.mark.parametrize("name", ["notes.txt", "blobs/x.mp4", "files/a b.mp4", "GRAPH.yaml", "records/x.txt"])
def test_names_that_have_no_place_in_a_pack_are_refused(refuses, name):
    def change(files):
        files[name] = b"x"

    refuses("has no place in a pack", change)


def test_links_devices_and_folders_are_refused(refuses):
    for mode, reason in (
        (stat.S_IFLNK | 0o777, "is a link"),
        (stat.S_IFCHR | 0o666, "is no plain file"),
        (stat.S_IFIFO | 0o666, "is no plain file"),
    ):
        refuses(reason, lambda files, mode=mode: [entry("files/a.txt", mode, b"/etc/passwd")])
    refuses("is no plain file", lambda files: [entry("files/", stat.S_IFDIR | 0o755, b"")])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(refuses):
    refuses("twice", lambda files: [entry("graph.yaml", 0, b"vflow: 1")])


def test_what_the_manifest_does_not_say_is_refused(refuses):
    refuses("manifest says something else", lambda files: [entry("files/a.txt", 0, b"stowaway")])


def test_altered_content_is_refused(refuses, tmp_path):
    files = content_of(refuses.pack)
    for name in files:
        if name in ("pack.json",):
            continue
        bad = tmp_path / "altered.zip"
        with zipfile.ZipFile(bad, "w") as archive:
            for other, content in files.items():
                flipped = content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]
                archive.writestr(other, flipped if other == name else content)
        refuses("is not what its manifest says", bad=bad)


def test_bombs_are_refused(refuses, tmp_path):
    refuses("is a bomb", lambda files: files.update({"files/a.txt": b" " * 30_000_000}))
    refuses("is a bomb", lambda files: files.update({"graph.yaml": files["graph.yaml"] + b"#" * 30_000_000}))


def test_a_pack_larger_than_the_disk_is_refused(vflow, packed, elsewhere, monkeypatch):
    pack = packed()
    here = elsewhere()
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    result = vflow("unpack", pack, "it")
    assert result.code == 1
    assert "does not fit" in result.err
    assert not (here / "it").exists()


def test_a_size_that_lies_is_refused(refuses, tmp_path):
    bad = tmp_path / "lies.zip"
    data = refuses.pack.read_bytes()
    name = b"README.md"
    at = data.rfind(name)  # in the central directory: its size stands 22 bytes before the name
    size = int.from_bytes(data[at - 22 : at - 18], "little")
    bad.write_bytes(data[: at - 22] + (size - 1).to_bytes(4, "little") + data[at - 18 :])
    refuses("", bad=bad)


def test_files_that_are_not_of_their_type_are_refused(refuses):
    def renamed(suffix, content):
        def change(files):
            files[f"blobs/{hashlib.sha256(content).hexdigest()}{suffix}"] = content

        return change

    refuses("is no safetensors file", renamed(".safetensors", b"\x80\x04\x95 a pickle in disguise"))
    refuses("is no safetensors file", renamed(".safetensors", b"PK\x03\x04 torch.save"))
    refuses("is no MP4 file", renamed(".mp4", b"\x80\x04\x95 a pickle in disguise"))
    refuses("is no text", renamed(".txt", b"\x80\x04\x95"))
    refuses("is no text", renamed("", b"\xff\xfe\x00"))
    refuses("control characters", renamed(".txt", b"\x1b]0;owned\x07"))


def test_control_characters_for_terminals_are_refused(refuses):
    refuses("control characters", lambda files: files.update({"README.md": b"\x1b[2J"}))
    refuses("control characters", lambda files: files.update({"original.yaml": b"\x1b[2J"}))

    def facts(files):
        data = json.loads(files["graph.yaml.frozen"])
        data["nodes"]["pages"]["facts"] = {"pages": "\x1b[2J"}
        files["graph.yaml.frozen"] = json.dumps(data).encode()

    refuses("control characters", facts)


def record_in(files):
    name = next(name for name in files if name.startswith("records/"))
    return name, Record.from_file(name[8:-5], files[name])


def forged(record, **changed):
    fields = {name: getattr(record, name) for name in ("key", "node_type", "version", "output", "seconds", "created")}
    fields |= {name: getattr(record, name) for name in ("blobs", "settings", "inputs", "graph", "node")}
    return Record(**{**fields, **changed}).to_file()


def test_a_result_under_a_key_that_is_not_its_own_is_refused(refuses):
    victim = "f" * 64

    def under_another_key(files):
        name, record = record_in(files)
        del files[name]
        files[f"records/{victim}.json"] = forged(record, key=victim)

    refuses("does not stand under its own key", under_another_key)
    for changed in (
        {"settings": {"steps": 9}},
        {"version": 2},
        {"inputs": {"text": victim}},
    ):

        def other(files, changed=changed):
            name, record = record_in(files)
            files[name] = forged(record, **changed)

        refuses("does not stand under its own key", other)


def test_a_record_says_of_itself_what_it_is(refuses):
    def torn(files):
        name, _ = record_in(files)
        files[name] = files[name].replace(b'"seconds"', b'"sekonds"')

    refuses("is no record", torn)

    def no_blob(files):
        for name in [name for name in files if name.startswith("blobs/")]:
            del files[name]

    refuses("which a result needs, is not in it", no_blob)

    def hidden(files):
        name, record = record_in(files)
        files[name] = forged(record, blobs=())

    refuses("says something else than its output", hidden)

    def unknown(files):
        name, record = record_in(files)
        files[name] = forged(record, output={"type": "Unheard", "value": {}}, blobs=())

    refuses("of a type that is not known here", unknown)


def test_a_result_is_of_what_its_node_gives(refuses):
    def of_another_node(files):
        name, record = record_in(files)
        files[name] = forged(record, node_type="ToyCarve")

    refuses("holds what a ToyCarve does not give", of_another_node)

    def of_another_type(files):
        name, record = record_in(files)
        word = {"type": "ToyWord", "value": {"text": "a"}}
        files[name] = forged(record, output={"outputs": {"path": word}}, blobs=())

    refuses("holds what a ToyWalk does not give", of_another_type)


def test_a_frozen_output_of_a_wrong_type_is_passed_over(vflow, packed, elsewhere):
    pack = packed()
    elsewhere()
    vflow("unpack", pack, "it")
    frozen = Path("it/graph.yaml.frozen")
    data = json.loads(frozen.read_text())
    data["nodes"]["pages"]["output"] = {"value": {"type": "ToyWord", "value": {"text": "a"}}}
    frozen.write_text(json.dumps(data))
    result = vflow("run", "it/graph.yaml")
    assert result.code == 2
    assert "there is no folder texts" in result.err
    frozen.write_text("{}")
    assert "unpack the pack again" in vflow("run", "it/graph.yaml").err


def test_a_result_cannot_say_that_it_has_any_identity(refuses):
    def sealed(files):
        name, record = record_in(files)
        files[name] = forged(
            record, output={"type": "Sealed", "value": {"kind": "ToyText", "seal": "0" * 64}}, blobs=()
        )

    refuses("of a type that is not known here", sealed)


def test_frozen_outputs_name_no_files_elsewhere(refuses):
    for path in ("../../../etc/passwd", "/etc/passwd", "files/../../x.txt"):

        def elsewhere_(files, path=path):
            data = json.loads(files["graph.yaml.frozen"])
            data["nodes"]["pages"]["files"] = {"a": [path, "0" * 64]}
            files["graph.yaml.frozen"] = json.dumps(data).encode()

        refuses("is not what `vflow unpack` wrote", elsewhere_)


def test_recipes_in_a_pack_lead_nowhere_else():
    from vflow.nodes.values import Source

    good = {"family": "ltx2", "part": "vae", "content": "0" * 64, "model": "a/b", "kind": "hub"}
    for bad in (
        {"commit": "../../../home"},
        {"content": "../../x"},
        {"family": "../x"},
        {"files": [["../../../.bashrc", 1, ""]]},
        {"files": [["/etc/passwd", 1, ""]]},
    ):
        with pytest.raises(ValueError):
            Source.model_validate({**good, **bad})


def test_what_is_no_pack_is_told(vflow, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK nonsense")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("graph.yaml", "vflow: 1")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("pack.json", '{"pack": 99, "entries": {}}')
    assert "is no pack" in vflow("unpack", "a.zip", "it").err
    assert "has no pack.json" in vflow("unpack", "b.zip", "it").err
    assert "update vflow" in vflow("unpack", "c.zip", "it").err
    assert "there is no file" in vflow("unpack", "d.zip", "it").err
    assert not Path("it").exists()


# --- nothing is overwritten ------------------------------------------------------------------------------------------


def test_a_folder_that_is_there_is_left_alone(vflow, packed, elsewhere):
    pack = packed()
    here = elsewhere()
    (here / "it").mkdir()
    (here / "it/mine.txt").write_text("mine")
    (here / "link").symlink_to(here / "it")
    for name in ("it", "link"):
        assert "nothing is overwritten" in vflow("unpack", pack, name).err
    assert os.listdir(here / "it") == ["mine.txt"]
    (here / "empty").mkdir()
    assert vflow("unpack", pack, "empty").code == 0


def test_results_that_are_there_stay(vflow, packed, elsewhere):
    pack = packed()
    here = elsewhere()
    files = content_of(pack)
    name, record = record_in(files)
    store = Store(here / "store")
    blob = store.put_bytes(b"computed here")
    from vflow.engine.values import Value

    walked = Value.kinds["ToyText"](blob=blob, length=1)
    mine = Record(key=record.key, node_type="ToyWalk", version=1, output=output_to_json({"path": walked}),
                  blobs=(blob,), seconds=1.0, created=1.0)  # fmt: skip
    store.publish(mine)
    store.close()
    result = vflow("unpack", pack, "it")
    assert result.code == 0
    assert "1 of them otherwise than in the pack: yours are kept" in result.err
    assert Store(here / "store").lookup([record.key])[record.key] == mine


def test_unpacking_twice_changes_nothing(vflow, packed, elsewhere):
    pack = packed()
    here = elsewhere()
    vflow("unpack", pack, "one")
    results = [here / "store" / name for name in ("records", "blobs")]
    before = [everything_in(place) for place in results]
    result = vflow("unpack", pack, "two")
    assert result.code == 0
    assert "you have already" in result.err
    assert [everything_in(place) for place in results] == before != [{}, {}]


def test_without_results_the_store_stays_as_it_is(vflow, packed, elsewhere):
    pack = packed()
    here = elsewhere()
    assert vflow("unpack", pack, "it", "--no-results").code == 0
    assert not (here / "store/records").exists()
    assert (here / "it/graph.yaml").is_file()


def test_who_says_no_gets_nothing(packed, elsewhere):
    pack = packed()
    here = elsewhere()
    asked = []
    found = unpack.unpack(pack, here / "it", Store(here / "store"), lambda it: asked.append(it))
    assert found is None
    assert asked[0].types == {"ToyWalk": 1}
    assert not (here / "it").exists()
    assert not (here / "store/records").exists()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_happened_to_a_pack_it_is_refused_in_words_or_whole(packed, elsewhere, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "mutated"
    if not folder.exists():
        folder.mkdir()
        shutil.copy(packed(), folder / "good.zip")
    content = bytearray((folder / "good.zip").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["flip", "cut", "add"]))
        if how == "flip":
            content[at] ^= data.draw(st.integers(1, 255))
        elif how == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        else:
            content[at:at] = data.draw(st.binary(max_size=20))
        if not content:
            return
    (folder / "bad.zip").write_bytes(content)
    shutil.rmtree(folder / "it", ignore_errors=True)
    try:
        unpack.unpack(folder / "bad.zip", folder / "it", Store(folder / "store"))
    except (GraphError, Failure):
        assert not (folder / "it").exists()
    else:
        unpacked = everything_in(folder / "it")
        with zipfile.ZipFile(folder / "good.zip") as archive:
            for path, found in unpacked.items():
                assert archive.read(os.path.relpath(path, folder / "it")) == found


def test_an_empty_entry_of_every_kind_is_written_and_read():
    buffer = io.BytesIO()
    files = {"graph.yaml": b"", "README.md": b"a", "graph.yaml.lock": b"b", "graph.yaml.frozen": b"c"}
    entries = {name: (len(c), hashlib.sha256(c).hexdigest()) for name, c in files.items()}
    packfile.write(buffer, packfile.Manifest(entries, {}), files)
    with zipfile.ZipFile(buffer) as archive:
        manifest = packfile.read_manifest(archive, len(buffer.getvalue()))
        assert {name: packfile.text_of(archive, name, manifest) for name in files} == files
