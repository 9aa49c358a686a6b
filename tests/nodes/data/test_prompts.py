"""Prompts have rows that people can read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vflow.engine.problems import GraphError
from vflow.nodes.data.prompts import Prompts, row_names
from vflow.nodes.families import family
from vflow.nodes.values import NEGATIVE_ROW, Source, TextEncoder


def test_rows_are_numbers_and_words_in_the_order_written(context):
    found = Prompts(prompts=("A red circle!", "a blue square", "a blue square")).run(context).prompts
    assert found.rows == ("01-a-red-circle", "02-a-blue-square", "03-a-blue-square")
    assert [caption.text for caption in found] == ["A red circle!", "a blue square", "a blue square"]


def test_the_negative_prompt_has_its_own_row(context):
    assert NEGATIVE_ROW not in Prompts(prompts=("a",)).run(context).prompts.rows
    found = Prompts(prompts=("a",), negative="").run(context).prompts
    assert found.by_row()[NEGATIVE_ROW].text == ""


def encoder(family):
    return TextEncoder(
        source=Source(family=family, part="text_encoder", content="text", model=f"tiny://{family}", kind="tiny")
    )


@pytest.mark.parametrize("name", ["ltx2", "kandinsky5"])
def test_the_family_s_negative_prompt_stands_where_the_graph_gives_none(context, name):
    linked, own = encoder(name), family(name).negative_prompt
    said = Prompts(prompts=("a",)).run(context, linked).prompts.by_row()[NEGATIVE_ROW]
    assert (said.text, said.negative) == (own, True)
    written = Prompts(prompts=("a",), negative=own).run(context).prompts.by_row()[NEGATIVE_ROW]
    assert said.identity == written.identity  # it enters the key as if it were written
    assert Prompts(prompts=("a",), negative="").run(context, linked).prompts.by_row()[NEGATIVE_ROW].text == ""


@pytest.mark.parametrize("name", ["sana", "hunyuan15"])
def test_a_family_without_a_negative_prompt_leaves_the_empty_caption(context, name):
    assert NEGATIVE_ROW not in Prompts(prompts=("a",)).run(context, encoder(name)).prompts.rows


def test_the_families_negative_prompts_are_those_that_diffusers_knows():
    import inspect

    from diffusers import Kandinsky5T2VPipeline, SanaVideoPipeline
    from diffusers.pipelines.ltx2.utils import DEFAULT_NEGATIVE_PROMPT

    assert family("ltx2").negative_prompt == DEFAULT_NEGATIVE_PROMPT
    assert f'negative_prompt = "{family("kandinsky5").negative_prompt}"' in inspect.getsource(
        Kandinsky5T2VPipeline.__call__
    )
    usual = inspect.signature(SanaVideoPipeline.__call__).parameters["negative_prompt"].default
    assert usual == family("sana").negative_prompt == family("hunyuan15").negative_prompt == ""


def test_very_short_prompts_are_warned_of_where_the_family_wants_long_ones(context):
    Prompts(prompts=("a cat",)).run(context, encoder("ltx2"))
    assert not context.said.logs
    Prompts(prompts=("a cat",)).run(context, encoder("sana"))
    ((level, message),) = context.said.logs
    assert level == "warning"
    assert message.startswith("1 of 1 prompts are short (01-a-cat): Sana Video wants")


def test_a_file_gives_one_prompt_a_line(context, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffone\r\n\n  zwei  \n".encode())
    found = Prompts(prompts=("zero",), file=str(path)).run(context).prompts
    assert [caption.text for caption in found] == ["zero", "one", "zwei"]


def test_a_file_that_cannot_be_used_is_told(context, tmp_path):
    path = tmp_path / "prompts.txt"
    with pytest.raises(GraphError, match="cannot be read"):
        Prompts(file=str(path)).run(context)
    path.write_text("\n\n")
    with pytest.raises(GraphError, match="holds no prompt"):
        Prompts(file=str(path)).run(context)
    path.write_bytes(b"\xff")
    with pytest.raises(GraphError, match="not UTF-8"):
        Prompts(file=str(path)).run(context)


def test_no_prompt_at_all_is_refused_when_read():
    with pytest.raises(ValidationError, match="give prompts"):
        Prompts()


@given(st.lists(st.text(max_size=80), max_size=130))
def test_rows_differ_are_short_and_are_plain(texts):
    rows = row_names(texts)
    assert len(set(rows)) == len(texts)
    assert all(row.isascii() and len(row) <= 40 and not row.endswith("-") for row in rows)
    assert rows == sorted(rows)
