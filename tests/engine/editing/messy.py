"""Graph files as nobody should write them, drawn: every form that YAML has for the same data, and comments everywhere.

Every comment is another one (`# c17`), so that a test sees which of them are gone.
"""

import json

from hypothesis import strategies as st

from vflow.engine.document import parse
from vflow.engine.pieces import scalar

NAMES = ["a", "b", "vae", "train", "clips", "a-b", "x_2", "true", "null", "N", "_x", "no"]
PROFILES = ["tiny", "80gb", "x.y", "long-one"]
PARAMS = ["rank", "model", "p", "true"]
TYPES = ["LoadVAE", "Train", "X", "null", "a: b"]
PORTS = ["vae", "clips", "captions", "on"]
KEYS = ["steps", "lr", "size", "optimizer", "prompts", "true", "a b", "é", "16:9", "x#y", "-", "x: y", "'q'"]
WORDS = ["a", "tall grass", "é☃", "16:9", "#no", "x#y", "a: b", "- x", "yes", "null", "1e3", "${p}", "$${p}", "?"]
TEXTS = [*WORDS, "", " ", " x", "x ", "~", "true", "0x1F", "1.0", "it's", 'say "x"', "a\\b", "[a", "{a}", "*a", "&a"]
TEXTS += [
    "x ${rank} y ${p}",
    "|",
    ">-",
    "a\tb",
    "@x",
    "`",
    "%",
    "tiny://ltx2",
    "a,b",
    "---",
    "...",
    "one two three four",
]
LINED = ["one\ntwo\n", "one\n\ntwo", "one\ntwo\n\n", "# no comment\n- x: y\n", "  in\nout\n", "\none\n", "a \nb\t\n"]
NUMBERS = [0, 1, -7, 10**20, 0.5, 1e-4, -0.0, 1e22, 5e-324, float("inf"), True, False, None]


