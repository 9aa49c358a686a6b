"""The declaration of the training loop. Light; the loop itself is in `loop.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from vflow.engine.context import Context
from vflow.engine.node import Node, Observed, Outputs, horizon, observe, placement
from vflow.engine.problems import Problem
from vflow.engine.values import Item, Items
from vflow.nodes.training.settings import EvaluationSettings, FlowSettings, OptimizerSettings, ScheduleSettings
from vflow.nodes.values import Adapter, Embedding, Latent, Sampling, Transformer


class Trained(Outputs):
    """What a training gives: the final adapter, and those of the checkpoints that the store still holds."""

    adapter: Adapter
    checkpoints: Annotated[Items[Adapter], Observed]


class TrainLoop(Node):
    """Train the transformer's adapter on latents and captions by flow matching.

    A step is one update: `batch_size` x `accumulation` samples. All randomness is counted from seed, step and place in
    the batch, so a training that was stopped goes on with the same bits, and with a constant schedule a longer one goes
    on from a shorter one. Samples are batched with others of their size; the last batch of a size is filled from the
    beginning of that epoch's order.
    """

    steps: int = horizon(2000, ge=1, le=10_000_000, description="How many updates.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the order of samples, noise, dropout and rounding.")
    batch_size: int = Field(1, ge=1, le=4096, description="Samples in one forward; they have equal sizes.")
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

    gradient_checkpointing: bool = placement(
        True,
        exact=True,
        description="Compute activations again in the backward pass: less memory, about a third slower.",
    )
    data_workers: int = placement(
        1, exact=True, ge=0, le=64, description="Threads that read samples ahead; 0 reads them between two steps."
    )

    evaluation: EvaluationSettings = observe(EvaluationSettings(), description="The loss on held-out clips.")
    checkpoint_every: int = observe(250, ge=0, description="Steps between two checkpoints; 0: the final one only.")
    checkpoint_limit: int = observe(3, ge=0, description="How many checkpoints stay, the newest; 0: all.")
    sample_every: int = observe(250, ge=0, description="Steps between two drawings of the sampler's prompts; 0: never.")
    log_every: int = observe(10, ge=1, description="Steps between two entries of loss, rate and norm.")
    tensorboard: bool = observe(True, description="Write TensorBoard's event files into the run's folder.")

    def run(
        self,
        context: Context,
        transformer: Transformer,
        latents: Items[Latent],
        captions: Items[Embedding],
        sampler: Annotated[Sampling | None, Observed] = None,
        held_out_latents: Annotated[Items[Latent] | None, Observed] = None,
        held_out_captions: Annotated[Items[Embedding] | None, Observed] = None,
    ) -> Trained:
        """Train up to `steps`, going on from the newest state that is kept.

        Raises:
            Failure: samples do not join, nothing is to be trained, or a loss is not a finite number.
        """
        from vflow.nodes.training import loop

        given = loop.Inputs(transformer, latents, captions, sampler, held_out_latents, held_out_captions)
        adapter = loop.run(self, context, given)
        return Trained(adapter=adapter, checkpoints=self._kept(context))

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what would go wrong later."""
        from vflow.nodes.training import checks

        yield from checks.problems(self, context, inputs)

    def open_ended(self) -> bool:
        """Tell whether the schedule does not depend on `steps`."""
        return self.schedule.name == "constant"

    def read_observed(self, context: Context, output: Any) -> Mapping[str, Any]:
        """Return the adapters of the checkpoints that are still kept, up to `steps`."""
        return {"checkpoints": self._kept(context)}

    def _kept(self, context: Context) -> Items[Adapter]:
        from vflow.nodes.training import checkpoints

        kept = [state for state in checkpoints.states(context.work) if state.step <= self.steps]
        return Items(Item(f"step-{state.step:06d}", state.adapter) for state in kept if state.adapter)
