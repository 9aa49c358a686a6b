"""The user's own settings: `config.yaml` in the user's configuration folder. No graph can change them.

They are read where they are needed. A flag of the command line comes first, then the environment, then this file.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vflow.engine.amounts import parse_size
from vflow.engine.problems import Failure, GraphError, Problem, suggest

if TYPE_CHECKING:
    from vflow.engine.document import Document
    from vflow.engine.pieces import Piece

_PLAIN = re.compile(r"[A-Za-z0-9_/~][\w/.~:@+=?&%-]*")
_SAFE_IN_LIST = re.compile(r"[\w/.~@+-]+")


def _size(given: object) -> object:
    return parse_size(given) if isinstance(given, str) else given


def _not_empty(given: object) -> object:
    if given == "":
        raise ValueError("must not be empty; `vflow config unset` goes back to the default")
    return given


Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Text = Annotated[str, BeforeValidator(_not_empty)]


class Config(BaseModel):
    """The settings of the user, each with its default. Sizes are bytes, or texts such as `200GB`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    cache: Text | None = Field(
        None, description="Folder of the store. --cache and $VFLOW_HOME come first; without any, ~/.cache/vflow."
    )
    max_size: Size | None = Field(
        None, description="How large the store may become (200GB). A run that exceeds it says so, see auto_collect."
    )
    auto_collect: bool = Field(
        False, description="Collect after a run until the store fits into max_size, instead of only saying so."
    )
    keep_runs: int = Field(
        0, ge=0, description="What the last so many runs used is never collected. 0: no run is special."
    )
    remote: Text | None = Field(
        None, description="A second tier behind the store: any address that fsspec knows (s3://bucket/folder)."
    )
    send: tuple[Text, ...] = Field(
        (),
        description="Where graphs may send anything: names of destinations (hub, wandb, webhook:HOST). "
        "What stays on this machine, such as TensorBoard files, is always allowed.",
    )
    embed: Literal["none", "recipe", "all"] = Field(
        "recipe",
        description="What exported files carry: nothing, their recipe without what is yours (paths, prompts), or all "
        "but secrets. --embed comes first.",
    )
    low_disk: Size = Field(
        2 * 10**9,
        description="A run says so when less is free on a disk it writes to; at a quarter of it the run stops, with "
        "all it has done. Unless you give a value, it is no more than 1 % of a disk. 0: never look.",
    )
    theme: Text | None = Field(
        None,
        description="Theme of the terminal UI (nord, gruvbox, textual-light, ...). What is chosen there is kept here.",
    )
    keys: dict[str, Text] = Field(
        {},
        description="Other keys for the terminal UI, by the name that its help (?) gives an action: graph.add=n. "
        "Several are written with commas: edit.undo=u,ctrl+z.",
    )


@dataclass(frozen=True)
class Setting:
    """A setting as it counts now. `source` says in words where its value comes from."""

    name: str
    value: Any
    source: str
    about: str


def user_folder() -> Path:
    """Return the folder for vflow's configuration: `$XDG_CONFIG_HOME/vflow`, else `~/.config/vflow`.

    On Windows `%APPDATA%\\vflow` takes the place of the latter.
    """
    given = os.environ.get("XDG_CONFIG_HOME", "")
    if not given and os.name == "nt":
        given = os.environ.get("APPDATA", "")
    # the base directory specification says that a relative path counts for nothing
    return (Path(given) if given and Path(given).is_absolute() else Path("~/.config").expanduser()) / "vflow"


def config_file() -> Path:
    """Return where the settings lie, or would lie."""
    return user_folder() / "config.yaml"


def load() -> Config:
    """Return the user's settings; the defaults where there is no file.

    Raises:
        GraphError: the file has mistakes; all of them, with their lines.
        Failure: it cannot be read.
    """
    path = config_file()
    return _checked(_parsed(path, text)) if (text := _text_of(path)) is not None else Config()


def settings() -> list[Setting]:
    """Return every setting as it counts now, and where its value comes from.

    Raises:
        GraphError, Failure: as `load`.
    """
    path, config = config_file(), load()
    written = _keys(path)
    found = []
    for name, field in Config.model_fields.items():
        value, source = getattr(config, name), f"{path}:{written[name]}" if name in written else "default"
        if name == "cache" and (home := os.environ.get("VFLOW_HOME")):
            value, source = home, "$VFLOW_HOME"
        found.append(Setting(name, value, source, field.description or ""))
    return found


def assign(name: str, words: list[str]) -> None:
    """Write a setting into the file; every other line, comments included, stays as it is.

    Raises:
        GraphError: there is no such setting, the value does not fit, or the file cannot be changed line by line.
        Failure: it cannot be written.
    """
    _check_name(name)
    value = _value(name, words)
    problems = _problems_of({name: value}, None, "")
    if problems:
        raise GraphError(problems)
    _change(name, value)


def unset(name: str) -> bool:
    """Take a setting out of the file, so that its default counts; tell whether it stood there.

    Raises:
        GraphError, Failure: as `assign`.
    """
    _check_name(name)
    if name not in _keys(config_file()):
        return False
    _change(name, None)
    return True


# --- reading ---------------------------------------------------------------------------------------------------------


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"your settings cannot be read: {path}: {error}", "look at that file") from error


def _parsed(path: Path, text: str) -> Document:
    from vflow.engine.document import parse

    return parse(text, str(path))


def _checked(document: Document) -> Config:
    root = document.root
    problems = list(document.problems)
    if root is not None and root.data is not None and type(root.data) is not dict:
        problems.append(Problem("settings are `name: value`, one in a line", file=document.file, line=1))
    if problems:
        raise GraphError(problems)
    data = root.plain() if root is not None and root.data is not None else {}
    if problems := _problems_of(data, root, document.file):
        raise GraphError(problems)
    return _validated(data)


