"""Edits one by one, as a reader of the file sees them: what changes, and how it is written."""

import difflib

import pytest

from vflow.engine.document import parse
from vflow.engine.editing import EditError, edits
from vflow.engine.load import load, shipped_graphs

GRAPH = """\
# a graph
vflow: 1
name: g

params:
  rank: 16   # of the adapter
  steps:
    default: 2000
    help: In all.

profiles:
  tiny:
    about: Small.
    params: {rank: 4}
    nodes:
      # drawn ones
      clips: {source: "sample://shapes"}
      train: {lr: 4.0e-3, steps: 10}
      strip:
        type: Strip
        inputs: {clips: train.clips}
    outputs:
      strip: strip

nodes:
  vae:
    type: LoadVAE
    model: ${model}

  # where the clips lie
  clips:
    type: BucketVideos
    inputs: {vae: vae}   # for its factors
    source: datasets
    # frames: 49

  train:
    type: TrainLoop
    inputs:
      # what is learned
      latents: clips.clips
      captions: [clips.captions, other]  # both
    rank: ${rank}
    optimizer: {name: adamw, lr: 1.0e-4}
    prompts:
      - a cat   # the first
      - a dog
    note: |
      several lines
      of text
    disabled: true  # for now

outputs:
  lora: train.adapter
  videos: train.clips
# the end
"""

CLIPS = """\
  clips:
    type: BucketVideos
    inputs: {vae: vae}   # for its factors
    source: datasets
    # frames: 49
"""


def changed(before, after):
    """The lines that went, with `-`, and those that came, with `+`."""
    found = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in found if line[0] in "-+"]


def plain(text):
    return parse(text).root.plain()


def test_a_new_node_stands_behind_the_one_that_it_was_asked_for_in_the_style_of_the_file():
    after = edits.add_node(GRAPH, "new", "GroupOffload", {"model": "vae"}, {"level": "leaf", "size": "16:9"}, "clips")
    assert changed(GRAPH, after) == [
        "+   new:",
        "+     type: GroupOffload",
        "+     inputs: {model: vae}",
        "+     level: leaf",
        "+     size: 16:9",
        "+ ",
    ]
    assert "    # frames: 49\n\n  new:\n" in after


def test_a_new_node_stands_last_by_default_and_before_what_follows_the_nodes():
    assert "# for now\n\n  new:\n    type: X\n\noutputs:" in edits.add_node(GRAPH, "new", "X")


def test_in_a_file_of_nodes_in_brackets_a_new_one_stands_in_brackets():
    text = "vflow: 1\nnodes:\n  a: {type: X, size: 1}\n  b: {type: Y, inputs: {x: a}}\n"
    assert edits.add_node(text, "c", "Z", {"x": "b", "y": ["a", "b.out"]}) == text + (
        "  c: {type: Z, inputs: {x: b, y: [a, b.out]}}\n"
    )


def test_a_first_node_makes_its_section():
    assert edits.add_node("", "a", "X") == "vflow: 1\n\nnodes:\n  a:\n    type: X\n"
    assert edits.add_node("vflow: 1\n", "a", "X") == "vflow: 1\n\nnodes:\n  a:\n    type: X\n"
    assert edits.add_node("# only this\n", "a", "X").startswith("# only this\nvflow: 1\n")
    for empty in ("nodes:", "nodes: {}", "nodes: ~", "nodes: {  }", "nodes:\n  {}"):
        after = edits.add_node(f"vflow: 1\n{empty}  # none\noutputs: {{}}\n", "a", "X")
        assert "# none\n" in after
        assert plain(after) == {"vflow": 1, "nodes": {"a": {"type": "X"}}, "outputs": {}}
    assert edits.add_node("vflow: 1\nnodes: {}  # none", "a", "X") == "vflow: 1\nnodes:  # none\n  a:\n    type: X"


def test_a_deleted_node_takes_its_comment_and_what_profiles_say_of_it_along():
    after = edits.delete_node(GRAPH, "clips")
    override = '      # drawn ones\n      clips: {source: "sample://shapes"}\n'
    assert after == GRAPH.replace(override, "").replace(f"  # where the clips lie\n{CLIPS}\n", "")


