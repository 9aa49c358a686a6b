"""The nodes that name models and say what is done to them. All are light: they yield recipes and load nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar, cast

from pydantic import Field, model_validator

from vflow.engine.context import Context
from vflow.engine.node import Node, Unit, placement, private
from vflow.engine.problems import GraphError, Problem, suggest
from vflow.nodes.families import family
from vflow.nodes.models import adapter_source, facts, single_file, source
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.device import DEVICE, has_accelerator, on_accelerator
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.models.trained import refuse_training
from vflow.nodes.models.weights import read_weights
from vflow.nodes.values import VAE, Adapter, DType, ImageEncoder, Model, TextEncoder, Transformer

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.engine.rehearsal import Check

M = TypeVar("M", bound=Transformer | TextEncoder | VAE | ImageEncoder)
Kind = TypeVar("Kind", bound=Model)

_MOST_PATTERN = 1000


def same_family(*recipes: Model | None) -> Iterator[Problem]:
    """Yield a problem if parts come from different families; None stands for a part that is not there or known."""
    given = [recipe for recipe in recipes if recipe is not None]
    for other in given[1:]:
        if other.source.family != given[0].source.family:
            first, second = given[0].source, other.source
            yield Problem(
                f"the {second.part} is of {second.family} ({second.model}), "
                f"the {first.part} of {first.family} ({first.model})",
                "load both from models of one family",
            )


class LoadModel(Node):
    """What the loaders have in common."""

    light: ClassVar[bool] = True

    model: str = private(when="path", min_length=1, description=f"Which model: {source.FORMS.removeprefix('write ')}.")
    components: dict[str, str] = private(
        {},
        when="path",
        description="Single sub-folders of the model that come from elsewhere, by name: a folder, FAMILY/FLAVOUR, or "
        "owner/name[/sub/folder] on the hub.",
    )
    config: str = private(
        "",
        when="path",
        description="Where `model` is one file in the original layout: the model whose configuration and other parts "
        "go with it; empty: the family's first flavour.",
    )
    dtype: DType | None = Field(
        None, description="The type in which weights are held and computed; empty: the family's own, mostly bfloat16."
    )
    device: str = placement(
        "auto",
        exact=False,
        pattern=DEVICE,
        description="Where it computes: auto (a GPU where there is one), cpu, cuda, cuda:1.",
    )

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """A GPU that is asked for by name has to be there."""
        if self.device.startswith("cuda") and not has_accelerator():
            yield Problem(f"device {self.device}: this machine has no GPU", "write device: auto or device: cpu")

    def rehearse(self, context: RehearsalContext, output: Any, **inputs: Any) -> Iterator[Check]:
        """Hold configurations and headers of the files against the classes that load them."""
        from vflow.nodes.rehearsal import weights

        yield from weights.checks(context, output)

    def recipe(self, kind: type[Kind], context: Context) -> Kind:
        """Resolve the model and return the recipe of a part.

        Raises:
            GraphError: as `source.resolve`.
        """
        model, components = single_file.as_component(self.model, self.config, kind.part, self.components)
        found = source.resolve(model, kind.part, context, components)
        dtype = self.dtype or family(found.family).dtypes.get(kind.part, "bfloat16")
        recipe = kind(source=found, dtype=dtype, device=self.device)
        context.label(found.content, self.model)
        known = {
            "model": found.repository or self.model,
            "family": found.family,
            "commit": found.commit[:12],
            "from elsewhere": ", ".join(f"{n} of {c.model}" for n, c in found.components if c.model != model),
            "bytes in files": facts.file_bytes(found),
            "bytes of weights": facts.weight_bytes(recipe, context),
        }
        context.report({name: value for name, value in known.items() if value})
        return recipe


class LoadTransformer(LoadModel):
    """Name the denoiser of a model."""

    weights: str = private(
        "", when="path", description="A folder of weights that full fine-tuning gave, in place of the model's own."
    )

    def run(self, context: Context) -> Transformer:
        """Return its recipe."""
        recipe = self.recipe(Transformer, context)
        if not self.weights:
            return recipe
        context.report({"weights": self.weights})
        return read_weights(self.weights, context).onto(recipe)


class LoadVAE(LoadModel):
    """Name the video autoencoder of a model."""

    def run(self, context: Context) -> VAE:
        """Return its recipe."""
        return self.recipe(VAE, context)


class LoadTextEncoder(LoadModel):
    """Name the text encoder of a model, with its tokenizer and whatever else stands before the transformer."""

    def run(self, context: Context) -> TextEncoder:
        """Return its recipe."""
        return self.recipe(TextEncoder, context)


class LoadImageEncoder(LoadModel):
    """Name the vision encoder of a model for image to video, where its family has one."""

    def run(self, context: Context) -> ImageEncoder:
        """Return its recipe."""
        return self.recipe(ImageEncoder, context)


class LoadAdapter(Node):
    """Take an adapter (LoRA) from a `.safetensors` file, a folder that holds one, or a repository of the hub."""

    light: ClassVar[bool] = True

    source: str = private(
        when="path", min_length=1, description="A file, a folder, or owner/name[@revision] on the hub."
    )
    file: str = Field("", description="Which file, where the folder or repository holds several.")
    family: str = Field("", description="The model family, where the file's layers fit several.")

    def run(self, context: Context) -> Adapter:
        """Return the adapter, with its file in the store."""
        path = adapter_source.find_file(self.source, self.file, context)
        adapter = adapter_source.read_adapter(path, self.family, context)
        context.label(adapter.blob.digest, self.source)
        context.report({"adapter": path.name, "family": adapter.family, "rank": adapter.rank})
        return adapter


class ApplyLoRA(Node):
    """Put a low-rank adapter onto the transformer, to be trained; everything else is frozen.

    Its first layers are drawn from `seed` and its second ones are zero, unless it starts from another adapter.
    """

    light: ClassVar[bool] = True

    rank: int = Field(16, ge=1, le=4096, description="The width of the low-rank layers.")
    alpha: float | None = Field(None, gt=0, description="Scale: the adapter counts alpha / rank times. None is rank.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the inputs that the adapter does not see, in training."
    )
    target: str | None = Field(None, description="Which layers, by a name of the family's. None is the family's usual.")
    pattern: str | None = Field(
        None, max_length=_MOST_PATTERN, description="Which layers, by a regular expression for whole names."
    )
    seed: int = Field(0, ge=0, description="From which the first layers are drawn.")
    adapter_dtype: Literal["float32", "bfloat16"] = Field("float32", description="The type of the adapter's weights.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target is not None and self.pattern is not None:
            raise ValueError("target and pattern exclude each other: write one of them")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from error
        return self

    def run(self, context: Context, model: Transformer, adapter: Adapter | None = None) -> Transformer:
        """Return the recipe with the LoRA."""
        self._check_inputs(model, adapter)
        pattern = self.pattern or self._target(model)
        lora = LoRA(
            rank=self.rank,
            alpha=self.rank if self.alpha is None else self.alpha,
            dropout=self.dropout,
            pattern=pattern,
            seed=self.seed,
            adapter_dtype=self.adapter_dtype,
            adapter=adapter,
        )
        self._count(model, pattern, context)
        return model.model_copy(update={"transformations": (*model.transformations, lora)})

    def _check_inputs(self, model: Transformer, adapter: Adapter | None) -> None:
        refuse_training(model)
        if adapter is None:
            return
        if adapter.family != model.source.family:
            raise GraphError(
                f"the adapter is of {adapter.family}, the transformer of {model.source.family}",
                "start from an adapter of this family",
            )
        if adapter.rank != self.rank:
            raise GraphError(f"the adapter to start from has rank {adapter.rank}", f"write rank: {adapter.rank}")

    def _target(self, model: Transformer) -> str:
        family = model.family
        name = self.target or family.default_lora_target
        if name not in family.lora_targets:
            raise GraphError(f"{family.title} has no LoRA target {name!r}", suggest(name, family.lora_targets))
        return family.lora_targets[name].pattern

    def _count(self, model: Transformer, pattern: str, context: Context) -> None:
        shapes = facts.weight_shapes(model.source, context)
        if shapes is None:
            return
        modules = len(facts.lora_modules(shapes, pattern))
        if not modules:
            raise GraphError(
                f"no linear layer of the transformer matches {pattern!r}",
                f"a pattern matches whole names; or write target: {', '.join(model.family.lora_targets)}",
            )
        context.report({"layers": modules, "parameters trained": facts.lora_parameters(shapes, pattern, self.rank)})


class GroupOffload(Node):
    """Keep a model's weights in main memory and bring them to the GPU group by group, as they are needed.

    Nothing that is computed changes. Trainable parameters stay on the GPU. While training with gradient checkpointing,
    `stream` is off and groups are single blocks.
    """

    light: ClassVar[bool] = True

    level: Literal["block", "leaf"] = placement(
        "block", description="What a group is: blocks of the model, or single layers (least memory, most transfers)."
    )
    blocks_per_group: Annotated[int, Unit("blocks")] = placement(
        1, ge=1, description="How many blocks a group has; with a stream always one."
    )
    stream: bool = placement(False, description="Bring the next group while this one computes.")
    record_stream: bool = placement(False, description="With a stream: faster, for a little more GPU memory.")
    non_blocking: bool = placement(False, description="Copy without waiting.")
    low_cpu_mem_usage: bool = placement(False, description="With a stream: pin memory piece by piece, not all at once.")
    force: bool = placement(False, description="Hook the model on a machine without a GPU too; for tests.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.record_stream and not self.stream:
            raise ValueError("record_stream needs stream: true")
        return self

    def run(self, context: Context, model: M) -> M:
        """Return the recipe with its weights offloaded."""
        if not self.force and not on_accelerator(model.device):
            context.report({"offload": "nothing to do: there is no accelerator"})
        offloading = GroupOffloading(**self.model_dump(), device=model.device)
        return cast(M, model.model_copy(update={"transformations": (*model.transformations, offloading)}))
