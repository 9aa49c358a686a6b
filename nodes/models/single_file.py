"""A network in one file, in the layout of its makers' own code: `model: ./file.safetensors`, or as a component. Light.

The file has weights only. Its configuration, and the part's other sub-folders, are those of another model: the one that
`config` names, else the family's first flavour. As a source it is a sub-folder with that `config.json` and the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, GraphError, Problem
from vflow.engine.values import Blob
from vflow.nodes.families import families
from vflow.nodes.families.rules import ORIGINAL
from vflow.nodes.models import layout
from vflow.nodes.models.headers import read_header
from vflow.nodes.values import Part, Source

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.families.base import Family

_SUFFIX = ".safetensors"
#: endings of files that people have of models, and that are no folders and no repositories
_ENDINGS = (_SUFFIX, ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".sft")
_CONFIG = "config.json"


def is_single_file(name: str) -> bool:
    """Tell whether a model or component is named by a file."""
    return name.endswith(_ENDINGS) and "://" not in name and not Path(name).expanduser().is_dir()


def as_component(model: str, config: str, part: Part, components: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return a model and its components, where a model that is one file has become a component of another.

    Raises:
        GraphError: there is no such file, or diffusers does not load the part of its family from one.
    """
    if not is_single_file(model):
        if config:
            told = "`config` is for a model in one file; this one has its own configuration"
            raise GraphError(Problem(told, "leave it out", "config"))
        return model, components
    known = _family(model, part)
    network = known.folders[part][0]
    if not config and not known.flavours:
        told = f"{model} holds weights only"
        raise GraphError(Problem(told, "name the model whose configuration it has: config: OWNER/NAME", "config"))
    return config or f"{known.name}/{next(iter(known.flavours))}", {**components, network: model}


def component(tree: layout.Tree, name: str, where: str, family: Family, part: Part, context: Context) -> Source:
    """Return a sub-folder whose weights are one file; its configuration is that of the same sub-folder of a model.

    Raises:
        GraphError: the file is not there, or none that diffusers loads as this component.
    """
    path, keys = _read(where)
    single = family.single_files.get(name)
    if single is None or not single.is_in(keys):
        raise GraphError(Problem(f"{path} is no {name} of {family.title} that is loaded from one file", _ways(family)))
    if _CONFIG not in tree.names(name):
        raise GraphError(f"{tree.title} lacks {name}/{_CONFIG}, with which {path} is to be loaded", tree.remedy)
    config = tree.read(f"{name}/{_CONFIG}")
    digest = context.digest_of(path)
    context.locate(digest, path)
    context.pin(f"file {name}/{path.name}", digest)
    kept = context.put(config, ".json")
    files = ((_CONFIG, kept.size, kept.digest), (ORIGINAL, path.stat().st_size, digest))
    return Source(
        family=family.name,
        part=part,
        content=layout.content_of(files),
        model=where,
        kind="single",
        task=layout.task_of(tree, family, tree.repository),
        files=files,
    )


def blobs_of(source: Source) -> dict[str, Blob]:
    """Return the files of such a source by their names in its folder."""
    return {name: Blob(digest=digest, size=size, suffix=Path(name).suffix) for name, size, digest in source.files}


def _family(model: str, part: Part) -> Family:
    path, keys = _read(model)
    found = [known for known in families().values() if any(one.is_in(keys) for one in known.single_files.values())]
    if not found:
        raise GraphError(
            Problem(
                f"{path} holds no network that is loaded from one file",
                "name a repository or folder in diffusers' layout; a file of such a folder is not loaded by itself",
                "model",
            )
        )
    for known in found:
        single = known.single_files.get(known.folders[part][0]) if part in known.folders else None
        if single is not None and single.is_in(keys):
            return known
    raise GraphError(Problem(f"{path} holds no {part} that is loaded from one file", _ways(found[0]), "model"))


def _read(name: str) -> tuple[Path, frozenset[str]]:
    """Return the file and the names of its tensors."""
    path = Path(name).expanduser().absolute()
    if path.suffix != _SUFFIX:
        raise GraphError(f"{path} is no {_SUFFIX} file", "only safetensors are opened, and no quantised formats")
    if not path.is_file():
        raise GraphError(f"there is no file {path}", "check the path; it is relative to where vflow was started")
    try:
        return path, frozenset(read_header(path).shapes)
    except Failure as error:
        raise GraphError(error.message, error.remedy) from error


def _ways(family: Family) -> str:
    loaded = ", ".join(family.single_files)
    names = f"{family.name}/{next(iter(family.flavours))}" if family.flavours else "a repository in diffusers' layout"
    what = f"of {family.title}, diffusers loads {loaded} from one file" if loaded else f"{family.title} has none"
    return f"{what}; take it from a model in folders, for instance {names}"
