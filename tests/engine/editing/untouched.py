"""Which lines of a file an edit may change: told from the paths that it is about, by indentation, line by line."""

import re

from vflow.engine.document import parse

_BREAK = re.compile("\r\n|[\n\r]")
_COMMENT = re.compile(r"# c\d+(?!\d)")


def lost(old, new, touched):
    """Return the lines and comments of a text that an edit at these paths should have left alone, and did not.

    Lines that stay must stand in their order.
    """
    lines, root = _BREAK.split(old), parse(old).root
    changing, going = set(), set()
    for path in touched:
        around, inside = _lines_at(old, lines, root, path)
        changing |= around | inside
        going |= inside
    if not old.endswith("\n"):  # a text with `|` at the very end is kept from getting a line break
        changing |= {number for number, line in enumerate(lines) if re.search(r"[|>]\+?[ \t]*(#.*)?$", line)}
    kept = [line for number, line in enumerate(lines) if number not in changing and line.strip()]
    staying = [one for number, line in enumerate(lines) if number not in going for one in _COMMENT.findall(line)]
    found, at = [], 0
    after = _BREAK.split(new)
    for line in kept:
        try:
            at = after.index(line, at) + 1
        except ValueError:
            found.append(line)
    comments = set(_COMMENT.findall(new))
    return found + [one for one in staying if one not in comments]


def _lines_at(text, lines, root, path):
    """Return the lines that hold something else besides what is at a path, and those that hold just that."""
    pieces = [root]
    for step in path:
        if (below := pieces[-1].get(step)) is None:
            break
        pieces.append(below)
    around, inside = set(), set()
    brackets = [piece for piece in pieces[1:] if _is_in_one(text, piece)]
    if text[root.start.index : root.start.index + 1] in ("{", "["):
        brackets = [root]
    if brackets:
        around = set(range((brackets[0].key or brackets[0].start).line, brackets[0].end.line + 1))
    if len(pieces) == len(path) + 1:
        if len(pieces) > 2:
            around.add(pieces[-2].key.line)
        inside = _region(lines, pieces[-1])
    return around, inside


def _is_in_one(text, piece):
    """Tell whether a value stands in brackets, or is no mapping at all."""
    found = re.match(r"(?:&\S+\s+)?([{\[]?)", text[piece.start.index : piece.end.index])
    return type(piece.data) is not dict or bool(found and found[1])


def _region(lines, piece):
    """Return the lines of an entry, with the comments directly above it and those further in that follow it."""
    first, column = piece.key.line, piece.key.column
    last = end = max(piece.start.line, first)
    if piece.end.line > last:
        end = piece.end.line if piece.end.column else piece.end.line - 1
    end = min(end, len(lines) - 1)
    while end > last and (not lines[end].strip() or (_is_comment(lines[end]) and _indent(lines[end]) <= column)):
        end -= 1
    while end + 1 < len(lines) and (
        not lines[end + 1].strip() or (_is_comment(lines[end + 1]) and _indent(lines[end + 1]) > column)
    ):
        end += 1
    while first and _is_comment(lines[first - 1]):
        first -= 1
    return set(range(first, end + 1))


def _is_comment(line):
    return line.lstrip(" \t").startswith("#")


def _indent(line):
    return len(line) - len(line.lstrip(" \t"))