class Writer:
    """Writes plain data as YAML, in forms that `rng` chooses; `notes` counts the comments."""

    def __init__(self, rng, aliases=False):
        self.rng, self.notes = rng, 0
        self.anchors = 0 if aliases else None
        self.known = []

    def maybe(self, chance=0.3):
        return self.rng.random() < chance

    def comment(self):
        self.notes += 1
        return f"# c{self.notes} " + self.rng.choice(["", "x: y", "'", "- a", "{", "a # b"])

    def behind(self):
        """What stands behind a value in its line."""
        if self.maybe(0.2):
            return self.rng.choice([" ", "  ", "\t", " \t"]) + self.comment()
        return self.rng.choice(["", "", "", "", " ", "\t"])

    def between(self, column):
        """Lines between two entries."""
        lines = []
        while self.maybe(0.25):
            if self.maybe(0.4):
                lines.append(self.rng.choice(["", "", "  "]))
            else:
                indent = self.rng.choice([column, column, column, 0, column + 3])
                lines.append(" " * indent + self.comment())
        return lines

    # --- scalars -----------------------------------------------------------------------------------------------------

    def scalar(self, value, flow):
        if value is None:
            return self.rng.choice(["null", "~"])
        if isinstance(value, bool):
            return self.rng.choice(["true", "True"] if value else ["false", "FALSE"])
        if isinstance(value, float):
            return ".inf" if value == float("inf") else repr(value)
        if isinstance(value, int):
            return str(value)
        forms = [json.dumps(value, ensure_ascii=self.maybe())]
        if value.isprintable():
            forms.append("'" + value.replace("'", "''") + "'")
        if is_plain(value, flow):
            forms += [value] * 4
        return self.rng.choice(forms)

    def folded(self, value, column):
        """A text of several words over several lines."""
        words = value.split(" ")
        if len(words) < 3 or not all(word.isalpha() for word in words):
            return None
        indent = " " * (column + 2)
        inside = f"\n{indent}".join(words)
        return self.rng.choice([inside, f'"{inside}"', f"'{inside}'", f">-\n{indent}{inside}"])

    def literal(self, value, column):
        """A text with `|`; None where it cannot be written so."""
        lines = value.split("\n")
        if not value.strip() or lines[0][:1] in ("", " ", "\t") or any(c in value for c in "\t\r") or "é" in value:
            return None
        chomp = "-" if lines[-1] else "+" if not lines[-2] else self.rng.choice(["", "+"])
        indent = " " * (column + self.rng.choice([1, 2, 4]))
        head = "|" + chomp + (" " + self.comment() if self.maybe(0.1) else "")
        body = lines[:-1] if not lines[-1] else lines
        return "\n".join([head, *(indent + line if line else "" for line in body)])

    # --- in brackets -------------------------------------------------------------------------------------------------

    def flow(self, value, column):
        if not isinstance(value, (dict, list)):
            return self.scalar(value, True)
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        if isinstance(value, dict):
            parts = [f"{self.key(name, True)}: {self.flow(one, column)}" for name, one in value.items()]
        else:
            parts = [self.flow(one, column) for one in value]
        if not parts:
            return opening + self.rng.choice(["", " "]) + closing
        style = self.rng.choice(["tight", "loose", "lines"] if self.maybe() else ["tight"])
        if style != "lines":
            gap = " " if style == "loose" else ""
            return opening + gap + self.rng.choice([", ", " , ", ","]).join(parts) + gap + closing
        indent = "\n" + " " * (column + self.rng.choice([1, 2, 4]))
        text = opening + (" " + self.comment() if self.maybe(0.2) else "")
        for number, part in enumerate(parts):
            comma = "," if number + 1 < len(parts) or self.maybe() else ""
            text += indent + part + comma + (" " + self.comment() if self.maybe(0.2) else "")
        return text + "\n" + " " * (column + 1) + closing

    def key(self, name, flow):
        forms = [f'"{name}"', "'" + name.replace("'", "''") + "'"]
        if is_plain(name, True):
            forms += [name] * 6
        return self.rng.choice(forms)

    # --- in lines ----------------------------------------------------------------------------------------------------

    def value(self, value, column, depth=0):
        """What stands behind a key's colon, from the blank on, with all lines below; the key stands at a column."""
        anchor = ""
        if self.anchors is not None:
            same = [name for name, known in self.known if repr(known) == repr(value)]
            if same and self.maybe(0.7):
                return f" *{self.rng.choice(same)}{self.behind()}"
            if self.maybe(0.15):
                self.anchors += 1
                anchor = f" &k{self.anchors}"
                self.known.append((f"k{self.anchors}", value))
        if value is None and self.maybe(0.3):
            return anchor + self.behind()
        if isinstance(value, (dict, list)) and value and (depth < 2 or self.maybe(0.5)) and self.maybe(0.85):
            step = self.rng.choice([2, 2, 2, 1, 4])
            if isinstance(value, list) and self.maybe(0.3):
                step = 0
            lines = self.lines(value, column + step, depth)
            return "\n".join([anchor + self.behind(), *lines])
        if isinstance(value, str):
            for form in (self.folded, self.literal):
                if self.maybe(0.4) and (text := form(value, column)):
                    # behind a text with `|` a comment would be a part of it
                    return f"{anchor} {text}" + ("" if text[0] in "|>" else self.behind())
        gap = f"\n{' ' * (column + 3)}" if self.maybe(0.05) else " "
        return anchor + gap + self.flow(value, column) + self.behind()

    def lines(self, value, column, depth):
        lines = []
        if isinstance(value, dict):
            for name, one in value.items():
                lines += self.between(column)
                colon = self.rng.choice([":", ":", ":", " :"])
                lines += (" " * column + self.key(name, False) + colon + self.value(one, column, depth + 1)).split("\n")
        else:
            for one in value:
                lines += self.between(column)
                if isinstance(one, dict) and one and self.maybe():
                    inner = self.lines(one, column + 2, depth + 3)
                    while not inner[0].strip() or inner[0].lstrip().startswith("#"):
                        inner.pop(0)
                    lines += [" " * column + "- " + inner[0].lstrip(), *inner[1:]]
                else:
                    lines += (" " * column + "-" + self.value(one, column, depth + 2)).split("\n")
        return lines

    def file(self, data):
        body = self.flow(data, 0).split("\n") if self.maybe(0.05) else self.lines(data, 0, 0)
        lines = [*self.between(0), *(["---"] if self.maybe(0.1) else []), *body, *self.between(0)]
        if self.maybe(0.1):
            lines += ["...", *self.between(0)]
        text = "\n".join(lines) + self.rng.choice(["\n", "\n", "\n", "", "\n\n"])
        if self.maybe(0.2):
            text = text.replace("\n", "\r\n")
        return text