def test_links_to_a_deleted_node_hang_unless_they_are_to_go():
    hanging = ["train.inputs.latents", "train.inputs.captions"]
    assert edits.hanging(GRAPH, "clips") == hanging
    assert edits.hanging(GRAPH, "train") == ["profiles.tiny.nodes.strip.inputs.clips", "outputs.lora", "outputs.videos"]
    assert edits.hanging(edits.delete_node(GRAPH, "clips"), "clips") == hanging
    after = edits.delete_node(GRAPH, "clips", unlink=True)
    assert edits.hanging(after, "clips") == []
    assert plain(after)["nodes"]["train"]["inputs"] == {"captions": ["other"]}
    assert "      captions: [other]  # both\n" in after
    assert plain(edits.delete_node(GRAPH, "train", unlink=True))["outputs"] == {}


def test_a_node_that_links_to_itself_does_not_hang_by_it():
    assert edits.hanging("nodes:\n  a: {type: X, inputs: {x: a}}\n  b: {type: X, inputs: {x: [a.y, a.z]}}\n", "a") == [
        "b.inputs.x"
    ]


def test_the_last_node_leaves_an_empty_section():
    text = "vflow: 1\nnodes:  # all\n  # about a\n  a:\n    type: X\n\n# end\n"
    assert edits.delete_node(text, "a") == "vflow: 1\nnodes: {}  # all\n\n# end\n"


def test_a_renamed_node_takes_its_references_along_and_keeps_its_comments():
    after = edits.rename_node(GRAPH, "clips", "dataset")
    assert changed(GRAPH, after) == [
        '-       clips: {source: "sample://shapes"}',
        '+       dataset: {source: "sample://shapes"}',
        "-   clips:",
        "+   dataset:",
        "-       latents: clips.clips",
        "+       latents: dataset.clips",
        "-       captions: [clips.captions, other]  # both",
        "+       captions: [dataset.captions, other]  # both",
    ]
    assert edits.rename_node(after, "dataset", "clips") == GRAPH
    assert "lora: t.adapter\n  videos: t.clips\n" in edits.rename_node(GRAPH, "train", "t")


def test_a_name_that_is_no_text_for_yaml_is_quoted():
    after = edits.rename_node(GRAPH, "vae", "true")
    assert '\n  "true":\n' in after
    assert '    inputs: {vae: "true"}   # for its factors\n' in after
    assert edits.rename_node(after, "true", "vae") == GRAPH.replace("  vae:\n", '  "vae":\n').replace(
        "{vae: vae}", '{vae: "vae"}'
    )


@pytest.mark.parametrize("name", ["", "1a", "a.b", "a b", "x" * 65, "clips", "strip"])
def test_what_can_be_no_name_or_is_taken_is_refused(name):
    for edit in (
        lambda: edits.add_node(GRAPH, name, "X"),
        lambda: edits.rename_node(GRAPH, "vae", name),
        lambda: edits.duplicate_node(GRAPH, "vae", name),
    ):
        with pytest.raises(EditError, match=r"cannot be a name|already"):
            edit()


def test_a_copy_stands_behind_its_original_with_the_comments_in_it():
    after = edits.duplicate_node(GRAPH, "clips", "more")
    override = '      clips: {source: "sample://shapes"}\n'
    expected = GRAPH.replace(override, override + override.replace("clips:", "more:"))
    assert after == expected.replace(CLIPS, CLIPS + "\n" + CLIPS.replace("  clips:", "  more:"))


def test_a_fresh_name_is_not_taken_and_no_link_waits_for_it():
    assert edits.fresh_name(GRAPH, "sampler") == "sampler"
    assert edits.fresh_name(GRAPH, "vae") == "vae_2"
    assert edits.fresh_name(GRAPH, "other") == "other_2"
    assert edits.fresh_name(GRAPH, "strip") == "strip_2"
    assert edits.fresh_name(edits.duplicate_node(GRAPH, "vae", "vae_2"), "vae_2") == "vae_3"
    assert edits.fresh_name(GRAPH, "GroupOffload") == "group_offload"
    assert edits.fresh_name(GRAPH, "2 ä!") == "_2___"
    assert edits.fresh_name("", "") == "node"


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_link_is_put_in_place_of_another_or_added_to_a_list():
    assert changed(GRAPH, edits.connect(GRAPH, "train", "latents", "vae")) == [
        "-       latents: clips.clips",
        "+       latents: vae",
    ]
    assert changed(GRAPH, edits.connect(GRAPH, "train", "captions", "vae.x", many=True)) == [
        "-       captions: [clips.captions, other]  # both",
        "+       captions: [clips.captions, other, vae.x]  # both",
    ]
    assert changed(GRAPH, edits.connect(GRAPH, "train", "latents", "vae", many=True)) == [
        "-       latents: clips.clips",
        "+       latents: [clips.clips, vae]",
    ]
    assert changed(GRAPH, edits.connect(GRAPH, "vae", "model", "clips", many=True)) == [
        "+     inputs: {model: [clips]}"
    ]
    assert edits.connect(GRAPH, "train", "captions", "other", many=True) == GRAPH


