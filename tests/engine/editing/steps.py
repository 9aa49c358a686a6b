"""Random edits: each with what it should do to the plain data, written down a second time and as simply as can be."""

import copy
import re
from dataclasses import dataclass, field

from tests.engine.editing.messy import KEYS, PORTS, link, node, value
from vflow.engine.editing import edits

FRESH = ["fresh", "more_2", "yes", "zz-top", "False"]


@dataclass
class Step:
    """An edit: `change` of the text, `data` as it should be afterwards (or one of `or_else`), and the paths at which
    lines may change.
    """

    name: str
    change: object
    data: dict
    touched: list = field(default_factory=list)
    or_else: list = field(default_factory=list)


def nodes_of(data):
    """Every place where something is said of a node: (path of the section, name)."""
    sections = [("nodes",), *(("profiles", name, "nodes") for name in data.get("profiles") or {})]
    return [(path, name) for path in sections for name in get(data, path) or {}]


def get(data, path):
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    return data


def node_names(data):
    return list(dict.fromkeys(name for _, name in nodes_of(data)))


def home(data, name, profile=None):
    if profile is not None:
        return ("profiles", profile, "nodes", name)
    if name in (data.get("nodes") or {}):
        return ("nodes", name)
    return next(
        ((*path, one) for path, one in nodes_of(data) if one == name and "type" in (get(data, path)[one] or {})), None
    )


def put(data, path, new):
    for step in path[:-1]:
        if not isinstance(data.get(step), dict):
            data[step] = {}
        data = data[step]
    data[path[-1]] = new


def drop(data, path, keep):
    """Remove what is at a path, and then what is empty above it, down to the first `keep` steps."""
    del get(data, path[:-1])[path[-1]]
    for length in range(len(path) - 1, keep, -1):
        if get(data, path[:length]) == {}:
            del get(data, path[: length - 1])[path[length - 1]]
        else:
            return


def kept_of(data, own):
    return len(own) if "type" in (get(data, own) or {}) else (1 if own[0] == "nodes" else 2)


def linked(data, change):
    """Put `change` to every link: what it returns, or nothing."""
    for path, name in nodes_of(data):
        own = (*path, name)
        ports = get(data, (*own, "inputs")) or {}
        for port in list(ports):
            old = ports[port] if isinstance(ports[port], list) else [ports[port]]
            new = [found for one in old if (found := change(one)) is not None]
            if new == old:
                continue
            if new:
                ports[port] = new if isinstance(ports[port], list) else new[0]
            else:
                drop(data, (*own, "inputs", port), kept_of(data, own))
    for path in [("outputs",), *(("profiles", name, "outputs") for name in data.get("profiles") or {})]:
        found = get(data, path) or {}
        for name in list(found):
            new = change(found[name])
            if new is None:
                drop(data, (*path, name), 1 if len(path) == 1 else 2)
            else:
                found[name] = new


def renamed(mapping, old, new):
    pairs = [(new if name == old else name, value) for name, value in mapping.items()]
    mapping.clear()
    mapping.update(pairs)


def is_of(node):
    return lambda one: one.split(".")[0] == node


# --- the edits -------------------------------------------------------------------------------------------------------


def add_node(rng, data):
    name = rng.choice([name for name in FRESH if name not in node_names(data)] or ["last_one"])
    made = node(rng, node_names(data))
    after = rng.choice([None, *(data.get("nodes") or {})])
    settings = {key: one for key, one in made.items() if key not in ("type", "inputs", "disabled")}
    if name in node_names(data):
        return None
    put(
        data,
        ("nodes", name),
        {"type": made["type"], **({"inputs": made["inputs"]} if made.get("inputs") else {}), **settings},
    )
    return Step(
        f"add {name} after {after}",
        lambda text: edits.add_node(text, name, made["type"], made.get("inputs", {}), settings, after),
        data,
        [("nodes", name)],
    )


