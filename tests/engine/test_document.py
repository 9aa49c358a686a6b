import json
import math

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from vflow.engine.document import MAX_BYTES, MAX_DEPTH, MAX_VALUES, parse
from vflow.engine.pieces import scalar


def told(text):
    return [str(problem) for problem in parse(text, "g.yaml").problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", -0.0),
        ("16:9", "16:9"),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("010", 10),
        ("+7", 7),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", "0b11"),
        ("-0x1F", "-0x1F"),
        ("0X1F", "0X1F"),
        ("1_000", "1_000"),
        ("١٢", "١٢"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("+.Inf", math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("~", None),
        ("null", None),
        ("", None),
        ("NULL", None),
        ("None", "None"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        (".", "."),
        ("+", "+"),
        ("-", "-"),
        ("e5", "e5"),
        ("tiny://ltx2", "tiny://ltx2"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text, value):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_nan_is_read_as_a_number():
    assert all(math.isnan(parse(f"a: {word}").root.plain()["a"]) for word in (".nan", ".NaN", ".NAN"))


def test_quoted_and_block_scalars_are_always_text():
    assert parse("a: '1'\nb: \"true\"\nc: |\n  2\nd: >-\n  null\n").root.plain() == {
        "a": "1",
        "b": "true",
        "c": "2\n",
        "d": "null",
    }


def test_a_number_of_thousands_of_digits_stays_text():
    assert parse("a: " + "9" * 10_000).root.plain() == {"a": "9" * 10_000}


def test_every_value_and_key_knows_its_place():
    root = parse("a:\n  - 1\n  - {b: x}\nc: 'd'\n", "g.yaml").root
    inner = root.data["a"].data[1].data["b"]
    assert (inner.place(), inner.place(key=True)) == (("g.yaml", 3, 9), ("g.yaml", 3, 6))
    assert (root.data["c"].place(), root.data["c"].place(key=True)) == (("g.yaml", 4, 4), ("g.yaml", 4, 1))
    assert (inner.start.index, inner.end.index) == (17, 18)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: b: c", 1, 5, "a second ':'"),
        ("a:\n\tb: 1", 2, 1, "a tab where YAML takes only spaces"),
        ("a: 1\nb: [1, 2\nc: 3", 2, 4, "a '[' is not closed"),
        ("a: {x: 1", 1, 4, "a '{' is not closed"),
        ("a: {x: ${y}}", 1, 9, "write '${name}' in quotes"),
        ("a: 1\nb: 'x", 2, 4, "a quote is not closed"),
        ("a: @x", 1, 4, "cannot start with '@'"),
        ("a:\n  - 1\n b: 2", 3, 2, "does not continue the mapping"),
        ("- a\nb: 1", 2, 1, "does not continue the list"),
        ("a: - b", 1, 4, "a list cannot begin here"),
        ("a: |\n  x\ny", 3, 1, "a key without its ':'"),
        ('a: "\\q"', 1, 5, "a backslash in double quotes"),
        ("a: }", 1, 4, "a value is missing"),
        ("a: & b", 1, 4, "cannot start with '&', '*' or '!'"),
        ("a: **b**", 1, 4, "cannot start with '&', '*' or '!'"),
        ("a: | b", 1, 6, "begins in the next line"),
        ("a:\n  - b\n\tc: 1", 3, 1, "a tab where YAML takes only spaces"),
        ("a: 1\n---\nb: 2", 2, 1, "a second document begins here"),
        ("a: 1\nb: !!python/object/apply:os.system [x]", 2, 4, "the tag '!!python/object/apply:os.system' is refused"),
        ("a: !!str 1", 1, 4, "the tag '!!str' is refused"),
        ("a: !x {b: 1}", 1, 4, "the tag '!x' is refused"),
        ("a: !foo!bar x", 1, 4, "a tag (`!...`) is refused"),
        ("a: 1\nb: 2\na: 3", 3, 1, "the key 'a' stands twice, first in line 1"),
        ("a: {b: 1, b: 2}", 1, 11, "the key 'b' stands twice"),
        ("a: 1\n2: x", 2, 1, "a key must be a text, not 2"),
        ("true: x", 1, 1, "a key must be a text, not true"),
        ("? [a]\n: x", 1, 3, "a list or mapping stands where a key is expected"),
        ("a: &k [1]\n*k : x", 2, 1, "a list or mapping stands where a key is expected"),
        ("a: &a [*a]", 1, 8, "*a stands inside the value that it repeats"),
        ("a: *b", 1, 4, "*b repeats a value that is not marked before"),
        ("b: &b {x: 1}\na:\n  <<: *b", 3, 3, "'<<' merges nothing"),
        ("a: 1\nb: \x07", 2, 4, "the character '\\x07' is not allowed"),
        ("a: \ud800", 1, 4, "the character '\\ud800' is not allowed"),
        ("%YAML 3.0\n---\na: 1", 1, 1, "this is not YAML"),
    ],
)
def test_what_is_wrong_is_told_in_words_with_its_line_and_column(text, line, column, words):
    (problem,) = parse(text, "g.yaml").problems
    assert (problem.file, problem.line, problem.column, problem.severity) == ("g.yaml", line, column, "error")
    assert words in str(problem)


def test_several_mistakes_are_told_at_once_and_the_rest_is_read():
    document = parse("a: 1\na: 2\nb: !!x 3\n4: 5\nc: {d: 6, d: 7}\n", "g.yaml")
    assert [problem.line for problem in document.problems] == [2, 3, 4, 5]
    assert document.root.plain() == {"a": 1, "b": "3", "4": 5, "c": {"d": 6}}


def test_an_empty_text_has_no_root_and_no_problem():
    assert (parse("").root, parse("# nothing\n").root, parse("").problems) == (None, None, [])


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: ", "- - "])
def test_sixty_thousand_levels_are_one_clear_problem(opening):
    (problem,) = parse(opening * 60_000, "g.yaml").problems
    assert problem.line == 1


def test_sixty_thousand_brackets_name_the_depth():
    assert told("[" * 60_000) == ["g.yaml:1:51: this nests deeper than 50 levels; a graph needs far fewer"]


def test_the_deepest_allowed_nesting_is_read():
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH).problems == []


def test_a_billion_laughs_are_refused():
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (problem,) = parse("\n".join(lines), "g.yaml").problems
    assert "makes the file too large" in problem.message
    assert problem.line > 1


def test_a_long_text_cannot_be_repeated_without_end_either():
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]"
    assert "makes the file too large" in told(text)[0]
    text = f"a: &a {{{'k' * 100_000}: 1}}\nb: [{', '.join(['*a'] * 100)}]".replace("{k", "{? k")
    assert "makes the file too large" in told(text)[0]