def test_inputs_in_brackets_that_become_too_long_are_put_in_lines():
    text = "nodes:\n  a:\n    type: X\n    inputs: {one: 'a.first', two: b.second}  # in all\n    size: 1\n"
    for port in ("three", "four", "five", "six", "seven"):
        text = edits.connect(text, "a", port, "another_node.output")
    assert text == (
        "nodes:\n  a:\n    type: X\n    inputs:  # in all\n      one: 'a.first'\n      two: b.second\n"
        "      three: another_node.output\n      four: another_node.output\n      five: another_node.output\n"
        "      six: another_node.output\n      seven: another_node.output\n    size: 1\n"
    )


def test_a_port_is_disconnected_wholly_or_by_one_link():
    assert changed(GRAPH, edits.disconnect(GRAPH, "train", "captions", "other")) == [
        "-       captions: [clips.captions, other]  # both",
        "+       captions: [clips.captions]  # both",
    ]
    assert changed(GRAPH, edits.disconnect(GRAPH, "train", "captions")) == [
        "-       captions: [clips.captions, other]  # both"
    ]
    assert changed(GRAPH, edits.disconnect(GRAPH, "clips", "vae", "vae")) == [
        "-     inputs: {vae: vae}   # for its factors"
    ]
    for port, link in (("gone", None), ("captions", "vae"), ("latents", "clips")):
        with pytest.raises(EditError, match="linked"):
            edits.disconnect(GRAPH, "train", port, link)


@pytest.mark.parametrize("link", ["", "a b", "a.b.c", "${x}", ".a"])
def test_what_can_be_no_link_is_refused(link):
    with pytest.raises(EditError, match="is no link"):
        edits.connect(GRAPH, "train", "latents", link)
    with pytest.raises(EditError, match="is no link"):
        edits.set_output(GRAPH, "x", link)


def test_outputs_are_set_renamed_and_removed():
    assert changed(GRAPH, edits.set_output(GRAPH, "vae", "vae")) == ["+   vae: vae"]
    assert changed(GRAPH, edits.set_output(GRAPH, "lora", "vae")) == ["-   lora: train.adapter", "+   lora: vae"]
    assert changed(GRAPH, edits.rename_output(GRAPH, "lora", "adapter")) == [
        "-   lora: train.adapter",
        "+   adapter: train.adapter",
    ]
    assert changed(GRAPH, edits.remove_output(GRAPH, "strip")) == ["-     outputs:", "-       strip: strip"]
    assert edits.set_output("vflow: 1\n", "a", "b") == "vflow: 1\n\noutputs:\n  a: b\n"
    with pytest.raises(EditError, match="did you mean 'lora'"):
        edits.remove_output(GRAPH, "lor")
    with pytest.raises(EditError, match="already"):
        edits.rename_output(GRAPH, "lora", "videos")


# --- settings --------------------------------------------------------------------------------------------------------


def test_a_setting_is_changed_in_its_place_added_and_reset():
    after = edits.set_setting(GRAPH, "train", ("optimizer", "lr"), 1e-5)
    assert changed(GRAPH, after) == [
        "-     optimizer: {name: adamw, lr: 1.0e-4}",
        "+     optimizer: {name: adamw, lr: 1.0e-5}",
    ]
    assert changed(GRAPH, edits.set_setting(GRAPH, "train", ("seed",), 7)) == ["+     seed: 7"]
    assert "# for now" in edits.set_setting(GRAPH, "train", ("seed",), 7).split("    seed: 7\n")[1]
    assert changed(GRAPH, edits.set_setting(GRAPH, "vae", ("a", "b", "c"), "x")) == ["+     a: {b: {c: x}}"]
    assert changed(GRAPH, edits.reset_setting(GRAPH, "train", ("optimizer", "lr"))) == [
        "-     optimizer: {name: adamw, lr: 1.0e-4}",
        "+     optimizer: {name: adamw}",
    ]
    both = edits.reset_setting(edits.reset_setting(GRAPH, "train", ("optimizer", "lr")), "train", ("optimizer", "name"))
    assert changed(GRAPH, both) == ["-     optimizer: {name: adamw, lr: 1.0e-4}"]


