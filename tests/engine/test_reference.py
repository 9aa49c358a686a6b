from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BaseModel, Field

from vflow.engine.node import Node, Observed, added, horizon, observe, placement
from vflow.engine.reference import describe_type, list_types
from vflow.engine.values import Items, Recipe, Value


class ReferenceModel(Recipe):
    x: int = 0


class ReferenceClip(Value):
    x: int = 0


class ReferenceGroup(BaseModel):
    lr: float = Field(1e-4, gt=0, le=1, description="How fast.")
    betas: tuple[float, float] = (0.9, 0.99)


M = TypeVar("M", bound=ReferenceModel | ReferenceClip)


class ReferenceEncode(Node):
    """Encode every clip. One at a time.

    A second paragraph
    in two lines.
    """

    version: ClassVar[int] = 3

    needed: int = Field(ge=1, description="What it needs.")
    mode: Literal["fast", "slow"] = "fast"
    name: str | None = None
    words: list[str] = []
    group: ReferenceGroup = ReferenceGroup()
    shown: ReferenceGroup = observe(ReferenceGroup())
    workers: int = placement(2)
    batch: int = placement(1, exact=False)
    every: int = observe(10)
    steps: int = horizon(100)
    later: bool = added(True, first=False)

    def run(
        self,
        context,
        model: ReferenceModel,
        clips: Items[ReferenceClip],
        watched: Annotated[ReferenceModel | None, Observed] = None,
    ) -> Iterator[ReferenceClip]: ...


class ReferencePlace(Node):
    """Place it."""

    light: ClassVar[bool] = True

    def run(self, context, model: M) -> M: ...


def lines(cls):
    return [" ".join(line.split()) for line in describe_type(cls).splitlines()]


def test_types_are_listed_with_their_first_sentence():
    types = {"Place": ReferencePlace, "Encode": ReferenceEncode}
    assert list_types(types) == "Encode  Encode every clip\nPlace   Place it"
    assert list_types({}) == ""


def test_a_type_is_described_by_its_docstring_ports_and_settings():
    text = lines(ReferenceEncode)
    assert text[0] == "ReferenceEncode, version 3 (heavy: its results are kept)"
    for line in (
        "A second paragraph",
        "model ReferenceModel",
        "clips list of ReferenceClip, kept item by item",
        "watched ReferenceModel, optional, watched only: not in the key",
        "items list of ReferenceClip",
        "needed whole number, at least 1; required",
        "What it needs.",
        "mode fast | slow; default fast",
        "name text | empty; default empty",
        "words list of text; default []",
        "group a group of settings; default as below",
        "group.lr number, more than 0, at most 1; default 0.0001",
        "group.betas list of 2: number, number; default [0.9, 0.99]",
    ):
        assert line in text


def test_how_a_setting_enters_the_key_is_told():
    text = " ".join(lines(ReferenceEncode))
    for words in (
        "workers whole number; default 2; not in the key: where or how fast, with equal bits",
        "batch whole number; default 1; not in the key, but recorded: equal up to rounding",
        "every whole number; default 10; not in the key: watches only",
        "shown.betas list of 2: number, number; default [0.9, 0.99]; not in the key: watches only",
        "steps whole number; default 100; in the key as how far",
        "later true | false; default true; in the key once it is not false",
    ):
        assert words in text


def test_a_light_type_and_a_type_variable_are_told():
    text = lines(ReferencePlace)
    assert text[0] == "ReferencePlace, version 1 (light: runs at every plan, loads no model)"
    assert "model ReferenceModel | ReferenceClip (what is linked to it decides the output)" in text
    assert "output ReferenceModel | ReferenceClip (as the input)" in text
    assert text[-2:] == ["settings", "none"]


def test_no_line_is_wider_than_a_hundred_characters():
    assert max(map(len, describe_type(ReferenceEncode).splitlines())) <= 100