def delete_node(rng, data):
    if not (names := node_names(data)):
        return None
    name, unlink = rng.choice(names), rng.random() < 0.5
    if home(data, name) is None:
        return None
    gone = [(*path, one) for path, one in nodes_of(data) if one == name]
    for path in gone:
        drop(data, path, 1 if path[0] == "nodes" else 2)
    touched = [path[:length] for path in gone for length in range(2, len(path) + 1)] + [("nodes", name)]
    if unlink:
        touched += linked_at(data, name)
        linked(data, lambda one: None if is_of(name)(one) else one)
    return Step(f"delete {name} {unlink}", lambda text: edits.delete_node(text, name, unlink=unlink), data, touched)


def linked_at(data, node):
    """The paths of the nodes and outputs in which a node is linked."""
    found = []
    for path, name in nodes_of(data):
        if re.search(rf"'{re.escape(node)}[.']", repr((get(data, (*path, name)) or {}).get("inputs"))):
            found.append((*path, name))
    for path in [("outputs",), *(("profiles", name, "outputs") for name in data.get("profiles") or {})]:
        found += [(*path, name) for name, one in (get(data, path) or {}).items() if is_of(node)(one)]
        found += [path] if len(path) > 1 else []
    return found


def rename_node(rng, data):
    if not (names := node_names(data)):
        return None
    old, new = rng.choice(names), rng.choice(FRESH)
    if new in names or home(data, old) is None:
        return None
    touched = linked_at(data, old)
    for path, name in nodes_of(data):
        if name == old:
            touched.append((*path, name))
            renamed(get(data, path), old, new)
    linked(data, lambda one: new + one[len(old) :] if is_of(old)(one) else one)
    return Step(f"rename {old} to {new}", lambda text: edits.rename_node(text, old, new), data, touched)


def duplicate_node(rng, data):
    if not (names := node_names(data)):
        return None
    old, new = rng.choice(names), rng.choice(FRESH)
    if new in names or home(data, old) is None:
        return None
    touched = []
    for path, name in nodes_of(data):
        if name == old:
            get(data, path)[new] = copy.deepcopy(get(data, path)[old])
            touched.append((*path, new))
    return Step(f"duplicate {old} as {new}", lambda text: edits.duplicate_node(text, old, new), data, touched)


def connect(rng, data):
    if not (names := node_names(data)):
        return None
    name, port, many = rng.choice(names), rng.choice(PORTS), rng.random() < 0.4
    new = link(rng, names)
    if (own := home(data, name)) is None:
        return None
    path = (*own, "inputs", port)
    old = get(data, path)
    listed = old if isinstance(old, list) else [old] if old else []
    if many:
        put(data, path, listed if new in listed else [*listed, new])
    else:
        put(data, path, new)
    return Step(
        f"connect {new} {path} {many}", lambda text: edits.connect(text, name, port, new, many=many), data, [path]
    )


def disconnect(rng, data):
    found = [(path, name, port) for path, name in nodes_of(data) for port in get(data, (*path, name, "inputs")) or {}]
    found = [one for one in found if home(data, one[1]) == (*one[0], one[1])]
    if not found:
        return None
    section, name, port = rng.choice(found)
    path = (*section, name, "inputs", port)
    old = get(data, path)
    given = None if rng.random() < 0.5 else rng.choice(old if isinstance(old, list) else [old])
    left = [one for one in old if given is not None and one != given] if isinstance(old, list) else []
    if left:
        put(data, path, left)
    else:
        drop(data, path, kept_of(data, path[:-2]))
    return Step(f"disconnect {given} {path}", lambda text: edits.disconnect(text, name, port, given), data, [path[:-1]])


def some_place(rng, data):
    """Return a node, and a profile or None, with where that is edited; None where there is none."""
    names = [name for name in node_names(data) if home(data, name)]
    if not names:
        return None
    name = rng.choice(names)
    profile = rng.choice([None, None, *(data.get("profiles") or {})])
    return name, profile, home(data, name, profile)


