"""How a family's training is held against its diffusers pipeline: what its rehearsal and its tests both look at.

A family describes what of the transformer's arguments has to be equal, and how its pipeline encodes text; `Watched`
runs the pipeline for one step and keeps what its transformer was given and said.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vflow.nodes.families.exchange import Batch, Draws, FlowOptions, Prediction, SamplingRequest

if TYPE_CHECKING:
    from vflow.nodes.families.base import Family

#: how far numbers may lie apart that were computed from equal ones, in units of their type's precision
_ROUNDING = 16.0
#: the same for what went through a whole network, as a share of its root mean square
_THROUGH = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.02}
_STEPS = 2  # denoising steps asked for, of which one is run


class Parity(ABC):
    """What a family says of itself to be compared. Attributes and methods are of the family's own shapes."""

    #: sub-folder of a checkpoint -> the class that its network is loaded with; where there are several, its
    #: configuration names one
    networks: Mapping[str, tuple[Any, ...]]
    #: sub-folder -> beginnings of names of weights that may be missing, or there, without any meaning for a video
    unused: Mapping[str, tuple[str, ...]] = {}
    #: sub-folder -> names of weights that stand in files with other axes, but as many numbers
    reshaped: Mapping[str, tuple[str, ...]] = {}
    #: sub-folder -> entries of its configuration that every checkpoint of the family has, with what they may be
    expected: Mapping[str, Mapping[str, tuple[Any, ...]]] = {}
    #: prompts that go other ways through the text encoders than a plain caption
    prompts: tuple[str, ...] = ()

    # --- text ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def encode_prompt(
        self, stack: Any, folder: Path, prompt: str, negative: bool, tokens: int | None
    ) -> dict[str, torch.Tensor]:
        """Return what the pipeline's own `encode_prompt` gives, in the form of `Family.encode_text`.

        The networks are those of `stack`; tokenizers are read anew from the checkpoint's folder.
        """

    def text_doubts(self, stack: Any, folder: Path) -> Iterator[str]:
        """Yield what is wrong between tokenizers, encoders and the pipeline's fixed numbers."""
        return iter(())

    # --- latents ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def raw_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Undo normalisation as the pipeline does before decoding, for latents (B, C, f, h, w)."""

    def raw_sound(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Undo packing and normalisation of sound (B, L, C) as the pipeline does; for families with sound."""
        raise NotImplementedError

    def heard(self, vae: Any, samples: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return what the audio encoder says of sound (B, channels, N), as it is; for families with sound."""
        raise NotImplementedError

    # --- the forward -----------------------------------------------------------------------------------------------

    def as_trained(self, given: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return what the pipeline's transformer is to be given where training means something else on purpose."""
        return given

    @abstractmethod
    def noised(self, given: Mapping[str, Any], batch: Batch) -> torch.Tensor:
        """Return the noised latents (B, C, f, h, w) among a transformer's arguments."""

    def draws(self, given: Mapping[str, Any], batch: Batch, sigma: float) -> Draws:
        """Return draws with which the batch, noised at `sigma`, becomes what the pipeline's transformer was given."""
        return GivenDraws({"noise": noise_between(self.noised(given, batch), batch.latents, sigma)})

    def options(self, batch: Batch) -> FlowOptions:
        """Return the options with which training does what the pipeline does with such a batch."""
        return FlowOptions(first_frame_probability=1.0 if batch.image else 0.0)

    @abstractmethod
    def differences(
        self, ours: Mapping[str, Any], theirs: Mapping[str, Any], batch: Batch, model: Any
    ) -> Iterator[str]:
        """Yield how the transformer's arguments differ that training and the pipeline give, in words."""

    def schedule_doubts(self, scheduler: Any, written: Mapping[str, Any], batch: Batch) -> Iterator[str]:
        """Yield where the scheduler with which a batch is drawn is not what its configuration file says (`written`)."""
        kind = type(scheduler)
        if written.get("_class_name") not in {parent.__name__ for parent in kind.__mro__}:
            yield f"the scheduler is a {kind.__name__}, the checkpoint's a {written.get('_class_name')}"
        for name, value in written.items():
            if name in scheduler.config and not name.startswith("_") and scheduler.config[name] != value:
                yield f"the scheduler's {name} is {scheduler.config[name]!r}, the checkpoint's {value!r}"

    # --- adapters --------------------------------------------------------------------------------------------------

    def load_into(self, pipeline: Any, file: Path) -> None:
        """Load an adapter's file as the family's users do."""
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name)


class GivenDraws:
    """Draws that are given, by purpose; every chance comes out as likely as can be (a uniform draw of 0)."""

    def __init__(self, normals: Mapping[str, torch.Tensor]) -> None:
        self._normals = normals

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        """Return what was given for the purpose, (B, *shape).

        Raises:
            RuntimeError: it has another shape, or nothing was given.
        """
        given = self._normals.get(purpose)
        if given is None or tuple(given.shape[1:]) != tuple(shape):
            found = "nothing" if given is None else tuple(given.shape[1:])
            raise RuntimeError(f"training draws {purpose!r} of shape {tuple(shape)}, the pipeline {found}")
        return given.cpu()

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> torch.Tensor:
        """Return zeros, (B, *shape)."""
        batch = next(len(given) for given in self._normals.values())
        return torch.zeros(batch, *shape)


@dataclass
class Watched:
    """A pipeline's transformer, watched: what it was given in its first two calls, and what it said in the first.

    `answers` are its outputs, of picture and, where there is one, of sound. Hand `attach` to a `SamplingRequest` as
    `on_pipeline`; the drawing ends with `Enough` at the second call.
    """

    parity: Parity
    batch: Batch
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    answers: tuple[torch.Tensor, ...] = ()
    pipeline: Any = None
    _hooks: list[Any] = field(default_factory=list)

    def attach(self, pipeline: Any) -> None:
        """Begin to watch."""
        self.pipeline = pipeline
        hooked = pipeline.transformer
        self._hooks = [
            hooked.register_forward_pre_hook(self._before, with_kwargs=True),
            hooked.register_forward_hook(self._behind),
        ]

    def detach(self) -> None:
        """Watch no more."""
        for hook in self._hooks:
            hook.remove()

    def _before(self, module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        given = dict(self.parity.as_trained(by_name(module, positional, named), self.batch))
        self.calls.append({name: _kept(value) for name, value in given.items()})
        self.sigmas.append(float(self.pipeline.scheduler.sigmas[len(self.calls) - 1]))
        if len(self.calls) == 2:
            raise Enough
        return (), given

    def _behind(self, _module: Any, _given: Any, said: Any) -> None:
        told = said.to_tuple() if hasattr(said, "to_tuple") else said
        answers = (told,) if isinstance(told, torch.Tensor) else told[:2]
        self.answers = tuple(answer.detach().float() for answer in answers if answer is not None)


class Enough(Exception):
    """The pipeline was watched for long enough."""


def watch(
    family: Family,
    live: Any,
    vae: Any,
    batch: Batch,
    request: SamplingRequest,
    before: Callable[[Any], None] | None = None,
) -> Watched:
    """Draw with the family's pipeline until its transformer is called a second time; return what was seen.

    `live` and `vae` are what `load` returned; `before` is called with the pipeline before it begins.

    Raises:
        RuntimeError: the pipeline calls its transformer but once.
    """
    watched = Watched(parity_of(family), batch)

    def begin(pipeline: Any) -> None:
        if before is not None:
            before(pipeline)
        watched.attach(pipeline)

    try:
        family.draw(live, vae, replace(request, on_pipeline=begin))
    except Enough:
        return watched
    finally:
        watched.detach()
    raise RuntimeError("the pipeline called its transformer once and was done")


def request_for(family: Family, batch: Batch, row: Mapping[str, torch.Tensor], **more: Any) -> SamplingRequest:
    """Return what the family is to draw so that its first step is one training input: unguided, of the batch's size.

    `row` is the caption's embedding, without batch dimension; `more` are further fields (an image and its encoder).
    """
    return SamplingRequest(
        embeddings=row,
        negative=None,
        width=batch.width,
        height=batch.height,
        frames=batch.frames,
        fps=batch.fps,
        steps=max(family.sampling.least_steps, _STEPS),
        guidance=1.0,
        seed=0,
        **more,
    )


def parity_of(family: Family) -> Parity:
    """Return how a family is compared.

    Raises:
        LookupError: it does not say.
    """
    found = family.parity()
    if found is None:
        raise LookupError(f"{family.title} does not say how it is compared with its pipeline")
    return found


class Seen(Exception):
    """What the transformer is given is seen, and its answer not wanted."""


@torch.no_grad()
def predicted(
    family: Family, live: Any, batch: Batch, given: Mapping[str, Any], sigma: float, answered: bool = True
) -> tuple[dict[str, Any], Prediction | None]:
    """Return what training gives the transformer for the pipeline's noised latents, and what it makes of the answer.

    Unless `answered`, the transformer is not run, and there is no answer.
    """
    parity = parity_of(family)
    model = live.modules()["transformer"]
    seen: dict[str, Any] = {}

    def look(module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.update({name: _kept(value) for name, value in by_name(module, positional, named).items()})
        if not answered:
            raise Seen

    hook = model.register_forward_pre_hook(look, with_kwargs=True)
    sigmas = torch.full((len(batch.latents),), sigma, dtype=torch.float32, device=batch.latents.device)
    try:
        said = family.predict(live, batch, sigmas, parity.draws(given, batch, sigma), parity.options(batch))
    except Seen:
        return seen, None
    finally:
        hook.remove()
    return seen, said


def by_name(module: torch.nn.Module, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module's forward by their names."""
    bound = inspect.signature(type(module).forward).bind(module, *positional, **named).arguments
    return {name: value for name, value in bound.items() if name != "self"}


# --- what is equal ---------------------------------------------------------------------------------------------------


def noise_between(noised: torch.Tensor, clean: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the noise with which `clean` at `sigma` is noised to `noised`, float32."""
    return (noised.float() - (1 - sigma) * clean.float().to(noised.device)) / sigma


def tokens_of(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (B, C, f, h, w) into the order of predictions, (B, f*h*w, C)."""
    return latents.flatten(2).transpose(1, 2)


def difference(name: str, ours: Any, theirs: Any, type_matters: bool = True) -> Iterator[str]:
    """Yield in words how two arguments differ; tensors may differ by rounding of the coarser one's type.

    `type_matters`: theirs must not be of a finer floating-point type than ours.
    """
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        yield from _tensor_difference(name, ours, theirs, type_matters)
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)) and len(ours) == len(theirs):
        for place, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from difference(f"{name}[{place}]", *pair, type_matters)
    elif isinstance(ours, Mapping) and isinstance(theirs, Mapping) and ours.keys() == theirs.keys():
        for key in ours:
            yield from difference(f"{name}[{key}]", ours[key], theirs[key], type_matters)
    elif isinstance(ours, torch.Tensor) or isinstance(theirs, torch.Tensor) or ours != theirs:
        yield f"{name} is {_said(ours)}, the pipeline gives {_said(theirs)}"


def _tensor_difference(name: str, ours: torch.Tensor, theirs: torch.Tensor, type_matters: bool) -> Iterator[str]:
    if ours.shape != theirs.shape:
        yield f"{name} has the shape {tuple(ours.shape)}, the pipeline's {tuple(theirs.shape)}"
        return
    if type_matters and precision(ours) > precision(theirs):
        yield f"{name} is {_type(ours)}, the pipeline's {_type(theirs)}"
    a, b = ours.float().cpu(), theirs.float().cpu()
    allowed = _ROUNDING * max(precision(ours), precision(theirs)) * max(1.0, float(b.abs().max()) if b.numel() else 1.0)
    apart = float((a - b).abs().max()) if a.numel() else 0.0
    if not apart <= allowed:  # NaN too
        yield f"{name} differs by up to {apart:.3g} (at most {allowed:.1g} is rounding)"


def as_tokens(answer: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return a transformer's answer in the order of predictions, (B, S, C), from tokens or either order of channels."""
    if answer.ndim == 3:
        return answer
    return tokens_of(answer) if answer.shape == batch.latents.shape else answer.flatten(1, 3)


def through_network(ours: torch.Tensor, theirs: torch.Tensor, dtype: torch.dtype) -> tuple[float, float]:
    """Return how far two answers of one network lie apart, as a share of theirs, and how far is rounding of `dtype`."""
    a, b = ours.float().cpu(), theirs.float().cpu()
    scale = float(b.square().mean().sqrt()) or 1.0
    return float((a - b).square().mean().sqrt()) / scale, _THROUGH.get(dtype, _THROUGH[torch.bfloat16])


def precision(tensor: torch.Tensor) -> float:
    """Return the relative precision of a tensor's type: of float32 also for whole numbers and truth values."""
    return float(torch.finfo(tensor.dtype if tensor.is_floating_point() else torch.float32).eps)


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _said(value: Any) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)


def _kept(value: Any) -> Any:
    """Return an argument as it is now: pipelines write some of their tensors over."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
