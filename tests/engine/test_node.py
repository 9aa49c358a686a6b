"""The declaration: what is read from a class, and what is refused when it is defined."""

from collections.abc import Iterator
from typing import Annotated, TypeVar

import pytest
from pydantic import BaseModel, ValidationError

from vflow.engine.context import Context
from vflow.engine.node import Node, Observed, Outputs, added, horizon, observe, placement
from vflow.engine.values import Artifact, Items, Recipe


class Fruit(Artifact):
    name: str = ""


class Apple(Fruit):
    pass


class Press(Recipe):
    pass


class Mill(Recipe):
    pass


M = TypeVar("M", bound=Press | Mill)


class Optimizer(BaseModel):
    lr: float = 0.1
    foreach: bool = placement(True)


class Squeeze(Node):
    """Squeeze fruit."""

    pressure: int = 3
    optimizer: Optimizer = Optimizer()
    steps: int = horizon(10)
    device: str = placement("cpu")
    batch: int = placement(1, exact=False)
    tracker: str = observe("none")
    filter: bool = added(False, first=False)

    def run(
        self,
        context: Context,
        press: Press,
        fruit: Items[Fruit],
        watch: Annotated[Items[Fruit] | None, Observed] = None,
        extra: Fruit | None = None,
    ) -> Fruit:
        return fruit[0]


def test_ports_are_read_from_the_signature():
    ports = Squeeze.ports
    assert list(ports) == ["press", "fruit", "watch", "extra"]
    assert ports["fruit"].many
    assert not ports["fruit"].optional
    assert ports["watch"].observed
    assert ports["watch"].optional
    assert ports["extra"].optional
    assert not ports["extra"].many
    assert ports["fruit"].words == "list of Fruit"


def test_a_port_takes_subclasses_union_members_and_items():
    fruit = Squeeze.ports["fruit"]
    assert fruit.accepts((Apple,))
    assert fruit.accepts((Apple,), many=True)
    assert not fruit.accepts((Press,))
    assert not Squeeze.ports["extra"].accepts((Apple,), many=True)


def test_only_settings_that_matter_enter_the_key():
    base = Squeeze()
    assert base.key_settings() == {"pressure": 3, "optimizer": {"lr": 0.1}, "steps": 10}
    assert Squeeze(device="cuda", batch=4, tracker="tb").key_settings() == base.key_settings()
    assert Squeeze(filter=True).key_settings() != base.key_settings()
    assert Squeeze(optimizer=Optimizer(foreach=False)).key_settings() == base.key_settings()
    assert "steps" not in base.work_settings()
    assert Squeeze(batch=4).placed() == {"batch": 4}


def test_a_horizon_that_shapes_the_way_enters_the_work_key():
    class Walk(Node):
        """Walk."""

        steps: int = horizon(10)

        def open_ended(self) -> bool:
            return False

        def run(self, context: Context) -> Fruit:
            return Fruit()

    assert Walk().work_settings() == {"steps": 10}


def test_a_type_variable_names_both_ports():
    class Wrap(Node):
        """Wrap."""

        def run(self, context: Context, model: M) -> M:
            return model

    assert Wrap.ports["model"].types == (Press, Mill)
    assert Wrap.ports["model"].variable == Wrap.outputs["output"].variable == "M"


def test_a_generator_works_per_item():
    class Peel(Node):
        """Peel."""

        def run(self, context: Context, press: Press, fruit: Items[Fruit]) -> Iterator[Apple]:
            yield from ()

    assert Peel.per_item == "fruit"
    assert Peel.outputs["items"].many
    assert Peel.outputs["items"].types == (Apple,)


def test_several_outputs_are_a_model():
    class Two(Outputs):
        juice: Fruit
        skins: Annotated[Items[Fruit], Observed]

    class Split(Node):
        """Split."""

        def run(self, context: Context) -> Two:
            return Two(juice=Fruit(), skins=Items())

    assert list(Split.outputs) == ["juice", "skins"]
    assert Split.outputs["skins"].observed


def refused(match, body, settings=None):
    with pytest.raises(TypeError, match=match):
        type("Bad", (Node,), {"run": body, "__module__": __name__, **(settings or {})})


def test_a_class_that_cannot_be_read_is_refused_when_it_is_defined():
    def clash(self, context: Context, rank: Fruit) -> Fruit: ...

    def unresolved(self, context: Context, fruit: "Nowhere") -> Fruit: ...  # noqa: F821

    def no_context(self, fruit: Fruit) -> Fruit: ...

    def untyped(self, context: Context, fruit) -> Fruit: ...

    def no_value(self, context: Context, fruit: int) -> Fruit: ...

    def fine(self, context: Context) -> Fruit: ...

    def two_lists(self, context: Context, a: Items[Fruit], b: Items[Fruit]) -> Iterator[Fruit]: ...

    refused("name of a setting", clash, {"rank": 4, "__annotations__": {"rank": int}})
    refused("does not resolve", unresolved)
    refused("first parameter must be `context`", no_context)
    refused("has no type", untyped)
    refused("is not a Value", no_value)
    refused("exactly one port", two_lists)
    refused("nodes use themselves", fine, {"__annotations__": {"inputs": int}, "inputs": 3})


def test_settings_are_strict():
    for bad in ({"pressure": True}, {"pressure": "3"}, {"pressure": 3.0}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            Squeeze(**bad)