def set_disabled(rng, data):
    if (place := some_place(rng, data)) is None:
        return None
    name, profile, own = place
    disabled = rng.random() < 0.5
    step = Step(
        f"disabled {place} {disabled}",
        lambda text: edits.set_disabled(text, name, disabled, profile=profile),
        data,
        [(*own, "disabled")],
    )
    if disabled or profile is not None:
        put(data, (*own, "disabled"), disabled)
    elif "disabled" in get(data, own) and get(data, own)["disabled"] is not False:
        with_comment = copy.deepcopy(data)
        put(with_comment, (*own, "disabled"), False)  # so that a comment at it stays
        step.or_else = [with_comment]
        del get(data, own)["disabled"]
    return step


def set_setting(rng, data):
    if (place := some_place(rng, data)) is None:
        return None
    name, profile, own = place
    path = tuple(rng.choice(KEYS) for _ in range(rng.choice([1, 1, 1, 2, 3])))
    for length in range(1, len(path)):
        found = get(data, (*own, *path[:length]))
        if found is not None and not isinstance(found, dict):
            path = path[:length]
            break
    new = value(rng)
    put(data, (*own, *path), copy.deepcopy(new))
    return Step(
        f"set {place} {path} = {new!r}",
        lambda text: edits.set_setting(text, name, path, new, profile=profile),
        data,
        [(*own, *path)],
    )


def reset_setting(rng, data):
    if (place := some_place(rng, data)) is None:
        return None
    name, profile, own = place
    settings = [key for key in get(data, own) or {} if key not in ("type", "inputs", "disabled")]
    if not settings:
        return None
    path = (rng.choice(settings),)
    while isinstance(inside := get(data, (*own, *path)), dict) and inside and rng.random() < 0.7:
        path = (*path, rng.choice(list(inside)))
    touched = [own[:length] for length in range(kept_of(data, own) + 1, len(own) + 1)]
    touched += [(*own, *path[:length]) for length in range(1, len(path) + 1)]
    drop(data, (*own, *path), kept_of(data, own))
    return Step(
        f"reset {place} {path}", lambda text: edits.reset_setting(text, name, path, profile=profile), data, touched
    )


def set_param(rng, data):
    known = list(data.get("params") or {})
    profile = rng.choice([None, *(data.get("profiles") or {})])
    if profile is not None and not known:
        profile = None
    name = rng.choice(known if profile is not None else [*known, "made"])
    path = ("params", name) if profile is None else ("profiles", profile, "params", name)
    new = value(rng)
    if isinstance(get(data, path), dict):
        put(data, (*path, "default"), copy.deepcopy(new))
    else:
        put(data, path, {"default": copy.deepcopy(new)} if isinstance(new, dict) else copy.deepcopy(new))
    return Step(f"param {path} = {new!r}", lambda text: edits.set_param(text, name, new, profile=profile), data, [path])


def params_of(data, name):
    paths = [("params", name), *(("profiles", one, "params", name) for one in data.get("profiles") or {})]
    return [path for path in paths if name in (get(data, path[:-1]) or {})]


def remove_param(rng, data):
    if not (known := list(data.get("params") or {})):
        return None
    name = rng.choice(known)
    gone = params_of(data, name)
    for path in gone:
        drop(data, path, len(path) - 2)
    touched = [path[:length] for path in gone for length in (len(path) - 1, len(path))]
    return Step(f"remove param {name}", lambda text: edits.remove_param(text, name), data, touched)


def rename_param(rng, data):
    if not (known := list(data.get("params") or {})) or "made_up" in known:
        return None
    old = rng.choice(known)
    touched = params_of(data, old)
    for path in touched:
        renamed(get(data, path[:-1]), old, "made_up")

    def follow(one):
        if isinstance(one, str):
            return re.sub(rf"(?<!\$)\$\{{{re.escape(old)}\}}", "${made_up}", one)
        if isinstance(one, list):
            return [follow(inner) for inner in one]
        return {name: follow(inner) for name, inner in one.items()} if isinstance(one, dict) else one

    for path, name in nodes_of(data):
        described = get(data, path)[name]
        for key in described or {}:
            if key not in ("type", "inputs", "disabled"):
                described[key] = follow(described[key])
        touched.append((*path, name))
    return Step(f"rename param {old}", lambda text: edits.rename_param(text, old, "made_up"), data, touched)