def test_of_a_list_only_the_entries_that_differ_are_written_anew():
    after = edits.set_setting(GRAPH, "train", ("prompts",), ["a cat", "two dogs: asleep", "a cow"])
    assert changed(GRAPH, after) == ['+       - "two dogs: asleep"', "-       - a dog", "+       - a cow"]
    assert changed(GRAPH, edits.set_setting(GRAPH, "train", ("prompts",), ["a dog"])) == [
        "-       - a cat   # the first"
    ]
    assert changed(GRAPH, edits.set_setting(GRAPH, "train", ("prompts",), [])) == [
        "-     prompts:",
        "+     prompts: []",
        "-       - a cat   # the first",
        "-       - a dog",
    ]


def test_a_mapping_that_is_set_as_a_whole_keeps_what_stays():
    after = edits.set_setting(GRAPH, "train", ("optimizer",), {"betas": [0.9, 0.95], "lr": 1e-4, "name": "lion"})
    assert changed(GRAPH, after) == [
        "-     optimizer: {name: adamw, lr: 1.0e-4}",
        "+     optimizer: {name: lion, lr: 1.0e-4, betas: [0.9, 0.95]}",
    ]


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("plain words", ["note: plain words"]),
        ("one\ntwo\n", ["note: |", "  one", "  two"]),
        ("one\n\ntwo", ["note: |-", "  one", "", "  two"]),
        ("  in\nout", ['note: "  in\\nout"']),
        ("ends\n\n", ['note: "ends\\n\\n"']),
        ("16:9", ["note: 16:9"]),
        ("a: b", ['note: "a: b"']),
        ("yes", ["note: yes"]),
        ("1e3", ['note: "1e3"']),
        ("null", ['note: "null"']),
        ("", ['note: ""']),
        (" x", ['note: " x"']),
        ('say "x"', ['note: say "x"']),
        ('"x" he said', ["note: '\"x\" he said'"]),
        ("a #b", ['note: "a #b"']),
        ("${rank}", ["note: ${rank}"]),
        ("tab\there", ['note: "tab\\there"']),
        ("\u2028\x85\ufeff", ['note: "\\u2028\\u0085\\ufeff"']),
        ("ünï ☃ 🎬", ["note: ünï ☃ 🎬"]),
        (None, ["note: null"]),
        (True, ["note: true"]),
        (10**30, [f"note: {10**30}"]),
        (1e22, ["note: 1.0e+22"]),
        (2.5e-7, ["note: 2.5e-7"]),
        (float("-inf"), ["note: -.inf"]),
        ([1, "a, b", {"x": None}], ['note: [1, "a, b", {x: null}]']),
        ({"a": "tiny://x", "true": "?"}, ['note: {a: "tiny://x", "true": "?"}']),
        (["long words " * 8, "more"], ["note:", '  - "' + "long words " * 8 + '"', "  - more"]),
        ([{"a": "one\ntwo", "b": 1}, []], ["note:", "  - a: |-", "      one", "      two", "    b: 1", "  - []"]),
    ],
)
def test_new_values_are_written_plain_where_they_can_be_and_in_quotes_or_lines_where_not(value, lines):
    after = edits.set_setting(GRAPH, "train", ("note",), value)
    assert plain(after)["nodes"]["train"]["note"] == value
    assert "\n".join("    " + line if line else "" for line in lines) + "\n    disabled: true" in after
    assert type(plain(after)["nodes"]["train"]["note"]) is type(value)


def test_a_profile_gets_a_value_of_its_own_and_loses_it_again():
    after = edits.set_setting(GRAPH, "vae", ("dtype",), "float32", profile="tiny")
    assert changed(GRAPH, after) == ["+       vae: {dtype: float32}"]
    assert edits.reset_setting(after, "vae", ("dtype",), profile="tiny") == GRAPH
    assert changed(GRAPH, edits.set_setting(GRAPH, "train", ("lr",), 0.5, profile="tiny")) == [
        "-       train: {lr: 4.0e-3, steps: 10}",
        "+       train: {lr: 0.5, steps: 10}",
    ]
    with pytest.raises(EditError, match="nothing to reset"):
        edits.reset_setting(GRAPH, "vae", ("dtype",), profile="tiny")
    with pytest.raises(EditError, match="did you mean 'tiny'"):
        edits.set_setting(GRAPH, "vae", ("dtype",), "float32", profile="tin")


