"""What the inspector says of a field: where its value comes from, what it takes, and the help for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from vflow.engine.forms import Field, Form, Origin
from vflow.engine.inline import shown
from vflow.engine.outline import PortView

_EMPTY = " | empty"
_BETWEEN = re.compile(r"^at least (\S+), at most (\S+)")
_ENDLESS = re.compile(r"[0-9]{10}")


def origin_of(field: Field) -> str:
    """Return in few words what set a value: `file`, `profile tiny`, `${rank} in tiny`; "" for the default."""
    first, *rest = field.origins
    if first.kind != "parameter":
        return _giver(first)
    by = rest[0] if rest else None
    if by is not None and by.kind in ("profile", "set"):
        return f"${{{first.name}}} {'by --set' if by.kind == 'set' else f'in {by.name}'}"
    return f"${{{first.name}}}"


def _giver(origin: Origin) -> str:
    if origin.kind in ("profile", "extends"):
        return f"profile {origin.name}" if origin.kind == "profile" else f"from {PurePath(origin.name).name}"
    return {"file": "file", "set": "--set", "parameter": f"${{{origin.name}}}"}.get(origin.kind, "")


def chain_of(field: Field) -> str:
    """Return what gives the setting its value, and over what: `${steps}: 24 by profile tiny over default: 2000`."""
    first, *rest = field.origins
    parts = [_with_value(first, field)]
    if first.kind == "parameter" and rest and rest[0].kind != "default":
        by = rest.pop(0)
        parts[0] += f" by {'the file' if by.kind == 'file' else _giver(by).removeprefix('from ')}"
    for origin in rest:
        if origin.kind != "default":
            parts.append(_with_value(origin, field))
        elif field.words and not field.required:
            is_group = field.kind in ("group", "union")
            parts.append("the default" if is_group else f"default: {shown(field.default)}")
    return " over ".join(parts)


def _with_value(origin: Origin, field: Field) -> str:
    return _giver(origin) if field.kind in ("group", "union") else f"{_giver(origin)}: {origin.text or 'no value'}"


def takes_words(field: Field) -> str:
    """Return what a setting takes: type, unit and bounds."""
    kind = field.words.removesuffix(_EMPTY)
    if field.unit:
        kind += f" of {field.unit}" if field.kind == "int" else f", in {field.unit}"
    return ", ".join(filter(None, (kind + _EMPTY * field.words.endswith(_EMPTY), field.bounds)))


def _takes_briefly(field: Field) -> str:
    """Return the same in fewer words: what an editor shows by itself, and bounds that nobody reaches, are left out."""
    if field.kind == "bool":
        return ""
    kind = field.words.removesuffix(_EMPTY)
    found = _BETWEEN.sub(r"\1 to \2", field.bounds)
    bounds = ", ".join(one for one in found.split(", ") if one and not _ENDLESS.search(one))
    return ", ".join(filter(None, (kind, bounds)))


def default_words(field: Field) -> str:
    """Return `required`, or the default; nothing where no declaration tells."""
    if not field.words:
        return ""
    if field.required:
        return "required"
    return "" if field.kind in ("group", "union") else f"default {shown(field.default)}"


def key_mark(field: Field) -> str:
    """Return the short mark of a setting that does not enter the key."""
    return "not in the key" if field.in_key.startswith("not in the key") else ""


def hint_of(field: Field) -> list[str]:
    """Return what is said of a field in one line; the most telling first, as it may be cut."""
    parts = [key_mark(field)]
    if field.kind not in ("group", "union"):
        parts += [_takes_briefly(field), default_words(field)]
    return [part for part in (*parts, field.about) if part]


def lines_of(field: Field) -> Iterator[str]:
    """Yield all that is to be said of a field, for the one that has the cursor."""
    if field.about:
        yield field.about
    if field.words:
        yield "; ".join(filter(None, (takes_words(field), default_words(field))))
    if field.in_key:
        yield field.in_key
    if field.is_set:
        yield chain_of(field)


def port_words(port: PortView, side: str) -> str:
    """Return the type of an input (`in`) or output port, and how it counts."""
    watched = ", watched only: not in the key" if side == "in" else ", as the store holds them now"
    notes = ", optional" * port.optional + watched * port.observed
    return f"{port.words}{notes}" if port.words else "of unknown type"


def help_of_field(form: Form, field: Field) -> str:
    """Return the help for one setting as markdown."""
    rows = [("takes", takes_words(field)), ("default", "none: it is required" if field.required else "")]
    if not field.required and field.kind not in ("group", "union"):
        rows[1] = ("default", shown(field.default))
    rows += [("key", field.in_key or "part of the key: another value, another result")]
    rows += [("now", chain_of(field))] if field.is_set else []
    listed = "\n".join(f"- **{name}**: {_plain(words)}" for name, words in rows if words)
    wrong = f"\n\n**Wrong:** {_plain(field.problem)}" if field.problem else ""
    title = ".".join((form.node, *field.path))
    return f"# {_plain(title)}\n\n{field.about}\n\n{listed}{wrong}\n\n{_typing(field)}"


def help_of_port(form: Form, port: PortView, side: str) -> str:
    """Return the help for a port as markdown."""
    links = ", ".join(f"`{link}`" for link in port.links) or "nothing"
    does = f"Fed by {links}." if side == "in" else f"Feeds {links}."
    wrong = f"\n\n**Wrong:** {_plain(form.at_ports[port.name])}" if side == "in" and port.name in form.at_ports else ""
    kind = "An input" if side == "in" else "An output"
    title = f"{form.node}.{port.name}"
    return f"# {_plain(title)}\n\n{kind}: {_plain(port_words(port, side))}. {does}{wrong}\n\nEnter connects it."


def help_of_node(form: Form) -> str:
    """Return the help for a node as markdown: what its type does."""
    about = form.about or "This node type is unknown: what the file says of the node is shown as text."
    return f"# {_plain(form.node)}: {_plain(form.type or 'no type')}\n\n{about}"


def _typing(field: Field) -> str:
    how = {
        "bool": "Space switches it.",
        "choice": "Enter opens the list, left and right step through it.",
        "list": "Type entries with commas between them.",
        "mapping": "Type `name: value` with commas between them.",
        "group": "A group: its settings stand below it." + (" Space takes it in, or out." if field.optional else ""),
        "union": "The first setting below decides which others there are."
        + (" Space takes it in, or out." if field.optional else ""),
    }.get(field.kind, "Enter begins to type.")
    if field.lines:
        how = "One text a line; Tab keeps what was typed."
    more = "" if field.kind in ("bool", "group", "union") else " `${name}` puts a parameter in."
    return f"{how}{more} Delete takes it back to its default."


def _plain(text: str) -> str:
    """Return a text that markdown shows as it is."""
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>#|" else one for one in text)
