"""An adapter's file: where it lies, what it is, and its copy in the store."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, GraphError, suggest
from vflow.engine.values import Blob
from vflow.nodes.families import families, family
from vflow.nodes.models import hub
from vflow.nodes.models.headers import Header, read_header
from vflow.nodes.values import Adapter

if TYPE_CHECKING:
    from vflow.engine.context import Context

_USUAL = "pytorch_lora_weights.safetensors"
_SUFFIX = ".safetensors"
_DOWN = re.compile(r"(.+)\.(?:lora_A|lora_down|lora\.down)(?:\.\w+)?\.weight")


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
        GraphError: it is no adapter, or it is not clear of which family.
    """
    try:
        header = read_header(path)
    except Failure as error:
        raise GraphError(error.message, error.remedy) from error
    down = {layer[1]: shape for key, shape in header.shapes.items() if (layer := _DOWN.fullmatch(key))}
    if not down:
        raise GraphError(f"{path} holds no LoRA", "give the adapter's own file")
    name = family(family_name).name if family_name else recognised(down, path)
    rank = max(shape[0] for shape in down.values())
    return Adapter(blob=_stored(path, context), family=name, rank=rank, step=_step(header))


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


def recognised(down: Mapping[str, tuple[int, ...]], path: Path) -> str:
    """Return the one family in which every adapted layer is a LoRA target, by name and shape of the layers' A.

    Where the names fit several, the layers' inputs decide.

    Raises:
        GraphError: no family fits, or several do.
    """
    bare = {re.sub(r"^(transformer|diffusion_model)\.", "", layer) for layer in down}
    fitting = [
        name
        for name, known in families().items()
        if all(any(re.fullmatch(t.pattern, layer) for t in known.lora_targets.values()) for layer in bare)
    ]
    if len(fitting) > 1:
        inputs = {shape[-1] for shape in down.values()}
        fitting = [name for name in fitting if inputs & family(name).widths] or fitting
    if len(fitting) == 1:
        return fitting[0]
    told = f"fits several families: {', '.join(fitting)}" if fitting else "has layers of no known family"
    raise GraphError(f"{path} {told}", f"say which with `family`: {', '.join(families())}")


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
