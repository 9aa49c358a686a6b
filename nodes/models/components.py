"""Sub-folders of a part that come from elsewhere than from its model, and those that a model lacks.

A component is named by where it lies: a folder, `owner/name[/sub/folder][@revision]` on the hub, or a family's flavour.
Of a whole model its sub-folder of that name is taken; anything else is the component itself. What neither a graph nor
the model has is looked for where the family's environment variables lead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import GraphError, Problem, suggest
from vflow.nodes.models import hub, layout
from vflow.nodes.values import Part, Source

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.families.base import Family

_PLACE = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)"
    r"(?:/(?P<inside>(?!.*\.\.)[\w./-]+))?"
    r"(?:@(?P<revision>(?!.*\.\.)[\w./-]+))?"
)
_FORMS = "write a folder (./folder), FAMILY/FLAVOUR, or owner/name or owner/name/sub/folder on the hub"


def check_names(names: Iterable[str], family: Family, part: Part) -> None:
    """Refuse names of sub-folders that the part does not have.

    Raises:
        GraphError: there is one.
    """
    known = family.folders[part]
    for name in names:
        if name not in known:
            told = f"the {part} of {family.title} has no component {name!r}"
            raise GraphError(Problem(told, suggest(name, known), "components"))


@dataclass(frozen=True)
class Component:
    """A sub-folder of this name, that a part of a family's models needs."""

    name: str
    family: Family
    part: Part
    context: Context

    def named(self, where: str) -> Source:
        """Return the component that a graph names.

        Raises:
            GraphError: it is not there, or is none that the family's classes load.
        """
        from vflow.nodes.models.source import folder_at, is_folder, repository_of

        if "://" in where:
            raise self._unnamed(where)
        flavour = repository_of(where)
        if flavour is None and is_folder(where):
            folder = folder_at(where)
            if folder is None:
                raise GraphError(Problem(f"there is no folder {where}", "check the path", f"components.{self.name}"))
            tree: layout.Tree = layout.FolderTree(folder, self.context, remedy="point it to a complete folder")
            return self._first(tree, (self.name, ""), where)
        place = _PLACE.fullmatch(flavour or where)
        if place is None:
            raise self._unnamed(where)
        tree, _ = hub.open_tree(place["repository"], place["revision"] or "main", self.context)
        inside = place["inside"] or ""
        return self._first(tree, (f"{inside}/{self.name}" if inside else self.name, inside), where)

    def of_model(self, tree: layout.Tree, model: str) -> Source:
        """Return the component that the model itself or an environment variable has.

        In a model it is the sub-folder of that name, or the only one inside that; or it lies where models in their
        makers' own layout have it.

        Raises:
            GraphError: it is nowhere, there are several, or it is none that the family's classes load.
        """
        inside = layout.variants(tree, self.name)
        if not tree.names(self.name) and len(inside) > 1:
            raise self._several(tree, inside, model)
        for place in (self.name, *inside, *(usual for usual in self._usual() if "/" in usual)):
            if tree.names(place):
                return self._source(tree, place, model)
        for variable, root in self._roots():
            remedy = f"let {variable} name a folder with all its files"
            rooted = layout.FolderTree(root, self.context, f"${variable}", remedy)
            for place in self.family.variables[variable][self.name]:
                if layout.is_component(rooted, place):
                    return self._source(rooted, place, f"${variable}")
        raise self._lacking(tree)

    def _usual(self) -> Iterator[str]:
        for places in self.family.variables.values():
            yield from places.get(self.name, ())

    def _roots(self) -> Iterator[tuple[str, Path]]:
        """Yield the variables that are set and may lead to the component, each with its folder."""
        from vflow.nodes.models.source import folder_at

        for variable, places in self.family.variables.items():
            if self.name in places and (said := os.environ.get(variable)):
                root = folder_at(said)
                if root is None:
                    raise GraphError(f"{variable}: there is no folder {said}", "correct it, or unset it")
                yield variable, root

    def _first(self, tree: layout.Tree, places: tuple[str, ...], where: str) -> Source:
        for place in places:
            if layout.is_component(tree, place):
                return self._source(tree, place, where)
        told = f"{tree.title} holds no {self.name}, nor is it one"
        raise GraphError(Problem(told, _FORMS, f"components.{self.name}"))

    def _source(self, tree: layout.Tree, place: str, where: str) -> Source:
        """Return it as a source of its own; its content is that of its files, whatever folder they lie in."""
        self._check(tree, place)
        task = self.family.task
        if self.name == self.family.folders["transformer"][0]:
            lies = f"{tree.repository or tree.title}/{place}".rstrip("/")
            task = self.family.task_of(layout.classes_of(tree), lies)
        root = tree.folder / place if isinstance(tree, layout.FolderTree) and not tree.repository else None
        if root is not None:
            tree, place = layout.FolderTree(root, self.context, tree.title, tree.remedy), ""
        files = layout.remembered_files(tree, place, layout.has_network(self.name))
        content = layout.content_of((file.rpartition("/")[2], size, digest) for file, size, digest in files)
        if root is not None:
            self.context.locate(content, root)
            for file, _, digest in files:
                self.context.pin(f"file {self.name}/{file}", digest)
        return Source(
            family=self.family.name,
            part=self.part,
            content=content,
            model=where,
            kind="folder" if root is not None else "hub",
            repository=tree.repository,
            commit=tree.commit,
            task=task,
            files=tuple(files),
        )

    def _check(self, tree: layout.Tree, place: str) -> None:
        layout.check_class(tree, self.family, self.part, self.name, layout.class_in(tree, place))

    def _unnamed(self, where: str) -> GraphError:
        told = f"component {self.name}: {where!r} names no component"
        return GraphError(Problem(told, _FORMS, f"components.{self.name}"))

    def _several(self, tree: layout.Tree, places: list[str], model: str) -> GraphError:
        for place in places:
            self._check(tree, place)
        names = ", ".join(place.rpartition("/")[2] for place in places)
        one = f"components: {{{self.name}: {model.partition('@')[0]}/{places[0]}}}"
        return GraphError(f"{tree.title} holds several: {names}", f"say which, for instance {one}")

    def _lacking(self, tree: layout.Tree) -> GraphError:
        """Return what to say where it is nowhere: all the ways to have it."""
        name, family, part = self.name, self.family, self.part
        ways = [tree.how_to_get(family, part, name)]
        if flavour := layout.flavour_with(family, part):
            ways.append(f"take it from elsewhere, components: {{{name}: {flavour}}}")
        ways += [f"let {variable} name a folder with it" for variable, has in family.variables.items() if name in has]
        return GraphError(f"{tree.title} lacks the sub-folder {name!r}, which its {part} needs", "; or ".join(ways))