def declare_param(rng, data):
    name = rng.choice([*(data.get("params") or {}), "made"])
    told = rng.choice([{"help": "What, it: is."}, {"min": 1, "max": 2.5}, {"choices": ["a", "b"]}, {"help": None}, {}])
    old = get(data, ("params", name))
    is_there = name in (data.get("params") or {})
    long = old if isinstance(old, dict) else {"default": old} if is_there else {}
    long = {key: one for key, one in {**long, **told}.items() if one is not None or key == "default"}
    put(data, ("params", name), long)
    return Step(
        f"declare {name} {told}", lambda text: edits.declare_param(text, name, **told), data, [("params", name)]
    )


def profiles(rng, data):
    known, kind = list(data.get("profiles") or {}), rng.choice(["add", "remove", "rename"])
    if kind == "add" and "new.one" not in known:
        about = rng.choice(["", "What it: is for."])
        put(data, ("profiles", "new.one"), {"about": about} if about else {})
        return Step(
            "add profile", lambda text: edits.add_profile(text, "new.one", about), data, [("profiles", "new.one")]
        )
    if not known:
        return None
    name = rng.choice(known)
    if kind == "remove":
        drop(data, ("profiles", name), 0)
        touched = [("profiles",), ("profiles", name)]
        return Step(f"remove {name}", lambda text: edits.remove_profile(text, name), data, touched)
    if "another" in known:
        return None
    renamed(data["profiles"], name, "another")
    touched = [("profiles", name)]
    return Step(f"rename {name}", lambda text: edits.rename_profile(text, name, "another"), data, touched)


def outputs(rng, data):
    kind = rng.choice(["set", "remove", "rename"])
    if kind == "set":
        name, new = rng.choice([*(data.get("outputs") or {}), "lora"]), link(rng, node_names(data))
        put(data, ("outputs", name), new)
        return Step(f"output {name}", lambda text: edits.set_output(text, name, new), data, [("outputs", name)])
    paths = [("outputs",), *(("profiles", one, "outputs") for one in data.get("profiles") or {})]
    known = [(*path, name) for path in paths for name in get(data, path) or {}]
    if not known:
        return None
    name = rng.choice(known)[-1]
    found = [path for path in known if path[-1] == name]
    if kind == "rename":
        if any(path[-1] == "other" for path in known):
            return None
        for path in found:
            renamed(get(data, path[:-1]), name, "other")
        return Step(f"rename output {name}", lambda text: edits.rename_output(text, name, "other"), data, found)
    for path in found:
        drop(data, path, 1 if len(path) == 2 else 2)
    touched = [path[:length] for path in found for length in (len(path) - 1, len(path))]
    return Step(f"remove output {name}", lambda text: edits.remove_output(text, name), data, touched)


def replace_node(rng, data):
    names = [name for name in node_names(data) if home(data, name)]
    if not names:
        return None
    name = rng.choice(names)
    steps, number = rng.choice([("1", 1), ("-0.5", -0.5), ("~", None), ("yes", "yes")])
    new = {"type": rng.choice(["Y", "Z"]), "steps": number, "list": ["a", {"b": 1}]}
    raw = rng.choice(
        [
            f"# about\ntype: {new['type']}\n\nsteps: {steps} # here\nlist:\n- a\n- b: 1\n  # end\n",
            f"{{type: {new['type']},\n steps: {steps}, list: [a, {{b: 1}}]}}",
            f"type: {new['type']}\r\nsteps: {steps}\r\nlist: [a, b: 1]",
        ]
    )
    own = home(data, name)
    put(data, own, new)
    return Step(f"replace {name} {raw!r}", lambda text: edits.replace_node(text, name, raw), data, [own])


ALL = [
    add_node,
    delete_node,
    rename_node,
    duplicate_node,
    connect,
    disconnect,
    set_disabled,
    set_setting,
    reset_setting,
]
ALL += [set_param, remove_param, rename_param, declare_param, profiles, outputs, replace_node, set_setting]


def some_step(rng, data):
    """Return a random edit of a graph with this data; it always finds one."""
    while True:
        step = rng.choice(ALL)(rng, copy.deepcopy(data))
        if step is not None:
            return step
