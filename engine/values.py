"""What travels along an edge: frozen, plain JSON, with an identity.

A value's *identity* is what it is, apart from where it lives and how it was made: fields marked `elsewhere()` are left
out of it. Two kinds of values: recipes describe something live (a model and what is to be done to it) and hold no
tensor; artifacts are results on disk and refer to blobs by digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast, overload

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from vflow.engine import keys

if TYPE_CHECKING:
    from vflow.engine.carried import Carried
    from vflow.engine.context import Context

_AT_ONCE = 1000  # values made together: more are more memory for their plain data, and no quicker
_ELSEWHERE, _WORDS = "vflow.elsewhere", "vflow.words"


def elsewhere(default: Any = ..., *, words: bool = False, **field: Any) -> Any:
    """Declare a field of a value that says where it lives or how it was made: no part of its identity.

    `words`: it holds the user's own words (a caption); where results are shared, it is left at its default.
    """
    return Field(default, json_schema_extra={_ELSEWHERE: True, _WORDS: words}, **field)


class Value(BaseModel):
    """Something that travels along an edge. Subclasses declare fields of plain data, tuples and other values."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    kinds: ClassVar[dict[str, type[Value]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        known = Value.kinds.setdefault(cls.__name__, cls)
        if cls.__module__.startswith("vflow.") and not known.__module__.startswith("vflow."):
            Value.kinds[cls.__name__] = cls  # whichever was imported first, what ships keeps its name

    @cached_property
    def identity(self) -> str:
        """SHA-256 of what this value is: its type and its fields, without those that are declared elsewhere."""
        return keys.digest([type(self).__name__, self.identity_data()])

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields replaced; Pydantic would hand the old identity on with it."""
        copied = super().model_copy(update=dict(update or {}), deep=deep)
        copied.__dict__.pop("identity", None)
        return copied

    def identity_data(self) -> Any:
        """Return the plain data that the identity is made of; values inside stand for their own identities."""
        return {name: _plain(self.__dict__[name]) for name in _identity_fields(type(self))}

    def described(self) -> dict[str, Any]:
        """Return what tells two values of this type apart, by field, for people; values inside as they are."""
        fields = type(self).model_fields
        return {name: getattr(self, name) for name, field in fields.items() if not _is_elsewhere(field)}

    def blobs(self) -> Iterator[Blob]:
        """Yield every blob that this value or a value inside it refers to."""
        for name in type(self).model_fields:
            yield from _blobs(getattr(self, name))

    def plain_files(self) -> Iterator[tuple[str, Blob]]:
        """Yield (file name, blob) for the plain files that stand for this value in a run's outputs."""
        return iter(())

    def card(self, carried: Carried) -> str:
        """Return the text of the `README.md` beside the plain files, from the recipe that they carry; "" for none."""
        return ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data from which `value_from_json` makes an equal value."""
        return {"type": type(self).__name__, "value": self.model_dump(mode="json", serialize_as_any=True)}


class Blob(Value):
    """An immutable file in the store, named by the SHA-256 of its content. `size` is in bytes."""

    digest: str
    size: int = elsewhere()
    suffix: str = elsewhere("")

    def identity_data(self) -> str:
        """Return the digest: a blob is its content."""
        return self.digest


class Recipe(Value):
    """A description of something live, such as a model. Cheap, printable, never holds a tensor.

    The engine asks four things of it, all with heavy imports inside, and lends what comes back to one node at a time:
    `open_base` (the weights as they are in the files), `prepare` (apply the recipe's transformations), `restore` (undo
    them, so that the base is bit-equal to before) and `close_base`. Recipes with equal `base` share one base.
    """

    @property
    def base(self) -> str | None:
        """What must be loaded for this recipe, as a digest; None when nothing is ever loaded for it."""
        return None

    @property
    def computes_on(self) -> str:
        """The kind of device that it computes on (`cpu`, `cuda`), for records; "" where that does not matter."""
        return ""

    def files_needed(self) -> tuple[str, ...]:
        """Name what has to be fetched before this recipe can be loaded, in words, for plans and errors."""
        return ()

    def is_fetched(self, context: Context) -> bool:
        """Tell whether everything that loading needs is on this machine."""
        return True

    def fetch(self, context: Context) -> None:
        """Bring what loading needs to this machine: download (resumable) or build. Idempotent."""

    def bytes_to_fetch(self, context: Context) -> int:
        """Return how many bytes `fetch` would still bring; 0 where nothing is missing."""
        return 0

    def open_base(self, context: Context) -> Any:
        """Load the weights and return the live base.

        Raises:
            Failure: the files do not load.
        """
        raise TypeError(f"{type(self).__name__} is not loaded: it only describes")

    def prepare(self, base: Any, context: Context) -> Any:
        """Apply the recipe's transformations to the base and return what the node works with."""
        return base

    def restore(self, base: Any, live: Any, context: Context) -> bool:
        """Undo `prepare`. Return False when that is not possible and the base has to be dropped."""
        return True

    def close_base(self, base: Any) -> None:
        """Let go of the live base, so that its memory is free."""