def test_a_node_that_a_profile_adds_is_edited_there():
    assert changed(GRAPH, edits.set_setting(GRAPH, "strip", ("columns",), 3)) == ["+         columns: 3"]
    assert changed(GRAPH, edits.connect(GRAPH, "strip", "before", "vae")) == [
        "-         inputs: {clips: train.clips}",
        "+         inputs: {clips: train.clips, before: vae}",
    ]
    assert "profiles:\n  tiny:\n" in edits.delete_node(GRAPH, "strip")
    assert plain(edits.delete_node(GRAPH, "strip"))["profiles"]["tiny"]["outputs"] == {"strip": "strip"}


def test_what_leads_through_something_else_than_a_mapping_is_refused():
    with pytest.raises(EditError, match=r"nodes\.train\.rank is '\$\{rank\}', not a mapping"):
        edits.set_setting(GRAPH, "train", ("rank", "x"), 1)
    for name in ("type", "inputs", "disabled"):
        with pytest.raises(EditError, match="is no setting"):
            edits.set_setting(GRAPH, "train", (name,), 1)
    with pytest.raises(EditError, match="did you mean 'train'"):
        edits.set_setting(GRAPH, "trian", ("steps",), 1)
    with pytest.raises(EditError, match="cannot be written"):
        edits.set_setting(GRAPH, "train", ("steps",), {1, 2})
    with pytest.raises(EditError, match="a key must be a text"):
        edits.set_setting(GRAPH, "train", ("steps",), {1: 2})


def test_a_node_is_switched_off_and_on():
    off = edits.set_disabled(GRAPH, "vae", True)
    assert changed(GRAPH, off) == ["+     disabled: true"]
    assert edits.set_disabled(off, "vae", False) == GRAPH
    assert edits.set_disabled(GRAPH, "vae", False) == GRAPH
    assert changed(GRAPH, edits.set_disabled(GRAPH, "train", False)) == [
        "-     disabled: true  # for now",
        "+     disabled: false  # for now",
    ]
    assert changed(GRAPH, edits.set_disabled(GRAPH, "train", False, profile="tiny")) == [
        "-       train: {lr: 4.0e-3, steps: 10}",
        "+       train: {lr: 4.0e-3, steps: 10, disabled: false}",
    ]


# --- parameters and profiles -----------------------------------------------------------------------------------------


def test_a_parameters_value_is_set_in_the_form_that_it_has():
    assert changed(GRAPH, edits.set_param(GRAPH, "rank", 32)) == [
        "-   rank: 16   # of the adapter",
        "+   rank: 32   # of the adapter",
    ]
    assert changed(GRAPH, edits.set_param(GRAPH, "steps", 1)) == ["-     default: 2000", "+     default: 1"]
    assert changed(GRAPH, edits.set_param(GRAPH, "seed", 0)) == ["+   seed: 0"]
    assert changed(GRAPH, edits.set_param(GRAPH, "sizes", {"a": 1})) == ["+   sizes:", "+     default: {a: 1}"]
    assert changed(GRAPH, edits.set_param(GRAPH, "steps", 5, profile="tiny")) == [
        "-     params: {rank: 4}",
        "+     params: {rank: 4, steps: 5}",
    ]
    assert edits.set_param("vflow: 1\nparams: {a: {help: x}}\n", "a", 1) == (
        "vflow: 1\nparams: {a: {default: 1, help: x}}\n"
    )
    with pytest.raises(EditError, match="there is no parameter 'seed'"):
        edits.set_param(GRAPH, "seed", 0, profile="tiny")


def test_a_renamed_parameter_takes_every_use_along():
    text = GRAPH.replace("rank: ${rank}", 'rank: ${rank}\n    label: "r=${rank}, $${rank}, ${ranks}"  # ${rank}')
    assert changed(text, edits.rename_param(text, "rank", "r")) == [
        "-   rank: 16   # of the adapter",
        "+   r: 16   # of the adapter",
        "-     params: {rank: 4}",
        "+     params: {r: 4}",
        "-     rank: ${rank}",
        "+     rank: ${r}",
        '-     label: "r=${rank}, $${rank}, ${ranks}"  # ${rank}',
        '+     label: "r=${r}, $${rank}, ${ranks}"  # ${rank}',
    ]
    with pytest.raises(EditError, match="already"):
        edits.rename_param(GRAPH, "rank", "steps")