def is_plain(text, flow):
    """Tell whether a text may stand without quotes, asking the parser."""
    if not text or text != text.strip() or "\n" in text or not isinstance(scalar(text), str):
        return False
    around = f"k: [{text}, {{{text}: {text}}}]\n" if flow else f"k: {text}\n"
    document = parse(around)
    if document.problems or document.root is None:
        return False
    return document.root.plain() == ({"k": [text, {text: text}]} if flow else {"k": text})


def some(rng, names, most):
    return rng.sample(names, rng.randint(0, min(most, len(names))))


def value(rng, depth=0):
    kind = rng.choice(
        ["text", "text", "lined", "number", "number", "list", "mapping"] if depth < 2 else ["text", "number"]
    )
    if kind == "text":
        return rng.choice(TEXTS)
    if kind == "lined":
        return rng.choice(LINED)
    if kind == "number":
        return rng.choice(NUMBERS)
    if kind == "list":
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return {name: value(rng, depth + 1) for name in some(rng, KEYS, 4)}


def link(rng, names):
    node = rng.choice(names or ["gone"])
    return node + rng.choice(["", "", ".out", ".clips"])


def node(rng, names, full=True):
    described = {"type": rng.choice(TYPES)} if full else {}
    if rng.random() < 0.6:
        ports = some(rng, PORTS, 4)
        several = [[link(rng, names) for _ in range(rng.randint(1, 3))] for _ in ports]
        described["inputs"] = {p: one if rng.random() < 0.3 else one[0] for p, one in zip(ports, several, strict=True)}
    if rng.random() < 0.2:
        described["disabled"] = rng.random() < 0.5
    return described | {name: value(rng) for name in some(rng, KEYS, 4)}


def graph(rng):
    """Return the plain data of a graph: some sections may be empty, or not there."""
    names = some(rng, NAMES, 7)
    data = {"vflow": 1}
    if rng.random() < 0.5:
        data["name"] = "g"
    if rng.random() < 0.6:
        data["params"] = {
            name: value(rng) if rng.random() < 0.5 else {"default": value(rng), "help": rng.choice(TEXTS)}
            for name in some(rng, PARAMS, 3)
        }
        for name, given in data["params"].items():
            if isinstance(given, dict) and "help" not in given:
                data["params"][name] = {"default": given}
    if rng.random() < 0.6:
        data["profiles"] = {}
        for profile in some(rng, PROFILES, 3):
            inside = {}
            if rng.random() < 0.3:
                inside["about"] = rng.choice(TEXTS)
            if rng.random() < 0.4:
                inside["params"] = {name: value(rng, 2) for name in some(rng, sorted(data.get("params", {})), 2)}
            if rng.random() < 0.7:
                inside["nodes"] = {name: node(rng, names, False) for name in some(rng, names, 3)}
                if rng.random() < 0.3:
                    inside["nodes"]["extra"] = node(rng, names)
            if rng.random() < 0.3:
                inside["outputs"] = {"more": link(rng, names)}
            data["profiles"][profile] = inside
    if rng.random() < 0.95:
        data["nodes"] = {name: node(rng, names) for name in names} if names or rng.random() < 0.7 else None
    if rng.random() < 0.7:
        data["outputs"] = {name: link(rng, names) for name in some(rng, ["lora", "videos", "null"], 2)}
    if rng.random() < 0.2:
        keys = rng.sample(list(data), len(data))
        data = {key: data[key] for key in keys}
    return data


@st.composite
def messy(draw, aliases=False):
    """Draw the text of a graph, written in many ways."""
    rng = draw(st.randoms(use_true_random=False))
    data = graph(rng)
    return Writer(rng, aliases).file(data), data