def _validated(data: dict[str, Any]) -> Config:
    # as JSON: a list may fill a tuple, nothing else changes its type; an empty value means the default
    return Config.model_validate_json(json.dumps({name: value for name, value in data.items() if value is not None}))


def _problems_of(data: dict[str, Any], root: Piece | None, file: str) -> list[Problem]:
    problems = []
    for name in data:
        if name not in Config.model_fields:
            problem = Problem(f"there is no setting {name!r}", suggest(name, Config.model_fields))
            problems.append(_placed(problem, root, name, file))
    try:
        _validated({name: value for name, value in data.items() if name in Config.model_fields})
    except ValidationError as error:
        for one in error.errors(include_url=False):
            message = str(one["msg"]).removeprefix("Value error, ").removeprefix("Input ")
            message = "should be ACTION: KEY, in a mapping" if one["type"] == "dict_type" else message
            name, value = str(one["loc"][0]), data[str(one["loc"][0])]
            if isinstance(value, dict) and len(one["loc"]) > 1:
                name, value = f"{name}.{one['loc'][1]}", value[one["loc"][1]]
            problem = Problem(f"{message[:1].lower()}{message[1:]}", f"not {value!r}")
            problems.append(_placed(problem, root, name, file))
    except ValueError as error:  # a number that JSON does not know
        problems.append(Problem(str(error), "write a finite number", file=file))
    return problems


def _placed(problem: Problem, root: Piece | None, name: str, file: str) -> Problem:
    setting, _, inside = name.partition(".")
    piece = root.get(setting) if root is not None else None
    piece = (piece.get(inside) if piece is not None and inside else None) or piece
    place = piece.place(key=True) if piece is not None else None
    return problem.at(name, file, place.line, place.column) if place else problem.at(name)


def _keys(path: Path) -> dict[str, int]:
    """Return the settings that stand in the file, each with its line."""
    text = _text_of(path)
    root = _parsed(path, text).root if text is not None else None
    if root is None or type(root.data) is not dict:
        return {}
    return {name: piece.place(key=True).line for name, piece in root.data.items() if piece.data is not None}


def _check_name(name: str) -> None:
    if name not in Config.model_fields:
        raise GraphError(f"there is no setting {name!r}", suggest(name, Config.model_fields))


# --- writing ---------------------------------------------------------------------------------------------------------


def _value(name: str, words: list[str]) -> Any:
    """Return what the words of a command line mean for this setting."""
    from vflow.engine.pieces import scalar

    if name == "send":
        return list(words)
    if name == "keys":
        return _pairs(words)
    if len(words) != 1:
        raise GraphError(f"{name} takes one value, not {len(words)}", "put a value with spaces in quotes")
    return words[0] if name in ("cache", "remote") or not words[0] else scalar(words[0])


def _pairs(words: list[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise GraphError(f"{name or '='} maps no action to a key", "write ACTION=KEY, as in graph.add=n")
    return {name: value for name, _, value in pairs}


def _change(name: str, value: Any) -> None:
    path = config_file()
    old = _text_of(path) or ""
    document = _parsed(path, old)
    before = _checked(document)  # a file with mistakes is not written to
    new = _without(document, name) if value is None else _with(document, name, _as_yaml(value))
    after = _parsed(path, new)
    given = {
        **before.model_dump(exclude_unset=True),
        **({} if value is None else _validated({name: value}).model_dump(exclude_unset=True)),
    }
    if value is None:
        given.pop(name, None)
    if after.problems or _checked(after).model_dump(exclude_unset=True) != given:
        raise GraphError(f"{path} is not written one setting in a line, so it is not changed", "change it by hand")
    _write(path, new)


def _with(document: Document, name: str, value: str) -> str:
    text, piece = document.text, document.root.get(name) if document.root is not None else None
    if piece is None or piece.start is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{name}: {value}\n"
    start, end = _span(document, piece)
    space = " " if text[:start].endswith(":") else ""
    return f"{text[:start]}{space}{value}{text[end:]}"


def _without(document: Document, name: str) -> str:
    text, piece = document.text, document.root.get(name) if document.root is not None else None
    if piece is None or piece.key is None or piece.key.column:
        return text
    end = text.find("\n", _span(document, piece)[1])
    return text[: piece.key.index] + (text[end + 1 :] if end >= 0 else "")


def _span(document: Document, piece: Piece) -> tuple[int, int]:
    """Return where a value begins and ends; a list in lines seems to go on until the next key, comments included."""
    assert piece.start is not None
    assert piece.end is not None
    lines = document.text[piece.start.index : piece.end.index].split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return piece.start.index, piece.start.index + len("\n".join(lines))


def _as_yaml(value: Any) -> str:
    from vflow.engine.pieces import scalar

    if isinstance(value, dict):
        return "{" + ", ".join(f"{_as_yaml([one])[1:-1]}: {json.dumps(key)}" for one, key in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(v if _SAFE_IN_LIST.fullmatch(v) and scalar(v) == v else json.dumps(v) for v in value)}]"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and scalar(value) == value and value[-1] != ":" else json.dumps(value)
    return json.dumps(value)


def _write(path: Path, text: str) -> None:
    """Write the file whole or not at all; a link to it (settings kept in a repository) stays a link."""
    path = path.resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
    except OSError as error:
        raise Failure(f"your settings cannot be written: {error}", "give yourself the right to write there") from error
    finally:
        partial.unlink(missing_ok=True)