class Artifact(Value):
    """A result on disk: plain data that refers to blobs."""


V_co = TypeVar("V_co", bound=Value, covariant=True)


class Item(Generic[V_co]):
    """One row of an `Items` list: the row's name and its value."""

    __slots__ = ("row", "value")

    def __init__(self, row: str, value: V_co) -> None:
        self.row, self.value = row, value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Item) and (self.row, self.value) == (other.row, other.value)

    def __hash__(self) -> int:
        return hash((self.row, self.value.identity))

    def __repr__(self) -> str:
        return f"Item({self.row!r}, {self.value!r})"


class Items(Sequence[V_co]):
    """A list of values with a name for each row, as it travels along an edge.

    A row is a sample: lists that were computed from one another keep their rows, so that latents and embeddings are
    joined by row. The rows' order is part of the list. As a port's type, `Items[T]` takes lists of T.
    """

    __slots__ = ("_identity", "rows", "values")

    def __init__(self, items: Iterable[Item[V_co]] = ()) -> None:
        items = tuple(items)
        self.rows: tuple[str, ...] = tuple(item.row for item in items)
        self.values: tuple[V_co, ...] = tuple(item.value for item in items)
        self._identity = ""

    @classmethod
    def of(cls, values: Mapping[str, V_co]) -> Items[V_co]:
        """Make a list from a mapping of row to value."""
        return cls(Item(row, value) for row, value in values.items())

    @classmethod
    def of_rows(cls, rows: Iterable[str], values: Iterable[V_co]) -> Items[V_co]:
        """Make a list from its rows and, in the same order, their values."""
        items = cls()
        items.rows, items.values = tuple(rows), tuple(values)
        return items

    @property
    def identity(self) -> str:
        """SHA-256 of the rows and of the identities of their values."""
        if not self._identity:
            pairs = [[row, value.identity] for row, value in zip(self.rows, self.values, strict=True)]
            self._identity = keys.digest_texts(["Items", pairs])
        return self._identity

    def items(self) -> Iterator[tuple[str, V_co]]:
        """Yield pairs of row and value."""
        return zip(self.rows, self.values, strict=True)

    def by_row(self) -> dict[str, V_co]:
        """Return a dict from row to value."""
        return dict(self.items())

    @overload
    def __getitem__(self, index: int) -> V_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[V_co]: ...
    def __getitem__(self, index: int | slice) -> V_co | Sequence[V_co]:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[V_co]:
        return iter(self.values)

    def __add__(self, other: Items[Any]) -> Items[Any]:
        return Items.of_rows((*self.rows, *other.rows), (*self.values, *other.values))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Items) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"Items({len(self)})"