def test_a_removed_parameter_goes_from_the_profiles_too_or_from_one_alone():
    gone = ["-     params: {rank: 4}", "-   rank: 16   # of the adapter"]
    assert sorted(changed(GRAPH, edits.remove_param(GRAPH, "rank"))) == sorted(gone)
    assert changed(GRAPH, edits.remove_param(GRAPH, "rank", profile="tiny")) == gone[:1]
    with pytest.raises(EditError, match="does not change"):
        edits.remove_param(GRAPH, "steps", profile="tiny")


def test_a_parameter_gets_the_long_form_and_keeps_its_value():
    after = edits.declare_param(GRAPH, "rank", help="Of the adapter, mostly.", min=1, max=256)
    assert changed(GRAPH, after) == [
        "-   rank: 16   # of the adapter",
        "+   rank:   # of the adapter",
        "+     default: 16",
        "+     help: Of the adapter, mostly.",
        "+     min: 1",
        "+     max: 256",
    ]
    again = edits.declare_param(after, "rank", max=None, choices=[8, 16], type="int")
    assert changed(after, again) == ["+     type: int", "-     max: 256", "+     choices: [8, 16]"]
    assert edits.declare_param("vflow: 1\n", "clips", help="Give it.") == (
        "vflow: 1\n\nparams:\n  clips:\n    help: Give it.\n"
    )


def test_profiles_are_added_renamed_and_removed():
    assert changed(GRAPH, edits.add_profile(GRAPH, "80gb", "Large.")) == ["+   80gb:", "+     about: Large."]
    assert changed(GRAPH, edits.rename_profile(GRAPH, "tiny", "small")) == ["-   tiny:", "+   small:"]
    after = edits.remove_profile(GRAPH, "tiny")
    assert "profiles" not in plain(after)
    assert "help: In all.\n\nnodes:" in after
    for name in ("", "a b", "tiny"):
        with pytest.raises(EditError):
            edits.add_profile(GRAPH, name)
    with pytest.raises(EditError, match="there is no profile"):
        edits.remove_profile(GRAPH, "80gb")


# --- raw text --------------------------------------------------------------------------------------------------------


def test_a_nodes_text_is_read_without_its_indentation_and_written_back_as_it_was():
    assert edits.node_text(GRAPH, "clips") == (
        "type: BucketVideos\ninputs: {vae: vae}   # for its factors\nsource: datasets\n# frames: 49\n"
    )
    for name in ("vae", "clips", "train", "strip"):
        assert edits.replace_node(GRAPH, name, edits.node_text(GRAPH, name)) == GRAPH


def test_a_node_is_written_anew_with_the_comments_that_somebody_put_in():
    after = edits.replace_node(GRAPH, "clips", "# now\ntype: Other\n\nsizes:\n- 1  # one\n")
    assert "  clips:\n    # now\n    type: Other\n\n    sizes:\n    - 1  # one\n\n  train:" in after
    assert edits.node_text(after, "clips") == "# now\ntype: Other\n\nsizes:\n- 1  # one\n"
    assert "  clips: {type: Other}\n" in edits.replace_node(GRAPH, "clips", "{type: Other}\n\n")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "a node cannot be empty"),
        ("# nothing\n", "a node cannot be empty"),
        ("- a\n", "a node is a mapping, not a list"),
        ("hello", "a node is a mapping, not 'hello'"),
        ("type: X\na: 1\n b: 2\n", "line 3 of the node: "),
        ("type: X\ntype: Y\n", "line 2 of the node: the key 'type' stands twice"),
        ("type: X\n---\na: 1", "line 2 of the node: a second document"),
        ("type: X\ninputs: *i", "in the way that this file is written"),
    ],
)
def test_what_is_no_node_is_refused_with_the_line_in_it(written, words):
    with pytest.raises(EditError) as caught:
        edits.replace_node(GRAPH, "clips", written)
    assert words in str(caught.value)


# --- how files are written -------------------------------------------------------------------------------------------


