"""What a graph does to the world is told before it is done, and nothing is sent or told that the user did not allow."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.engine import effects, secrets

POST = "type: ToyPost, inputs: {text: measure}"


def posting(graph, to, more=""):
    nodes = {
        "words": "type: ToyWords, words: [one, two]",
        "carve": "type: ToyCarve, inputs: {words: words}",
        "measure": "type: ToyMeasure, inputs: {texts: carve}",
        "post": f'{POST}, to: "{to}"{more}',
    }
    return graph(nodes, {"text": "post"})


def test_plan_lists_what_is_read_downloaded_written_and_sent(vflow, graph, tmp_path):
    (tmp_path / "texts").mkdir()
    for name in ("a", "b"):
        (tmp_path / "texts" / f"{name}.txt").write_text(name)
    nodes = {
        "tool": "type: ToyTake, name: knife",
        "pages": "type: ToyFolder, source: texts",
        "read": "type: ToyRead, inputs: {pages: pages, tool: tool}",
        "measure": "type: ToyMeasure, inputs: {texts: read}",
        "post": f'{POST}, to: "https://user:secret@hooks.example/room/key"',
    }
    path = graph(nodes, {"text": "post"})
    planned = vflow("plan", path)
    assert planned.code == 0
    shown = planned.out.split("effects:")[1]
    assert f"2 files below {tmp_path / 'texts'}" in shown
    assert "tool knife" in shown
    assert str(tmp_path / "store") in shown
    assert "runs/<time>-g/" in shown
    assert "https://hooks.example (not allowed: --allow-send)" in shown
    assert "secret" not in shown
    assert "key" not in shown
    listed = json.loads(vflow("plan", path, "--json").out)["effects"]
    assert {effect["kind"] for effect in listed} == {"reads", "builds", "writes", "sends"}
    assert "nothing" in vflow("plan", graph({"words": "type: ToyWords, words: [a]"}, name="quiet")).out


def test_nothing_is_sent_unless_the_user_allows_it(vflow, graph):
    path = posting(graph, "https://hooks.example/room")
    refused = vflow("run", path)
    assert refused.code == 2
    assert refused.done == ["words"]
    assert "g.yaml:" in refused.err
    assert "--allow-send hooks.example" in refused.err
    assert vflow("run", path, "--allow-send", "https://elsewhere.example").code == 2
    allowed = vflow("run", path, "--allow-send", "hooks.example")
    assert allowed.code == 0
    assert allowed.done[-1] == "sent to https://hooks.example/room"


def test_a_node_that_does_not_say_that_it_sends_is_stopped_when_it_does(vflow, graph):
    path = posting(graph, "hub:me/adapter", ", quietly: true")
    refused = vflow("run", path)
    assert refused.code == 1
    assert "sending to hub:me/adapter was not allowed" in refused.err
    assert not any(word.startswith("sent") for word in refused.done)
    assert vflow("run", path, "--allow-send", "hub").code == 0


def test_the_configuration_may_allow_it_for_good(vflow, graph):
    assert vflow("config", "set", "send", "hub").code == 0 if _has_config() else _write_config("send: [hub]\n")
    assert vflow("run", posting(graph, "hub:me/adapter")).code == 0


def test_a_graph_cannot_allow_itself_to_send(vflow, graph):
    for more in (", allow_send: [hub]", ", send: [hub]"):
        assert vflow("run", posting(graph, "hub:me/adapter", more)).code == 2
    path = posting(graph, "hub:me/adapter")
    path.write_text("send: [hub]\n" + path.read_text())
    assert vflow("run", path).code == 2


@pytest.mark.parametrize(
    ("given", "destination", "allowed"),
    [
        ("hub", "hub:me/adapter", True),
        ("hub:me", "hub:me/adapter", True),
        ("hub:me", "hub:meow/adapter", False),
        ("hub", "hubcap:me", False),
        ("hooks.example", "https://hooks.example/x", True),
        ("webhook:hooks.example", "https://hooks.example/x", True),
        ("hooks.example", "https://hooks.example.evil.com/x", False),
        ("hooks.example", "https://hooks.example@evil.com/x", False),
        ("hooks.example", "https://evil.com/hooks.example", False),
        ("https://hooks.example/a", "https://hooks.example/a/b", True),
        ("https://hooks.example/a", "https://hooks.example/ab", False),
        ("https://hooks.example/a", "https://hooks.example/a/../b", False),
        ("https://hooks.example", "http://hooks.example", False),
        ("", "https://hooks.example", False),
        ("", "hub:me", False),
    ],
)
def test_what_is_allowed_covers_what_is_part_of_it_and_nothing_else(given, destination, allowed):
    assert effects.is_allowed(destination, [given]) is allowed


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_texts_can_be_compared(given, destination):
    assert effects.is_allowed(destination, [given]) in (True, False)
    assert isinstance(effects.shown(destination), str)


# --- secrets ---------------------------------------------------------------------------------------------------------

TOKEN = "hf_" + "Qx7" * 12


def every_byte(*folders):
    return b"".join(p.read_bytes() + str(p).encode() for f in folders for p in Path(f).rglob("*") if p.is_file())


def test_no_token_and_no_home_folder_lands_in_what_a_run_writes(vflow, graph, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HOME", "/home/gertrude")
    monkeypatch.setenv("USER", "gertrude")
    path = graph({"words": "type: ToyWords, words: [one]", "carve": "type: ToyCarve, inputs: {words: words}"})
    assert vflow("run", path, "--out", "out").code == 0
    written = every_byte("out", "store")
    assert TOKEN.encode() not in written
    assert b"gertrude" not in written


def test_an_error_that_quotes_a_token_is_kept_without_it(vflow, graph, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HOME", "/home/gertrude")
    path = graph({"leaky": "type: ToyLeaky"})
    assert vflow("run", path, "--out", "out").code == 1
    written = every_byte("out")
    assert TOKEN.encode() not in written
    assert b"/home/gertrude" not in written
    assert b"***" in written
    assert b"~/file" in written


def test_a_token_in_a_graph_is_told_and_does_not_land_in_the_runs_folder(vflow, graph, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "open-sesame-now")
    path = graph({"words": "type: ToyWords, words: [open-sesame-now]"})
    result = vflow("run", path, "--out", "out")
    assert "holds the secret in $MY_API_KEY" in result.err
    assert b"open-sesame-now" not in every_byte("out")


def test_home_is_told_apart_from_folders_that_begin_like_it(monkeypatch):
    monkeypatch.setenv("HOME", "/root")
    assert secrets.leak("see /root/clips")
    assert secrets.leak("see /root")
    assert not secrets.leak("see /rooted/clips and /root-beer")
    assert secrets.redactor()("/root/a, /rooted") == "~/a, /rooted"


def test_short_values_and_paths_are_no_secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("A_TOKEN", "short")
    monkeypatch.setenv("TOKEN_FILE", str(tmp_path))
    assert not {"A_TOKEN", "TOKEN_FILE"} & secrets.secrets().keys()


def test_a_graph_cannot_name_a_file_to_import(vflow, graph, tmp_path):
    (tmp_path / "evil.py").write_text("open('ran', 'w')")
    for kind in ("evil.py", "./evil.py", "evil:Node", "evil.Node", '"!!python/name:os.system"'):
        assert vflow("run", graph({"x": f"type: {kind}"})).code == 2
    path = graph({"words": "type: ToyWords, words: [a]"}, more="import: evil")
    assert vflow("run", path).code == 2
    path = graph({"words": "type: ToyWords, words: !!python/object/apply:os.system [touch ran]"})
    assert vflow("run", path).code == 2
    assert not (tmp_path / "ran").exists()


def test_an_output_cannot_leave_the_runs_folder(vflow, graph, tmp_path):
    nodes = {"words": "type: ToyWords, words: [one]", "carve": "type: ToyCarve, inputs: {words: words}"}
    for name in ('"../../out"', "/tmp/out", '"a/../../b"', '".."'):
        assert vflow("run", graph(nodes, {name: "carve"}), "--out", "run").code == 2
    nodes["words"] = "type: ToyWords, words: [../../../up, two]"  # rows become names of folders
    result = vflow("run", graph(nodes, {"texts": "carve"}), "--out", "run")
    assert result.code == 1
    assert "leaves the run's folder" in result.err
    assert not list(tmp_path.parent.glob("up*"))
    assert os.listdir(tmp_path).count("up") == 0


def _has_config():
    from vflow.engine.cli import COMMANDS

    return "config" in COMMANDS


def _write_config(text):
    from vflow.engine.config import config_file

    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(text)
    return True
