"""The declaration of the training loop. Light; the loop itself is in `loop.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node, Observed, Outputs, Unit, added, horizon, observe, placement
from vflow.engine.problems import Problem
from vflow.engine.values import Item, Items
from vflow.nodes.training.settings import EvaluationSettings, FlowSettings, OptimizerSettings, ScheduleSettings
from vflow.nodes.values import AudioLatent, Embedding, ImageEmbedding, Latent, Learned, Sampling, Transformer

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.engine.rehearsal import Check


class Trained(Outputs):
    """What a training gives, and what the checkpoints gave that the store still holds.

    `adapter`: an adapter, or where `Unfreeze` stood in the place of `ApplyLoRA`, the transformer's weights.
    """

    adapter: Learned
    checkpoints: Annotated[Items[Learned], Observed]


class TrainLoop(Node):
    """Train the transformer's adapter, or its own weights, on latents and captions by flow matching.

    A step is one update: `batch_size` x `accumulation` samples. All randomness is counted from seed, step and place in
    the batch, so a training that was stopped goes on with the same bits, and with a constant schedule a longer one goes
    on from a shorter one. Samples are batched with others of their size, sounding ones and silent ones apart; the last
    batch of a size is filled from the beginning of that epoch's order.
    """

    # 1 had a `flow.shift` that the family's own distribution passed over; 2, in mixed precision, computed in bfloat16
    # some of what inference does in float32
    version: ClassVar[int] = 3

    steps: Annotated[int, Unit("steps")] = horizon(2000, ge=1, le=10_000_000, description="How many updates.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the order of samples, noise, dropout and rounding.")
    batch_size: Annotated[int, Unit("samples")] = Field(
        1, ge=1, le=4096, description="Samples in one forward; they have equal sizes."
    )
    accumulation: int = Field(1, ge=1, le=4096, description="Forwards whose gradients make one update.")
    optimizer: OptimizerSettings = Field(OptimizerSettings(), description="How gradients become updates.")
    schedule: ScheduleSettings = Field(ScheduleSettings(), description="How the learning rate changes.")
    clip_norm: float = Field(
        1.0, ge=0, le=1e6, description="Gradients are scaled down to this norm, taken over all of them; 0: never."
    )
    caption_dropout: float = Field(0.1, ge=0, le=1, description="How often the empty caption takes a caption's place.")
    precision: Literal["bf16", "fp32"] = Field(
        "bf16",
        description="In what the forward computes; `bf16` is mixed precision, `fp32` needs a float32 transformer.",
    )
    flow: FlowSettings = Field(FlowSettings(), description="How noise levels are drawn, and what stays clean.")
    audio_weight: float = added(
        1.0,
        first=1.0,
        ge=0,
        le=1000,
        description="How often the loss of the sound counts, where clips have sound; with 0 it is heard, not trained.",
    )

    gradient_checkpointing: bool = placement(
        True,
        exact=True,
        description="Compute activations again in the backward pass: less memory, about a third slower.",
    )
    data_workers: Annotated[int, Unit("threads")] = placement(
        1, exact=True, ge=0, le=64, description="Threads that read samples ahead; 0 reads them between two steps."
    )

    evaluation: EvaluationSettings = observe(EvaluationSettings(), description="The loss on held-out clips.")
    checkpoint_every: Annotated[int, Unit("steps")] = observe(
        250, ge=0, description="Steps between two checkpoints; 0: the final one only."
    )
    checkpoint_limit: Annotated[int, Unit("checkpoints")] = observe(
        3, ge=0, description="How many checkpoints stay, the newest; 0: all."
    )
    sample_every: Annotated[int, Unit("steps")] = observe(
        250, ge=0, description="Steps between two drawings of the sampler's prompts; 0: never."
    )
    log_every: Annotated[int, Unit("steps")] = observe(
        10, ge=1, description="Steps between two entries of loss, rate and norm."
    )
    tensorboard: bool = observe(True, description="Write TensorBoard's event files into the run's folder.")

    def run(
        self,
        context: Context,
        transformer: Transformer,
        latents: Items[Latent],
        captions: Items[Embedding],
        images: Items[ImageEmbedding] | None = None,
        audio: Items[AudioLatent] | None = None,
        sampler: Annotated[Sampling | None, Observed] = None,
        held_out_latents: Annotated[Items[Latent] | None, Observed] = None,
        held_out_captions: Annotated[Items[Embedding] | None, Observed] = None,
        held_out_images: Annotated[Items[ImageEmbedding] | None, Observed] = None,
        held_out_audio: Annotated[Items[AudioLatent] | None, Observed] = None,
    ) -> Trained:
        """Train up to `steps`, going on from the newest state that is kept.

        Raises:
            Failure: samples do not join, nothing is to be trained, or a loss is not a finite number.
        """
        from vflow.nodes.training import loop

        given = loop.Inputs(
            transformer,
            latents,
            captions,
            sampler,
            held_out_latents,
            held_out_captions,
            images=images,
            audio=audio,
            held_out_audio=held_out_audio,
            held_out_images=held_out_images,
        )
        adapter = loop.run(self, context, given)
        return Trained(adapter=adapter, checkpoints=self._kept(context))

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what would go wrong later."""
        from vflow.nodes.training import checks

        yield from checks.problems(self, context, inputs)

    def rehearsal_rows(self, known: Mapping[str, Items[Any]]) -> Mapping[str, Sequence[str]]:
        """Take a batch of the largest size, with the longest captions; nothing that is held out."""
        from vflow.nodes.training.samples import largest

        # of clips with and without sound, some of each are wanted
        rows = largest(known, max(self.batch_size, 4) if "audio" in known else self.batch_size)
        held_out = [port for port in self.ports if port.startswith("held_out_")]
        return {**dict.fromkeys(("latents", "captions", "images", "audio"), rows), **dict.fromkeys(held_out, ())}

    def rehearse(self, context: RehearsalContext, output: Any, **inputs: Any) -> Iterator[Check]:
        """Hold one input and one step against the pipeline; train three steps, stop, go on; load the result."""
        from vflow.nodes.rehearsal import training
        from vflow.nodes.training import loop

        yield from training.checks(self, context, loop.Inputs(**inputs))

    def open_ended(self) -> bool:
        """Tell whether the schedule does not depend on `steps`."""
        return self.schedule.name == "constant"

    def read_observed(self, context: Context, output: Any) -> Mapping[str, Any]:
        """Return the results of the checkpoints that are still kept, up to `steps`."""
        return {"checkpoints": self._kept(context)}

    def _kept(self, context: Context) -> Items[Learned]:
        from vflow.nodes.training import checkpoints

        kept = [state for state in checkpoints.states(context.work) if state.step <= self.steps]
        return Items(Item(f"step-{state.step:06d}", state.result) for state in kept if state.result)
