"""Whole runs of small graphs through the command line: what is computed, what is reused, what is said."""

import json
from pathlib import Path

WORDS = "type: ToyWords, words: [one, two, three]"
CARVE = "type: ToyCarve, inputs: {words: words}"
MEASURE = "type: ToyMeasure, inputs: {texts: carve}"
WALK = "type: ToyWalk, inputs: {text: measure}, steps: 3"


def chain(graph, words=WORDS, carve=CARVE, measure=MEASURE, walk=WALK, **more):
    nodes = {"words": words, "carve": carve, "measure": measure, "walk": walk, **more}
    return graph(nodes, {"path": "walk.path"})


def summary(run="last"):
    folders = sorted(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return json.loads((folders[-1] / "summary.json").read_text())


def test_a_run_computes_exports_and_says_where(vflow, graph):
    result = vflow("run", chain(graph))
    assert result.code == 0
    assert result.done == ["words", "carve one", "carve two", "carve three", "measure", "step 0", "step 1", "step 2"]
    name, path = result.out.split()
    assert name == "path"
    assert Path(path).read_text() == "[3, 3, 5] 3"
    folder = Path(path).parents[2]
    assert {p.name for p in folder.iterdir()} >= {"graph.yaml", "events.jsonl", "summary.json", "outputs"}
    assert (folder / "checkpoints/last.txt").read_text() == "[3, 3, 5] 3"
    nodes = summary()["nodes"]
    assert nodes["carve"]["items"] == {"computed": 3, "reused": 0, "left_out": 0}
    assert [nodes[n]["state"] for n in ("words", "carve", "measure", "walk")] == ["light"] + ["computed"] * 3


def test_the_same_again_runs_light_nodes_only(vflow, graph):
    path = chain(graph)
    vflow("run", path)
    again = vflow("run", path)
    assert again.code == 0
    assert again.done == ["words"]
    assert Path(again.out.split()[1]).read_text() == "[3, 3, 5] 3"
    assert summary()["nodes"]["carve"] == {
        "state": "reused",
        "items": {"computed": 0, "reused": 3, "left_out": 0},
        "seconds": 0.0,
    }


def test_one_changed_item_is_computed_alone(vflow, graph):
    vflow("run", chain(graph))
    again = vflow("run", chain(graph, words="type: ToyWords, words: [one, twenty, three]"))
    assert again.done == ["words", "carve twenty", "measure", "step 0", "step 1", "step 2"]


def test_an_equal_identity_stops_the_wave(vflow, graph):
    vflow("run", chain(graph))
    again = vflow("run", chain(graph, words="type: ToyWords, words: [one, TWO, three]"))
    assert again.done == ["words", "measure"]  # the row's name changed, no word did; the measure came out equal
    again = vflow("run", chain(graph, words="type: ToyWords, words: [one, six, three]"))
    assert again.done == ["words", "carve six", "measure"]


def test_going_back_to_old_settings_is_a_hit(vflow, graph):
    vflow("run", chain(graph))
    vflow("run", chain(graph, carve=CARVE + ", times: 2"))
    assert vflow("run", chain(graph)).done == ["words"]


def test_placement_observation_and_places_compute_nothing(vflow, graph):
    tool = {"tool": "type: ToyTake, name: knife"}
    carve = "type: ToyCarve, inputs: {words: words, tool: tool}"
    vflow("run", chain(graph, carve=carve, **tool))
    assert vflow("run", chain(graph, carve=carve + ", workers: 7", **tool)).done == ["words"]
    assert vflow("run", chain(graph, carve=carve, walk=WALK + ", note: hello", **tool)).done == ["words"]
    placed = {**tool, "placed": "type: ToyPlace, inputs: {tool: tool}"}
    moved = carve.replace("tool: tool", "tool: placed")
    assert vflow("run", chain(graph, carve=moved, **placed)).done == ["words"]
    off = {**tool, "placed": "type: ToyPlace, inputs: {tool: tool}, disabled: true"}
    assert vflow("run", chain(graph, carve=moved, **off)).done == ["words"]


def test_an_observed_input_decides_nothing_but_is_there_when_needed(vflow, graph):
    more = {
        "others": "type: ToyWords, words: [x]",
        "watched": "type: ToyCarve, inputs: {words: others}",
    }
    walk = "type: ToyWalk, inputs: {text: measure, watch: watched}, steps: 3"
    first = vflow("run", chain(graph, walk=walk, **more))
    assert "carve x" in first.done
    more["others"] = "type: ToyWords, words: [y]"
    again = vflow("run", chain(graph, walk=walk, **more))
    assert "carve y" not in again.done
    assert not any(word.startswith("step") for word in again.done)
    assert summary()["nodes"]["watched"]["state"] == "not needed"


def test_a_longer_walk_goes_on_from_a_shorter_one(vflow, graph):
    vflow("run", chain(graph))
    assert vflow("run", chain(graph, walk=WALK.replace("3", "5"))).done == ["words", "step 3", "step 4"]
    shaped = vflow("run", chain(graph, walk=WALK.replace("3", "5") + ", shaped: true"))
    assert shaped.done == ["words", *(f"step {n}" for n in range(5))]


def test_an_observed_output_is_read_from_the_store(vflow, graph):
    nodes = {"words": WORDS, "carve": CARVE, "measure": MEASURE, "walk": WALK}
    path = graph(nodes, {"stops": "walk.stops"})
    first, again = vflow("run", path), vflow("run", path)
    assert Path(first.out.split()[1]).read_text() == Path(again.out.split()[1]).read_text() == "[3, 3, 5] 3"


def test_a_model_is_fetched_first_loaded_once_and_released(vflow, graph):
    nodes = {
        "knife": "type: ToyTake, name: knife",
        "sharp": "type: ToyTake, name: knife, sharpness: 4",
        "saw": "type: ToyTake, name: saw",
        "a": "type: ToyWords, words: [a]",
        "b": "type: ToyWords, words: [b]",
        "c": "type: ToyWords, words: [c]",
        "carve_a": "type: ToyCarve, inputs: {words: a, tool: knife}",
        "carve_b": "type: ToyCarve, inputs: {words: b, tool: saw}",
        "carve_c": "type: ToyCarve, inputs: {words: c, tool: sharp}",
    }
    done = vflow("run", graph(nodes)).done
    assert done[:5] == ["words", "words", "words", "fetch knife", "fetch saw"]
    carved = ["carve a", "open knife", "carve c", "close knife", "carve b", "open saw", "close saw"]
    assert done[5:] == carved
    assert not any(word.startswith(("open", "fetch")) for word in vflow("run", graph(nodes)).done)


def test_equal_nodes_share_one_computation(vflow, graph):
    nodes = {
        "words": WORDS,
        "a": CARVE,
        "b": CARVE,
        "c": MEASURE.replace("carve", "a"),
        "d": MEASURE.replace("carve", "b"),
    }
    done = vflow("run", graph(nodes)).done
    assert done == ["words", "carve one", "carve two", "carve three", "measure"]


def test_only_what_outputs_need_is_run(vflow, graph):
    path = chain(graph, aside=CARVE + ", times: 7")
    assert vflow("run", path).done.count("carve one") == 1
    assert summary()["nodes"]["aside"]["state"] == "not needed"
    assert vflow("run", path, "--until", "aside").done == ["words", "carve one", "carve two", "carve three"]


def test_force_computes_again(vflow, graph):
    path = chain(graph)
    vflow("run", path)
    assert vflow("run", path, "--force", "measure").done == ["words", "measure"]


def test_a_lost_blob_is_computed_again_when_it_is_needed(vflow, graph, tmp_path):
    path = chain(graph)
    vflow("run", path)
    blobs = [p for p in (tmp_path / "store/blobs").rglob("*") if p.is_file()]
    for blob in blobs:
        blob.chmod(0o644)
        if blob.read_bytes() == b"two":
            blob.unlink()
    assert vflow("run", path).done == ["words"]  # nobody needs it
    again = vflow("run", chain(graph, measure=MEASURE.replace("carve", "carve"), walk=WALK), "--force", "measure")
    assert again.done == ["words", "carve two", "measure"]


def test_items_added_by_the_node_itself_are_computed_too(vflow, graph):
    path = chain(graph, carve=CARVE + ", empty: true")
    assert "carve " in vflow("run", path).done
    assert vflow("run", path).done == ["words"]


def test_a_failure_names_node_line_cause_and_remedy(vflow, graph):
    path = chain(graph, words="type: ToyWords, words: [one, fail]")
    result = vflow("run", path)
    assert result.code == 1
    assert f"{path}:6:" in result.err
    assert "nodes.carve: the knife broke; take another" in result.err
    assert summary()["status"] == "failed"
    assert [summary()["nodes"][n]["state"] for n in ("carve", "measure")] == ["failed", "skipped"]
    assert vflow("run", path).done == ["words"]  # what was finished before is kept


def test_an_accident_is_told_without_a_traceback_but_keeps_it(vflow, graph):
    result = vflow("run", chain(graph, words="type: ToyWords, words: [crash]"))
    assert result.code == 1
    assert "ZeroDivisionError: by accident" in result.err
    assert "Traceback" not in result.err
    folder = next(Path("runs").iterdir())
    assert "Traceback" in (folder / "traceback.txt").read_text()


def test_every_problem_of_light_nodes_and_preflight_is_told_before_anything_heavy(vflow, graph):
    path = chain(graph, words="type: ToyWords, words: [bad]")
    for command in ("plan", "run"):
        result = vflow(command, path)
        assert result.code == 2
        assert "a bad word; leave it out" in result.err
        assert "really" in result.err
        assert result.done == ["words"]
    result = vflow("run", chain(graph, carve=CARVE + ", times: 99"))
    assert result.code == 2
    assert "too many times; carve at most 9" in result.err
    assert not Path("runs").exists()


def test_what_is_left_out_is_said(vflow, graph):
    path = chain(graph, words="type: ToyWords, words: [one, skipped]")
    assert "skipped" in vflow("plan", path).out
    result = vflow("run", path)
    assert "left out skipped: it starts with skip" in result.err
    assert summary()["nodes"]["words"]["items"]["left_out"] == 1


def test_a_plan_says_what_would_run_and_runs_nothing_heavy(vflow, graph):
    path = chain(graph)
    plan = vflow("plan", path, "--json")
    nodes = json.loads(plan.out)["nodes"]
    assert {name: node["state"] for name, node in nodes.items()} == {
        "words": "light", "carve": "will run", "measure": "decided later", "walk": "decided later",
    }  # fmt: skip
    assert nodes["measure"]["reason"] == "decided after carve"
    assert plan.done == ["words"]
    vflow("run", path)
    nodes = json.loads(vflow("plan", path, "--json").out)["nodes"]
    assert [nodes[n]["state"] for n in ("carve", "measure", "walk")] == ["reused"] * 3


def test_events_are_lines_of_json_and_can_be_read_back(vflow, graph):
    from vflow.engine.events import Metrics, RunFinished, read_event

    result = vflow("run", chain(graph), "--json")
    events = [read_event(line) for line in result.out.splitlines()]
    assert isinstance(events[-1], RunFinished)
    assert [e.values["train/loss"] for e in events if isinstance(e, Metrics)] == [1.0, 0.5, 1 / 3]
    folder = next(Path("runs").iterdir())
    assert (folder / "events.jsonl").read_text() == result.out


def test_an_output_folder_of_the_user_is_never_written_into(vflow, graph, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("dear diary")
    path = chain(graph)
    result = vflow("run", path, "--out", "mine")
    assert result.code == 2
    assert "is not empty and is no run's folder" in result.err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert vflow("run", path, "--out", "new").code == 0
    assert vflow("run", path, "--out", "new").code == 0  # a run's own folder may be gone on with
    assert [p.name for p in (tmp_path / "new/outputs/path").iterdir()] == ["text.txt"]


def test_runs_and_show_tell_of_past_runs(vflow, graph):
    path = chain(graph)
    vflow("run", path)
    vflow("run", path)
    lines = vflow("runs").out.splitlines()
    assert len(lines) == 2
    assert all("done" in line for line in lines)
    shown = vflow("show", "last").out
    assert "reused" in shown
    assert "outputs/path/text.txt" in shown
    first = lines[0].split()[0]
    assert "train/loss" in vflow("show", first).out
    assert vflow("show", "nothing").code == 2


def test_the_resolved_graph_of_a_run_can_be_run(vflow, graph):
    vflow("run", chain(graph))
    resolved = next(Path("runs").glob("*/graph.yaml"))
    assert vflow("run", resolved).done == ["words"]


def test_cache_ls_show_and_verify(vflow, graph, tmp_path):
    path = chain(graph)
    vflow("run", path)
    listed = vflow("cache", "ls").out
    assert "ToyCarve" in listed
    assert "walk" in listed
    key = json.loads(vflow("plan", path, "--json").out)["nodes"]["walk"]["key"]
    assert json.loads(vflow("cache", "show", key[:12]).out)["node_type"] == "ToyWalk"
    assert vflow("cache", "verify").code == 0
    blob = next(p for p in (tmp_path / "store/blobs").rglob("*") if p.is_file())
    blob.chmod(0o644)
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert vflow("cache", "verify").code == 1
    assert vflow("run", path, "--force", "carve").code == 0


def test_force_begins_anew_what_was_not_finished_or_could_be_gone_on_with(vflow, graph):
    path = chain(graph)
    vflow("run", path)
    assert vflow("run", path, "--force", "walk").done == ["words", "step 0", "step 1", "step 2"]