def test_lines_end_as_they_do_in_the_file():
    text = GRAPH.replace("\n", "\r\n")
    after = edits.set_setting(edits.add_node(text, "new", "X"), "train", ("note",), "a\nb\n")
    assert after.replace("\r\n", "\n") == edits.set_setting(
        edits.add_node(GRAPH, "new", "X"), "train", ("note",), "a\nb\n"
    )
    assert "\n" not in after.replace("\r\n", "")
    assert edits.replace_node(text, "clips", edits.node_text(text, "clips")) == text
    assert "\r" not in edits.node_text(text, "clips")


def test_a_byte_order_mark_stays_in_front():
    assert edits.set_param("\ufeffvflow: 1\nparams: {a: 1}\n", "a", 2) == "\ufeffvflow: 1\nparams: {a: 2}\n"


def test_a_text_at_the_very_end_stays_what_it_is_when_something_follows():
    text = "vflow: 1\nnodes:\n  a:\n    type: X\n    note: |\n      text"
    after = edits.add_node(text, "b", "Y")
    assert plain(after)["nodes"] == {"a": {"type": "X", "note": "text"}, "b": {"type": "Y"}}
    assert after.endswith("note: |-\n      text\n  b:\n    type: Y")


def test_wide_indentation_single_quotes_and_flat_lists_are_kept_up():
    text = "vflow: 1\nnodes:\n    a:\n        type: 'X'\n        sizes:\n        - 1\n        name: 'x'\n"
    after = edits.add_node(text, "b", "Y: 1", settings={"n": ["one\ntwo"]})
    assert after == text + "    b:\n        type: 'Y: 1'\n        n:\n        - |-\n            one\n            two\n"


def test_json_stays_json():
    text = '{"vflow": 1,\n "nodes": {\n  "a": {"type": "X", "n": 1},\n  "b": {"type": "Y"}\n }}\n'
    after = edits.set_setting(edits.add_node(text, "c", "Z", {"x": "a"}), "a", ("n",), "text")
    assert after == (
        '{"vflow": 1,\n "nodes": {\n  "a": {"type": "X", "n": "text"},\n  "b": {"type": "Y"},\n'
        '  "c": {"type": "Z", "inputs": {"x": "a"}}\n }}\n'
    )
    assert edits.delete_node(after, "c") == text.replace('"n": 1', '"n": "text"')
    assert edits.delete_node(text, "a") == '{"vflow": 1,\n "nodes": {\n  "b": {"type": "Y"}\n }}\n'


def test_entries_in_lines_between_brackets_come_and_go_as_lines():
    text = "nodes:\n  a: {\n    type: X,  # what\n    # the size\n    size: 1,\n    last: 2  # end\n  }\n"
    assert edits.set_setting(text, "a", ("more",), 3) == text.replace("2  # end", "2,  # end\n    more: 3")
    assert edits.reset_setting(text, "a", ("last",)) == text.replace("size: 1,\n    last: 2  # end", "size: 1")
    assert edits.reset_setting(text, "a", ("size",)) == text.replace("    size: 1,\n", "")


def test_comments_between_brackets_stay_when_the_entries_go_and_come():
    text = "nodes: { # all\n  a: {type: X}, # one\n}\n"
    empty = edits.delete_node(text, "a")
    assert empty == "nodes: { # all\n   # one\n}\n"
    assert edits.add_node(empty, "b", "Y") == "nodes: {b: {type: Y} # all\n   # one\n}\n"