def value_from_json(data: Mapping[str, Any]) -> Value:
    """Make the value that `Value.to_json` wrote.

    Raises:
        KeyError: no such type of value is registered.
        pydantic.ValidationError: the data do not fit the type.
    """
    return Value.kinds[data["type"]].model_validate(data["value"])


def values_from_json(data: Iterable[Any]) -> Iterator[Value]:
    """Make many values that `Value.to_json` wrote; some of one type are made together, which takes much less.

    Raises:
        KeyError, pydantic.ValidationError: as `value_from_json`.
    """
    for kind, same in groupby(data, key=itemgetter("type")):
        while some := [one["value"] for one in islice(same, _AT_ONCE)]:
            yield from _list_of(Value.kinds[kind]).validate_python(some)


@cache
def _list_of(kind: type[Value]) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[kind])  # type: ignore[valid-type]


def output_to_json(output: Value | Items[Any] | Mapping[str, Any] | None) -> Any:
    """Return plain data for what a node returned: a value, a list, several named outputs, or nothing."""
    if output is None:
        return None
    if isinstance(output, Items):
        return {"items": [[row, value.to_json()] for row, value in output.items()]}
    if isinstance(output, Mapping):
        return {"outputs": {name: output_to_json(value) for name, value in output.items()}}
    return output.to_json()


def output_from_json(data: Any) -> Any:
    """Make again what `output_to_json` wrote.

    Raises:
        KeyError, pydantic.ValidationError: as `value_from_json`.
    """
    if data is None:
        return None
    if "items" in data:
        return Items(Item(row, value_from_json(value)) for row, value in data["items"])
    if "outputs" in data:
        return {name: output_from_json(value) for name, value in data["outputs"].items()}
    return value_from_json(data)


def blobs_of(output: Any) -> Iterator[Blob]:
    """Yield the blobs of a value, of a list, or of named outputs."""
    return _blobs(output)


def without_words(data: Any) -> Any:
    """Return the same, of equal identity, without the user's own words in it: a value, a list, named outputs."""
    if isinstance(data, Value):
        fields = type(data).model_fields.items()
        changed = {name: field.get_default() for name, field in fields if _has_words(field)}
        for name, _ in fields:
            inside = getattr(data, name)
            if name not in changed and (told := without_words(inside)) is not inside:
                changed[name] = told
        return data.model_copy(update=changed) if changed else data
    if isinstance(data, Items):
        return Items(Item(row, without_words(value)) for row, value in data.items())
    if isinstance(data, Mapping):
        return {name: without_words(value) for name, value in data.items()}
    if isinstance(data, tuple) and any(isinstance(entry, (Value, tuple)) for entry in data):
        return tuple(map(without_words, data))
    return data


def identity_of(value: Any) -> Any:
    """Return the identity of what stands at a port: a value, a list or None."""
    return None if value is None else cast("Value | Items[Any]", value).identity


@cache
def _identity_fields(cls: type[Value]) -> tuple[str, ...]:
    return tuple(name for name, field in cls.model_fields.items() if not _is_elsewhere(field))


def _is_elsewhere(field: Any) -> bool:
    return isinstance(field.json_schema_extra, dict) and _ELSEWHERE in field.json_schema_extra


def _has_words(field: Any) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get(_WORDS))


def _plain(data: Any) -> Any:
    if type(data) in (str, int, float, bool):
        return data
    if isinstance(data, (Value, Items)):
        return data.identity
    if isinstance(data, (list, tuple)):
        return [_plain(entry) for entry in data]
    if isinstance(data, Mapping):
        return {key: _plain(entry) for key, entry in data.items()}
    return data


def _blobs(data: Any) -> Iterator[Blob]:
    if isinstance(data, Blob):
        yield data
    elif isinstance(data, Value):
        yield from data.blobs()
    elif isinstance(data, Mapping):
        for entry in data.values():
            yield from _blobs(entry)
    elif isinstance(data, (list, tuple, Items)):
        for entry in data:
            yield from _blobs(entry)