def test_aliases_cannot_nest_deeper_than_brackets():
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)]
    assert "makes the file too large" in told("\n".join(lines))[0]


def test_a_few_aliases_are_read_where_they_stand():
    root = parse("a: &a {x: [1, 2]}\nb: *a\nc: [*a]\n").root
    assert root.plain() == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}, "c": [{"x": [1, 2]}]}
    assert root.data["b"].place() == ("", 2, 4)
    assert root.data["b"].place(key=True) == ("", 2, 1)


def test_size_and_number_of_values_are_bounded():
    assert "longer than" in told("a" * (MAX_BYTES + 1))[0]
    assert "holds more than" in told("[" + "1," * MAX_VALUES + "]")[0]


@given(st.text())
def test_no_text_makes_it_raise(text):
    document = parse(text, "g.yaml")
    assert document.problems or document.root is None or document.root.plain() is not ...


BITS = r"""a|b: |- |\n|  |[|]|{|}|, |: |? |&a |*a|!t |'|"|>\n|#|1e-4|${x}|<<|---\n|\t|%|\\|~|\u2028|\ufeff|é"""
PIECES = st.sampled_from([bit.encode("latin-1").decode("unicode-escape") for bit in BITS.split("|")])


@given(st.lists(PIECES, max_size=60).map("".join))
def test_no_mixture_of_yaml_makes_it_raise(text):
    parse(text, "g.yaml")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_json_is_read_as_it_is(data):
    # YAML takes no escaped pairs of surrogates, and no DEL
    assume(not any(character > "\uffff" or character == "\x7f" for character in json.dumps(data, ensure_ascii=False)))
    document = parse(json.dumps({"data": data}))
    assert document.problems == []
    assert document.root.plain() == {"data": data}


def test_the_pure_python_parser_gives_the_same(monkeypatch):
    text = "a: &x [1, {b: c}]\nd: *x\ne: 'f'\n"
    expected = parse(text).root.plain()
    monkeypatch.setattr("vflow.engine.document._LOADER", yaml.SafeLoader)
    assert parse(text).root.plain() == expected
    assert "nests deeper" in told("[" * 60_000)[0]
