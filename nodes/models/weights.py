"""A transformer's own weights: training them, finding trained ones in a folder, and putting them in a recipe. Light."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vflow.engine import keys
from vflow.engine.problems import GraphError
from vflow.engine.values import Blob
from vflow.nodes.families import families, recognise
from vflow.nodes.models import layout
from vflow.nodes.models.trained import Trains, without_trained
from vflow.nodes.values import Transformer, Weights

if TYPE_CHECKING:
    from vflow.engine.context import Context

_CONFIG = "config.json"


class Unfrozen(Trains):
    """The transformer's own weights train: those whose whole name matches `pattern`; the rest is frozen.

    `saved_as` is the type in which the results are kept.
    """

    does: ClassVar[str] = "trains its own weights"

    pattern: str
    saved_as: Literal["bfloat16", "float32"] = "bfloat16"

    def apply(self, module: Any, context: Context) -> Any:
        """Let the parameters require gradients.

        Raises:
            Failure: the pattern matches none.
        """
        from vflow.nodes.models import unfreezing

        return unfreezing.unfreeze(self, module)

    def undo(self, module: Any) -> bool:
        """Nothing brings weights back that were trained: the base has to be loaded again."""
        return False

    def count(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Return how many numbers the matching weights hold."""
        return sum(math.prod(shapes[name]) for name in matching(shapes, self.pattern))

    def keep(self, transformer: Transformer, module: Any, step: int, context: Context) -> Weights:
        """Save the whole network, frozen weights too, as a component folder."""
        from vflow.nodes.models import unfreezing

        with context.scratch() as folder:
            saved = unfreezing.save(module, folder, self.saved_as)
            files = tuple((file.name, context.put(file, file.suffix)) for file in saved)
        source = transformer.source
        return Weights(files=files, family=source.family, step=step, base_content=source.content)


def matching(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> list[str]:
    """Return the names of the weights whose whole name matches."""
    whole = re.compile(pattern)
    return [name for name in shapes if whole.fullmatch(name)]


def with_weights(transformer: Transformer, weights: Weights) -> Transformer:
    """Return the recipe with these weights in place of the checkpoint's, and with nothing trained on top of them.

    Raises:
        GraphError: they are of another family.
    """
    source = transformer.source
    if weights.family != source.family:
        raise GraphError(
            f"the weights are of {weights.family}, the transformer of {source.family}",
            "name a model of the family that the weights were trained on",
        )
    base = source.base or source
    network = transformer.family.folders[source.part][0]
    rest = tuple(entry for entry in base.files if not entry[0].startswith(f"{network}/"))
    others = tuple(component for component in base.components if component[0] != network)
    composed = base.model_copy(
        update={
            "content": keys.digest(["weights", base.content, weights.identity]),
            "kind": "weights",
            "files": (),
            "components": (),
            "base": base.model_copy(update={"files": rest, "components": others}),
            "weights": weights,
        }
    )
    return without_trained(transformer).model_copy(update={"source": composed})


def read_weights(folder: str, context: Context) -> Weights:
    """Return the weights in a component folder, or in the `transformer` folder of a whole model; nothing is copied.

    Raises:
        GraphError: there is no such folder, or no transformer of a known family in it.
    """
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise GraphError(f"there is no folder {path}", "check the path; it is relative to where vflow was started")
    parts = {known.folders["transformer"][0] for known in families().values()}
    found = [place for place in (path, *(path / part for part in sorted(parts))) if (place / _CONFIG).is_file()]
    if not found:
        raise GraphError(
            f"{path} holds no {_CONFIG} of a transformer",
            "name the folder that a full fine-tuning gave, or one that save_pretrained of a transformer wrote",
        )
    place = found[0]
    tree = layout.FolderTree(place.parent, context, remedy="name a folder that holds all its files")
    name = layout.class_of(layout.read_json(tree, f"{place.name}/{_CONFIG}"))
    known = recognise(name)
    if known is None or known[1] != "transformer":
        what = f"a {name}" if name else "nothing that names its class"
        raise GraphError(f"{place} holds {what}, which is no transformer that is known", "name another folder")
    files = []
    for file, size, digest in layout.component_files(tree, place.name):
        blob = Blob(digest=digest, size=size, suffix=Path(file).suffix)
        context.locate(digest, tree.folder / file)
        context.pin(f"file {file}", digest)
        files.append((Path(file).name, blob))
    return Weights(files=tuple(files), family=known[0].name)


def path_of(blob: Blob, context: Context) -> Path:
    """Return where a file of weights lies: where this run found it, else in the store.

    Raises:
        Failure: it is in neither.
    """
    try:
        return context.path_of(blob.digest)
    except KeyError:
        return context.blob_path(blob)
