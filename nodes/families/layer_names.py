"""How other programs name the linear layers of a transformer, and under which names adapters' files hold them.

Light: a file's header is enough to tell what it is an adapter of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from vflow.engine.problems import Failure

#: (names here, names there), each a template
Pairs = tuple[tuple[str, str], ...]

#: under this key of a file's metadata stand the ranks of the layers that were fused in it: {fused layer: [rank, ...]}
FUSED = "vflow_fused"

#: what programs write before a layer's name; taken off as long as there is one
_PREFIX = re.compile(
    r"(?:base_model\.model\.|(?:model\.)?diffusion_model\.|transformer\.|unet\.|lora_(?:unet|transformer)_|lycoris_)"
)
_TAIL = re.compile(
    r"(?P<layer>.+?)[._]lora(?:_|\.|_linear_layer\.)(?:(?P<down>A|down)|(?P<up>B|up))"
    r"(?:\.(?!weight$|bias$)\w+)?(?:\.weight)?"
)
_ALPHA = re.compile(r"(?P<layer>.+)\.(?:lora_)?alpha")
_DORA = re.compile(r".+\.(?:dora_scale|lora_magnitude_vector)\b.*")
_GROUP = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Written:
    """One layer of a low-rank adapter as a file holds it: the keys of its tensors. `alpha` is empty where it is told
    elsewhere.
    """

    layer: str
    down: str
    up: str
    alpha: str = ""


@dataclass(frozen=True)
class Place:
    """Where another program has a layer: its name there, and of which layers here that one is made, in order."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class LayerNames:
    """The linear layers of a family's transformer, as diffusers and as the original code name them.

    Pairs of templates: `#` stands for a number, `{a,b}` for each of several texts. Where both sides come to equally
    many names, they belong together one by one; where there is one name on the right, the layers on the left are fused
    there, one after the other along their outputs. An empty right side: the names are the same.

    `comfyui` are the names by which ComfyUI knows them; `others` are more that files of other programs use.
    """

    comfyui: Pairs = ()
    others: Pairs = ()
    _places: dict[str, Place | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def place(self, layer: str) -> Place | None:
        """Return where ComfyUI has a layer of ours; None where that is not known."""
        if layer not in self._places:
            self._places[layer] = next(self._placed(layer), None)
        return self._places[layer]

    def ours(self, written: str) -> tuple[str, ...]:
        """Return the layers here that a name in a file stands for, in order; () where it is not known.

        Names are taken as diffusers, ComfyUI and others write them, also with `_` for every `.`.
        """
        for pattern, templates in self._read:
            if found := pattern.fullmatch(written):
                return tuple(_filled(template, found.groups()) for template in templates)
        return ()

    def _placed(self, layer: str) -> Iterator[Place]:
        for pattern, members, name in self._placing:
            if found := pattern.fullmatch(layer):
                numbers = found.groups()
                yield Place(_filled(name, numbers), tuple(_filled(member, numbers) for member in members))

    @cached_property
    def _placing(self) -> list[tuple[re.Pattern[str], tuple[str, ...], str]]:
        return [(_pattern(member, r"\."), members, name) for members, name in _rows(self.comfyui) for member in members]

    @cached_property
    def _read(self) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
        rows = [*_rows(self.comfyui), *_rows(self.others)]
        known: dict[str, tuple[str, ...]] = {member: (member,) for members, _ in rows for member in members}
        known |= {name: members for members, name in reversed(rows) if name not in known}
        return [(_pattern(name, r"[._]"), members) for name, members in known.items()]


def written_layers(keys: Iterable[str]) -> dict[str, Written]:
    """Sort the keys of an adapter's file by layer; the layers' names are those of the file, without their prefix.

    Raises:
        Failure: it holds something besides plain low-rank layers, or a layer is not whole; says what.
    """
    found: dict[str, dict[str, str]] = {}
    for key in sorted(keys):
        layer, role = _read_key(key)
        if role in found.setdefault(layer, {}):
            raise Failure(f"it holds the layer {layer} twice ({key})", "give a file with one adapter in it")
        found[layer][role] = key
    for layer, roles in found.items():
        if missing := {"down", "up"} - roles.keys():
            names = {"down": "lora_A (lora_down)", "up": "lora_B (lora_up)"}
            raise Failure(f"the layer {layer} has no {names[min(missing)]}", "give the whole file")
    return {layer: Written(layer, **roles) for layer, roles in found.items()}


def bare(name: str) -> str:
    """Return the name of a layer without what programs write before it."""
    while found := _PREFIX.match(name):
        name = name[found.end() :]
    return name


def fused_ranks(texts: Mapping[str, str]) -> dict[str, list[int]]:
    """Return what a file's metadata say of the layers fused in it: the rank of each member, 0 for one not adapted.

    Raises:
        Failure: they are damaged.
    """
    try:
        found = json.loads(texts.get(FUSED, "{}"))
        return {str(name): [int(rank) for rank in ranks] for name, ranks in found.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Failure(f"its metadata are damaged: {FUSED}: {error}", "give an undamaged file") from error


def metadata_of(texts: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Split the settings in an adapter's metadata: the prefix of the transformer's, and those without it.

    A file may hold several networks; the settings of the others are left out. Without any, `("", {})`.
    """
    for prefix in ("transformer.", "unet.", "diffusion_model.", ""):
        found = {key.removeprefix(prefix): value for key, value in texts.items() if key.startswith(prefix)}
        if "r" in found:
            return prefix, found
    return "", {}


def _read_key(key: str) -> tuple[str, str]:
    """Return the layer and which of its tensors it is: `down`, `up` or `alpha`."""
    if _DORA.fullmatch(key):
        raise Failure(
            f"it is a DoRA ({key}), which scales the weights it is put on and is not loaded here",
            "train it as plain LoRA, or merge it into the model",
        )
    if tail := _TAIL.fullmatch(key):
        return bare(tail["layer"]), "down" if tail["down"] else "up"
    if alpha := _ALPHA.fullmatch(key):
        return bare(alpha["layer"]), "alpha"
    raise Failure(f"{key!r} is no LoRA weight", "give a plain LoRA of the transformer's linear layers")


def _rows(pairs: Pairs) -> Iterator[tuple[tuple[str, ...], str]]:
    for ours, theirs in pairs:
        left, right = _expanded(ours), _expanded(theirs or ours)
        if len(right) == 1:
            yield left, right[0]
        else:
            yield from (((one,), other) for one, other in zip(left, right, strict=True))


def _expanded(template: str) -> tuple[str, ...]:
    parts = _GROUP.split(template)
    choices = [part.split(",") if number % 2 else [part] for number, part in enumerate(parts)]
    return tuple("".join(choice) for choice in product(*choices))


def _pattern(template: str, dot: str) -> re.Pattern[str]:
    escaped = {"#": r"(\d+)", ".": dot, "_": "_"}
    return re.compile("".join(escaped.get(letter) or re.escape(letter) for letter in template))


def _filled(template: str, numbers: tuple[str, ...]) -> str:
    for number in numbers:
        template = template.replace("#", number, 1)
    return template
