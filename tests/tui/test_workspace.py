"""What is edited: every action changes the text it should and nothing else, and undo brings back the bytes."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.tui.graphs import SMALL
from vflow.engine.editing import EditError
from vflow.engine.load import load
from vflow.engine.problems import GraphError, VflowError
from vflow.tui.workspace import Workspace, begin, stem_of


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture
def work(path):
    return Workspace(path)


def changed_lines(before, after):
    """Return the lines that went and those that came."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


# --- opening ---------------------------------------------------------------------------------------------------------


def test_a_graph_is_opened_with_its_problems_outline_and_forms(work):
    assert work.problems == []
    assert list(work.outline.nodes)[-1] == "train"
    assert work.form("lora").type == "ApplyLoRA"
    assert work.form("nobody") is None
    assert not work.draft.dirty


def test_a_broken_file_is_opened_too_and_says_where_it_is_broken(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("vflow: 1\nnodes: [\n", encoding="utf-8")
    work = Workspace(path)
    assert work.problems[0].line > 0
    assert not work.outline.nodes


def test_what_is_no_text_is_refused_in_words(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"vflow: 1\nname: gr\xfc\xdf\n")
    with pytest.raises(GraphError, match="UTF-8"):
        Workspace(path)
    with pytest.raises(GraphError):
        Workspace(tmp_path)


def test_words_of_the_command_line_become_the_values_that_they_mean(path):
    work = Workspace(path, ["tiny"], ["rank=16", "clips=3"])
    assert work.sets == {"rank": 16, "clips": 3}
    assert work.loaded.graph.params["rank"] == 16
    again = load(path, work.profiles, work.sets_as_words())
    assert again.graph.params == work.loaded.graph.params


# --- settings --------------------------------------------------------------------------------------------------------


def test_what_is_in_force_is_what_is_changed(work):
    work.set_value("train", ("steps",), 30)
    assert changed_lines(SMALL, work.text) == (["    steps: 20"], ["    steps: 30"])
    before = work.text
    assert work.set_value("lora", ("rank",), 16) == "parameter rank"
    assert changed_lines(before, work.text) == (
        ["  rank: 8          # of the adapter"],
        ["  rank: 16          # of the adapter"],
    )


def test_under_a_profile_its_own_values_are_changed(work):
    work.choose(profiles=["tiny"])
    assert work.set_value("train", ("steps",), 3) == "profile tiny"
    assert work.set_value("lora", ("rank",), 6) == "parameter rank in profile tiny"
    assert "params: {rank: 6}" in work.text
    assert "train: {steps: 3}" in work.text
    assert "    steps: 20" in work.text


def test_what_was_set_for_the_session_is_set_there_again_and_the_file_stays(path):
    work = Workspace(path, (), {"rank": 2})
    assert work.set_value("lora", ("rank",), 5) == "rank, for this session"
    assert work.text == SMALL
    assert work.loaded.graph.nodes["lora"].settings["rank"] == 5


def test_a_setting_is_reset_where_it_is_written(work):
    work.set_value("train", ("seed",), 7)
    assert "seed: 7" in work.text
    work.reset("train", ("seed",))
    assert work.text == SMALL
    work.choose(profiles=["tiny"])
    assert work.reset("train", ("steps",)) == "profile tiny"
    assert work.loaded.graph.nodes["train"].settings["steps"] == 20


def test_a_wrong_value_is_set_and_its_problem_shown(work):
    work.set_value("train", ("steps",), 0)
    assert [problem.where for problem in work.problems] == ["nodes.train.steps"]


# --- nodes and links -------------------------------------------------------------------------------------------------


def test_a_node_is_added_wired_and_put_in_between(work):
    (reader,) = work.followers("GroupOffload", "model", "lora")
    name = work.add("GroupOffload", {"model": "lora"}, "lora", [reader])
    assert name == "group_offload"
    assert work.problems == []
    nodes = work.loaded.graph.nodes
    assert nodes["train"].inputs["transformer"] == "group_offload"
    assert nodes["group_offload"].inputs == {"model": "lora"}
    work.undo()
    assert work.text == SMALL


def test_only_what_hands_on_its_input_can_stand_in_between(work):
    assert work.followers("EncodeVideo", "vae", "vae") == []
    assert [str(one) for one in work.followers("GroupOffload", "model", "text_encoder")] == ["captions.text_encoder"]


def test_a_node_added_before_a_port_takes_over_what_the_port_read(work):
    name = work.add_before("GroupOffload", "train", "transformer")
    assert work.loaded.graph.nodes["train"].inputs["transformer"] == name
    assert work.loaded.graph.nodes[name].inputs == {"model": "lora"}
    assert work.problems == []


def test_a_port_reads_another_link_and_one_of_a_list_keeps_what_it_has(work):
    work.add("GroupOffload", {"model": "lora"})
    work.connect("train", "transformer", "group_offload")
    assert work.loaded.graph.nodes["train"].inputs["transformer"] == "group_offload"
    copy = work.duplicate("latents")
    work.connect("train", "latents", copy)
    assert work.loaded.graph.nodes["train"].inputs["latents"] == ["latents", copy]
    work.disconnect("train", "captions")
    work.connect("train", "captions", "captions")
    assert work.loaded.graph.nodes["train"].inputs["captions"] == "captions"


def test_a_link_is_taken_away(work):
    work.disconnect("train", "captions")
    assert "captions" not in work.loaded.graph.nodes["train"].inputs
    assert any("captions" in problem.message for problem in work.problems)


def test_a_renamed_node_takes_its_references_along(work):
    work.rename("train", "teach")
    assert work.problems == []
    assert work.loaded.graph.outputs == {"lora": "teach.adapter"}
    assert "teach: {steps: 2}" in work.text


def test_a_name_that_is_taken_or_none_is_told(work):
    assert work.name_problem("node", "train", "lora") == "this name is taken"
    assert "letters" in work.name_problem("node", "train", "a b")
    assert work.name_problem("node", "train", "train") == ""
    assert work.name_problem("profile", "", "24gb") == ""
    assert work.name_problem("param", "", "24gb") != ""


def test_a_copy_has_the_links_and_comments_of_its_node(work):
    name = work.duplicate("clips")
    assert work.loaded.graph.nodes[name].inputs == {"vae": "vae"}
    assert work.text.count("# pixels") == 2


def test_a_node_is_switched_off_and_on_again(work):
    assert work.switch("lora") is True
    assert "disabled: true" in work.text
    assert work.switch("lora") is False
    assert not work.loaded.graph.nodes["lora"].disabled


def test_deleting_says_what_would_hang_and_can_leave_drop_or_bridge_it(work):
    deletion = work.deletion("lora")
    assert deletion.hanging == ("train.inputs.transformer",)
    assert deletion.bridge == "transformer"
    work.delete("lora", bridge=True)
    assert work.loaded.graph.nodes["train"].inputs["transformer"] == "transformer"
    work.undo()
    work.delete("lora", unlink=True)
    assert "transformer" not in work.loaded.graph.nodes["train"].inputs
    work.undo()
    work.delete("lora")
    assert any("there is no node 'lora'" in problem.message for problem in work.problems)
    work.undo()
    assert work.text == SMALL


def test_the_text_of_a_node_is_edited_as_it_is_written(work):
    text = work.node_text("lora")
    assert "# not offloaded yet" in text
    work.set_node_text("lora", text.replace("${rank}", "3"))
    assert work.loaded.graph.nodes["lora"].settings["rank"] == 3
    with pytest.raises(EditError):
        work.set_node_text("lora", "- a list\n")


# --- parameters, profiles, outputs -----------------------------------------------------------------------------------


def test_parameters_profiles_and_outputs_are_added_renamed_and_removed(work):
    work.set_param_in("seed", 3, "")
    work.add_profile("large")
    work.set_param_in("rank", 64, "large")
    work.choose(profiles=["large"])
    assert work.loaded.graph.params["rank"] == 64
    work.rename_part("profile", "large", "big")
    work.rename_part("param", "rank", "width")
    assert (work.profiles, work.loaded.graph.params["width"]) == (("big",), 64)
    assert "rank: ${width}" in work.text
    work.set_output("clips", "latents")
    work.rename_part("output", "lora", "adapter")
    assert work.loaded.graph.outputs == {"adapter": "train.adapter", "clips": "latents"}
    for kind, name in (("param", "seed"), ("profile", "big"), ("output", "clips")):
        work.remove_part(kind, name)
    assert work.profiles == ()
    assert work.problems == []
    while work.undo():
        pass
    assert work.text == SMALL


def test_a_parameter_says_what_it_is(work):
    work.declare_param("rank", {"help": "Rank of the adapter.", "min": 1, "max": 64})
    parameter = work.loaded.graph.parameters["rank"]
    assert (parameter.help, parameter.minimum, parameter.maximum, parameter.value) == ("Rank of the adapter.", 1, 64, 8)


def test_a_setting_is_overridden_in_a_profile(work):
    work.override("clips", ("frames",), 9, "tiny")
    assert work.loaded.graph.nodes["clips"].settings["frames"] == 17
    work.choose(profiles=["tiny"])
    assert work.loaded.graph.nodes["clips"].settings["frames"] == 9


def test_an_edit_that_is_not_possible_changes_nothing(work):
    with pytest.raises(VflowError):
        work.rename_part("profile", "nobody", "somebody")
    with pytest.raises(VflowError):
        work.delete("nobody")
    assert (work.text, work.draft.dirty, work.profiles) == (SMALL, False, ())


# --- undo ------------------------------------------------------------------------------------------------------------


def test_undo_and_redo_name_what_they_do_and_end(work):
    work.set_value("train", ("steps",), 30)
    work.rename("train", "teach")
    last = work.text
    assert (work.undo(), work.undo(), work.undo()) == ("rename train to teach", "train.steps = 30", None)
    assert work.text == SMALL
    assert (work.redo(), work.redo(), work.redo()) == ("train.steps = 30", "rename train to teach", None)
    assert work.text == last


def test_the_choice_follows_a_renamed_profile_back_and_forth(work):
    work.choose(profiles=["tiny"], sets={"rank": 2})
    work.rename_part("profile", "tiny", "small")
    work.rename_part("param", "rank", "width")
    assert (work.profiles, work.sets) == (("small",), {"width": 2})
    work.undo()
    assert (work.profiles, work.sets) == (("small",), {"rank": 2})
    work.undo()
    assert (work.profiles, work.sets, work.problems) == (("tiny",), {"rank": 2}, [])
    work.redo()
    assert (work.profiles, work.problems) == (("small",), [])


def test_every_change_is_known_by_a_new_version(work):
    versions = [work.version]
    for change in (lambda: work.switch("lora"), work.undo, work.redo, lambda: work.choose(profiles=["tiny"])):
        change()
        versions.append(work.version)
    assert versions == sorted(set(versions))


EDITS = ["set", "add", "before", "connect", "cut", "rename", "copy", "switch", "delete", "param", "profile", "output"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_as_many_undos_as_edits_give_the_original_bytes(data, path):
    """Whatever is done is done to what is there, and may leave the graph broken: then it shows problems."""
    work = Workspace(path)
    texts = [work.text]
    for kind in data.draw(st.lists(st.sampled_from(EDITS), min_size=1, max_size=6)):
        nodes = list(work.outline.nodes)
        assume(nodes)
        node = data.draw(st.sampled_from(nodes))
        with suppress(VflowError):
            _edit(work, kind, node, data)
        if work.text != texts[-1]:
            texts.append(work.text)
            again = load(path, work.profiles, text=work.text)
            assert again.problems == work.problems
    for text in reversed(texts[:-1]):
        assert work.undo() is not None
        assert work.text == text
    assert work.undo() is None
    assert work.text == SMALL
    for text in texts[1:]:
        assert work.redo() is not None
        assert work.text == text


def _edit(work, kind, node, data):
    view = work.outline.nodes[node]
    ports = [port.name for port in view.inputs]
    other = data.draw(st.sampled_from(list(work.outline.nodes)))
    if kind == "set":
        fields = [field.path for field in work.form(node).fields if field.kind not in ("group", "union")]
        value = data.draw(st.sampled_from([0, 1.5, True, "a: b # c", "${rank}", [1, 2], {"a": 1}, None]))
        if fields:
            work.set_value(node, data.draw(st.sampled_from(fields)), value)
    elif kind == "add":
        work.add(data.draw(st.sampled_from(["GroupOffload", "Validate", "Prompts"])), {}, node)
    elif kind == "before" and ports:
        work.add_before("GroupOffload", node, data.draw(st.sampled_from(ports)))
    elif kind == "connect" and ports:
        work.connect(node, data.draw(st.sampled_from(ports)), other)
    elif kind == "cut" and ports:
        work.disconnect(node, data.draw(st.sampled_from(ports)))
    elif kind == "rename":
        work.rename(node, data.draw(st.sampled_from(["a", "n-1", other])))
    elif kind == "copy":
        work.duplicate(node)
    elif kind == "switch":
        work.switch(node)
    elif kind == "delete":
        work.delete(node, **data.draw(st.sampled_from([{}, {"unlink": True}, {"bridge": True}])))
    elif kind == "param":
        work.set_param_in(data.draw(st.sampled_from(["rank", "new"])), data.draw(st.sampled_from([1, "x", None])), "")
    elif kind == "profile":
        work.override(node, ("steps",), 3, data.draw(st.sampled_from(["tiny", "nobody"])))
    elif kind == "output":
        work.set_output(data.draw(st.sampled_from(["lora", "more"])), node)


# --- beginning -------------------------------------------------------------------------------------------------------


def test_a_new_graph_begins_empty_or_with_one_that_ships_and_both_are_fine(tmp_path):
    work = Workspace(tmp_path / "new.yaml")
    assert work.text == ""
    work.replace("begin", begin("new"))
    assert work.problems == []
    assert work.loaded.graph.name == "new"
    name = work.add("LoadVAE", {}, None)
    assert list(work.outline.nodes) == [name] == ["load_vae"]
    work.replace("begin", begin("new", "ltx2_lora"))
    assert work.problems == []
    work.draft.save()
    assert load(tmp_path / "new.yaml").graph.name == "ltx2_lora"


@pytest.mark.parametrize(
    ("kind", "stem"),
    [
        ("ApplyLoRA", "apply_lora"),
        ("LoadVAE", "load_vae"),
        ("TREAD", "tread"),
        ("TrainLoop", "train_loop"),
        ("X2Y", "x2_y"),
    ],
)
def test_a_type_gives_a_name_in_the_style_of_the_graphs(kind, stem):
    assert stem_of(kind) == stem
