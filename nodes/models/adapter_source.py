"""An adapter's file: where it lies, what it is, and its copy in the store."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, GraphError, suggest
from vflow.engine.values import Blob
from vflow.nodes.families import families, family
from vflow.nodes.families.base import Family
from vflow.nodes.families.layer_names import fused_ranks, written_layers
from vflow.nodes.models import hub
from vflow.nodes.models.headers import Header, read_header
from vflow.nodes.values import Adapter

if TYPE_CHECKING:
    from vflow.engine.context import Context

_USUAL = "pytorch_lora_weights.safetensors"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Facts:
    """What a file's header tells of an adapter: its family, and the widest of its layers' ranks."""

    family: Family
    rank: int
    step: int


def find_file(source: str, file: str, context: Context) -> Path:
    """Return the adapter's file on this machine, downloaded from the hub where `source` names a repository.

    Raises:
        GraphError: there is none, or several and none is chosen.
    """
    path = Path(source).expanduser().absolute()
    if path.is_file():
        if path.suffix != _SUFFIX:
            raise GraphError(f"{path} is no {_SUFFIX} file", "only safetensors are opened; convert it")
        return path
    if path.is_dir():
        names = [str(found.relative_to(path)) for found in sorted(path.rglob(f"*{_SUFFIX}"))]
        return path / _choose(names, file, str(path))
    named = hub.NAME.fullmatch(source)
    if not named or source.startswith(("/", ".", "~")):
        raise GraphError(
            f"there is no adapter at {source!r}", "name a .safetensors file, a folder, or owner/name on the hub"
        )
    tree, _ = hub.open_tree(named["repository"], named["revision"] or "main", context)
    if isinstance(tree, hub.CachedTree):
        return find_file(str(tree.folder), file, context)
    return hub.download(tree.listing, _choose(sorted(tree.listing.files), file, source), context)


def read_adapter(path: Path, family_name: str, context: Context) -> Adapter:
    """Return the adapter in a file, which is copied into the store.

    Raises:
        GraphError: as `facts_of`.
    """
    facts = facts_of(path, family_name)
    return Adapter(blob=_stored(path, context), family=facts.family.name, rank=facts.rank, step=facts.step)


def facts_of(path: Path, family_name: str = "") -> Facts:
    """Read the header of an adapter's file.

    Raises:
        GraphError: it is no adapter, or it is not clear of which family.
    """
    known = family(family_name) if family_name else None
    try:
        header = read_header(path)
        layers = written_layers(header.shapes) if header.shapes else {}
        ranks = fused_ranks(header.metadata)
    except Failure as error:
        told = error.message if str(path) in error.message else f"{path} holds no LoRA to be loaded: {error.message}"
        raise GraphError(told, error.remedy) from error
    if not layers:
        raise GraphError(f"{path} holds no LoRA", "give the adapter's own file")
    shapes = {name: (header.shapes[layer.down], header.shapes[layer.up]) for name, layer in layers.items()}
    if flat := next((name for name, pair in shapes.items() if any(len(shape) != 2 for shape in pair)), None):
        raise GraphError(f"{path}: {flat} is no LoRA of a linear layer", "give a LoRA of linear layers")
    rank = max(max(ranks.get(name) or [down[0]]) for name, (down, _) in shapes.items())
    sizes = {size for (_, inputs), (outputs, _) in shapes.values() for size in (inputs, outputs)}
    return Facts(known or _recognised(list(shapes), sizes, path), rank, _step(header))


def _choose(names: list[str], file: str, where: str) -> str:
    if file:
        if file not in names:
            raise GraphError(f"{where} has no file {file!r}", suggest(file, names))
        return file
    weights = [name for name in names if name.endswith(_SUFFIX)]
    if _USUAL in weights:
        return _USUAL
    if len(weights) != 1:
        what = f"several adapters: {', '.join(weights)}" if weights else f"no {_SUFFIX} file"
        raise GraphError(f"{where} holds {what}", "say which with `file`")
    return weights[0]


def _recognised(layers: list[str], sizes: set[int], path: Path) -> Family:
    """Return the one family that knows every layer by name, and of whose layers some have these inputs or outputs.

    Raises:
        GraphError: no family fits, or several do.
    """
    named = [known for known in families().values() if all(_knows(known, layer) for layer in layers)]
    fitting = [known for known in named if not known.widths or sizes & known.widths]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        told = f"fits several families: {', '.join(known.name for known in fitting)}"
    elif named:
        titles = " or ".join(known.title for known in named)
        wide = " or ".join(str(size) for size in sorted(sizes))
        told = f"names its layers as {titles} does, but is of another model: they are {wide} wide"
    else:
        foreign = next((name for name in layers if not any(_knows(f, name) for f in families().values())), layers[0])
        told = f"has layers of no known family ({foreign})"
    raise GraphError(f"{path} {told}", f"say which with `family`: {', '.join(families())}")


def _knows(known: Family, layer: str) -> bool:
    targets = known.lora_targets.values()
    return bool(known.layer_names.ours(layer)) or any(re.fullmatch(target.pattern, layer) for target in targets)


def _stored(path: Path, context: Context) -> Blob:
    """Copy the file into the store, unless it is there."""
    blob = Blob(digest=context.digest_of(path), size=path.stat().st_size, suffix=_SUFFIX)
    context.pin(f"file {path.name}", blob.digest)
    try:
        context.blob_path(blob)
    except Failure:
        with context.scratch() as folder:
            copy = Path(shutil.copyfile(path, folder / path.name))
            return context.put(copy, _SUFFIX)
    return blob


def _step(header: Header) -> int:
    written = header.metadata.get("step", "0")
    return int(written) if written.isdecimal() else 0