def test_several_mistakes_in_a_file_do_not_keep_it_from_being_edited():
    text = "vflow: 2\nnodes:\n  a: {type: X, size: !!str 1, size: 2}\n  1: {}\n  b: {type: Y}\nwhat: 1\n"
    assert edits.set_setting(text, "b", ("n",), 1) == text.replace("{type: Y}", "{type: Y, n: 1}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nodes: [", "line 2: a value is missing, or a bracket is not closed"),
        ("a: b: c", "line 1: a second ':' in this line"),
        ("- a\n", "the file is no graph"),
        ("hello", "the file is no graph"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_words(text, words):
    with pytest.raises(EditError) as caught:
        edits.set_setting(text, "a", ("b",), 1)
    assert words in str(caught.value)
    assert caught.value.remedy


# --- repeated values -------------------------------------------------------------------------------------------------

REPEATED = """\
nodes:
  a: &a
    type: X
    size: &size 7
    inputs: &inputs {x: c}
  b:
    type: Y
    size: *size
    inputs: *inputs
  c: {type: Z}
  d: *a
"""


def test_what_would_change_a_repeated_value_elsewhere_is_refused_with_both_lines():
    for node, path, value in (("a", ("size",), 8), ("a", ("new",), 1)):
        with pytest.raises(EditError, match=r"line \d: this value is repeated in line \d+ \(\*\w+\) and would change"):
            edits.set_setting(REPEATED, node, path, value)
    with pytest.raises(EditError, match=r"line 11: \*a repeats the value of line 2"):
        edits.set_setting(REPEATED, "d", ("size",), 1)
    with pytest.raises(EditError, match=r"line 9: \*inputs repeats the value of line 5"):
        edits.connect(REPEATED, "b", "x", "a")
    with pytest.raises(EditError, match=r"line \d: this value is repeated"):
        edits.delete_node(REPEATED, "a")


def test_a_repeated_value_may_be_written_out_dropped_or_changed_with_all_its_repetitions():
    assert changed(REPEATED, edits.set_setting(REPEATED, "b", ("size",), 8)) == ["-     size: *size", "+     size: 8"]
    assert changed(REPEATED, edits.delete_node(REPEATED, "d")) == ["-   d: *a"]
    assert changed(REPEATED, edits.rename_node(REPEATED, "c", "e")) == [
        "-     inputs: &inputs {x: c}",
        "+     inputs: &inputs {x: e}",
        "-   c: {type: Z}",
        "+   e: {type: Z}",
    ]
    assert changed(REPEATED, edits.duplicate_node(REPEATED, "a", "f"))[0] == "+   f:"
    assert plain(edits.duplicate_node(REPEATED, "a", "f"))["nodes"]["f"] == plain(REPEATED)["nodes"]["a"]
    replaced = edits.replace_node(REPEATED, "b", "type: Y\nsize: *size\n")
    assert plain(replaced)["nodes"]["b"] == {"type": "Y", "size": 7}


# --- extended files --------------------------------------------------------------------------------------------------


def test_of_an_extended_files_nodes_this_file_gets_what_changes_them(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "vflow: 1\nnodes:\n  a: {type: Prompts, prompts: [x]}\n  b: {type: Prompts, prompts: [y]}\n"
    )
    text = "vflow: 1\nextends: base.yaml  # below\n"
    after = edits.set_setting(text, "a", ("prompts",), ["z"])
    after = edits.delete_node(after, "b")
    assert after == text + "\nnodes:\n  a:\n    prompts: [z]\n  b: null\n"
    graph = load(tmp_path / "more.yaml", text=after).graph
    assert {name: spec.settings for name, spec in graph.nodes.items()} == {"a": {"prompts": ["z"]}}
    assert edits.set_disabled(text, "a", True).endswith("nodes:\n  a:\n    disabled: true\n")
    assert edits.disconnect(text, "a", "x").endswith("nodes:\n  a:\n    inputs: {x: null}\n")
    assert edits.set_param(text, "rank", 1).endswith("\nparams:\n  rank: 1\n")
    assert edits.remove_profile(text, "tiny").endswith("\nprofiles:\n  tiny: null\n")
    for edit in (
        lambda: edits.rename_node(after, "a", "c"),
        lambda: edits.rename_output(text, "a", "c"),
        lambda: edits.rename_profile(text, "a", "c"),
        lambda: edits.duplicate_node(text, "a", "c"),
        lambda: edits.rename_param(text, "a", "c"),
    ):
        with pytest.raises(EditError, match="stands in the extended file"):
            edit()
    with pytest.raises(EditError, match="dropped already"):
        edits.delete_node(after, "b")


@pytest.mark.parametrize("name", sorted(shipped_graphs()))
def test_every_shipped_node_can_be_added_to_copied_and_deleted_and_nothing_is_left_of_it(name):
    text = shipped_graphs()[name]
    for node in plain(text)["nodes"]:
        assert edits.replace_node(text, node, edits.node_text(text, node)) == text
        twice = edits.duplicate_node(text, node, "copy_of_it")
        assert edits.node_text(twice, "copy_of_it") == edits.node_text(text, node)
        assert edits.delete_node(twice, "copy_of_it") == text
        assert edits.rename_node(edits.rename_node(text, node, "another"), "another", node) == text
