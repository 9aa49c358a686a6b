"""Prompts have rows that people can read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vflow.engine.problems import GraphError
from vflow.nodes.data.prompts import Prompts, row_names
from vflow.nodes.values import NEGATIVE_ROW


def test_rows_are_numbers_and_words_in_the_order_written(context):
    found = Prompts(prompts=("A red circle!", "a blue square", "a blue square")).run(context).prompts
    assert found.rows == ("01-a-red-circle", "02-a-blue-square", "03-a-blue-square")
    assert [caption.text for caption in found] == ["A red circle!", "a blue square", "a blue square"]


def test_the_negative_prompt_has_its_own_row(context):
    assert NEGATIVE_ROW not in Prompts(prompts=("a",)).run(context).prompts.rows
    found = Prompts(prompts=("a",), negative="").run(context).prompts
    assert found.by_row()[NEGATIVE_ROW].text == ""


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
