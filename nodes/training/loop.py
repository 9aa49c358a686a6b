"""The training loop: records in, an adapter or weights out; it can be stopped anywhere and goes on with the same bits.

run
  join samples; find the newest complete state; when it is the last one, there is nothing to do
  lend the transformer; let accelerate prepare it; load the state
  evaluate before the first step
  for each step
    for each micro-batch: counted noise, prediction, loss, gradients
    clip, set the learning rate, update
    now and then: metrics, evaluation, checkpoint, clips on the way
    when asked to stop: keep the state and leave; in haste, without finishing the step
  keep the final state and its result
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine.carried import FINAL
from vflow.engine.context import Context
from vflow.engine.problems import Failure
from vflow.engine.values import Blob, Items
from vflow.nodes.encoding.ahead import ahead
from vflow.nodes.families.exchange import Batch, FlowOptions
from vflow.nodes.models.live import device_of
from vflow.nodes.models.offload import for_training
from vflow.nodes.models.trained import training_of
from vflow.nodes.training import checkpoints, optim, preparing
from vflow.nodes.training.draws import CountedDraws, chance, seed_globals
from vflow.nodes.training.evaluation import evaluate, losses_of
from vflow.nodes.training.previews import Previews
from vflow.nodes.training.records import Records, moved
from vflow.nodes.training.reporting import Reporter
from vflow.nodes.training.samples import Order, Planned, Sample, join, named
from vflow.nodes.training.schedule import factor
from vflow.nodes.values import EMPTY_ROW, AudioLatent, Embedding, ImageEmbedding, Latent, Learned, Sampling, Transformer

if TYPE_CHECKING:
    from vflow.nodes.training.train_loop import TrainLoop


_SPARE = 2**30  # bytes of files nobody needs that are let go of together: each time the whole store is looked through


@dataclass(frozen=True)
class Inputs:
    """What stands at the loop's ports."""

    transformer: Transformer
    latents: Items[Latent]
    captions: Items[Embedding]
    sampler: Sampling | None = None
    held_out_latents: Items[Latent] | None = None
    held_out_captions: Items[Embedding] | None = None
    images: Items[ImageEmbedding] | None = None
    held_out_images: Items[ImageEmbedding] | None = None
    audio: Items[AudioLatent] | None = None
    held_out_audio: Items[AudioLatent] | None = None


def run(node: TrainLoop, context: Context, inputs: Inputs) -> Learned:
    """Train, from the newest state that the work folder holds, and return the result after `node.steps` steps.

    Raises:
        Failure: samples that do not join, nothing to train, or a loss that is not finite.
        Interrupted: the run is stopping; the state is kept.
    """
    samples = join(inputs.latents, inputs.captions, context, inputs.images, inputs.audio)
    empty = inputs.captions.by_row().get(EMPTY_ROW)
    if node.caption_dropout and empty is None:
        raise Failure("caption dropout needs the encoded empty caption", "encode captions with EncodeText")
    held_out = _held_out(node, inputs, context)
    state, tensors = _newest(node, context)
    if state is not None and state.step == node.steps and state.result is not None and _has(context, state.result):
        context.report({FINAL: state.notes.get("final", {})})
        return state.result
    with context.load(for_training(inputs.transformer, node.gradient_checkpointing)) as live:
        training = Training(node, context, inputs, live, samples, held_out, empty)
        with training.ready():
            if state is not None and tensors is not None:
                training.go_on_from(state.step, tensors)
                training.reporter.go_on_from(state.notes)
                context.log(f"going on from step {state.step}")
            del tensors
            return training.run()


class Training:
    """One training on a lent model."""

    def __init__(
        self,
        node: TrainLoop,
        context: Context,
        inputs: Inputs,
        live: Any,
        samples: Sequence[Sample],
        held_out: Sequence[Sample],
        empty: Embedding | None,
    ) -> None:
        self.node, self.context, self.live = node, context, live
        self.recipe, self.family = inputs.transformer, inputs.transformer.family
        self.samples, self.held_out = samples, held_out
        self.device = device_of(inputs.transformer)
        self.module = live.modules()["transformer"]
        self.trains = training_of(inputs.transformer)
        self.named = preparing.trained_parameters(self.module, optim.dtype_of(node.optimizer))
        self.parameters = [parameter for _, parameter in self.named]
        self.plain_optimizer = optim.make(node.optimizer, self.parameters, node.seed)
        self.order = Order(samples, node.batch_size, node.seed)
        self.records = Records(context, self.family, samples, empty, pin=self.device.type == "cuda")
        self.options = FlowOptions(**node.flow.model_dump())
        self.step = 0  #: steps that are done
        self.kept = 0  #: the last step whose state is on disk, where there is nothing more to keep
        self.pace = 0.0  #: seconds of the last micro-step
        self.norm = torch.zeros(())  #: of the gradients of the last step
        self.spare: list[Blob] = []  #: files of results whose states are gone
        self.reporter = Reporter(node, context, samples)
        self.previews = Previews(context, inputs.sampler) if inputs.sampler else None

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Prepare model and optimiser for training, and hand them back as they were afterwards."""
        mode = preparing.training_mode(self.live, self.node.gradient_checkpointing)
        prepared = preparing.prepared(self.module, self.plain_optimizer, self.node.precision, self.device)
        with closing(self.reporter), mode, prepared as (self.accelerator, self.model, self.optimizer):
            yield

    def go_on_from(self, step: int, tensors: dict[str, torch.Tensor]) -> None:
        """Take weights and moments as they were after `step` steps.

        Raises:
            Failure: they are of other parameters.
        """
        try:
            optim.load_state(self.plain_optimizer, self.named, tensors, step)
        except (KeyError, RuntimeError) as error:
            raise Failure(
                f"the kept state of step {step} does not fit: {error}", "force the node to run again"
            ) from error
        self.step = self.kept = step

    def run(self) -> Learned:
        """Train up to the last step and return its result."""
        with closing(self.steps()) as steps:
            for _ in steps:
                pass
        result = self._keep()
        self.context.report({FINAL: self.reporter.notes(self.step)["final"]})
        return result

    def steps(self) -> Generator[int]:
        """Train step by step, with all that is due between them; yields how many steps are done."""
        if self.step == 0 or self.reporter.owed:
            self._evaluate()
            self._leave_if_owing()
        with closing(self._batches()) as batches:
            while self.step < self.node.steps:
                self._one_step(batches)
                self._watch()
                yield self.step

    # --- a step ----------------------------------------------------------------------------------------------------

    def _batches(self) -> Generator[tuple[Planned, Batch]]:
        """Yield the micro-batches from the current step on; what is dropped is decided here, not in the workers."""
        node = self.node
        first, end = self.step * node.accumulation, node.steps * node.accumulation
        plans = ((planned, self._dropped(planned)) for planned in self.order.between(first, end))
        return ahead(lambda plan: (plan[0], self.records.batch(plan[0].indices, plan[1])), plans, node.data_workers)

    def _dropped(self, planned: Planned) -> list[bool]:
        places = range(len(planned.indices))
        return [
            chance(self.node.caption_dropout, self.node.seed, planned.micro_step, place, "caption") for place in places
        ]

    def _one_step(self, batches: Iterator[tuple[Planned, Batch]]) -> None:
        node = self.node
        for part in range(node.accumulation):
            self._leave_if_late(part)
            began = time.perf_counter()
            planned, batch = next(batches)
            if part + 1 < node.accumulation:
                with self.accelerator.no_sync(self.model):
                    self._gradients(planned, batch)
            else:
                self._gradients(planned, batch)
            self.pace = time.perf_counter() - began
        self.norm = optim.clip_(self.parameters, node.clip_norm)
        for group in self.plain_optimizer.param_groups:
            group["lr"] = node.optimizer.lr * factor(node.schedule, self.step, node.steps)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1

    def _gradients(self, planned: Planned, batch: Batch) -> None:
        draws = CountedDraws(self.node.seed, planned.micro_step, range(len(planned.indices)))
        batch = moved(batch, self.device)
        sigmas = self.family.draw_sigmas(batch, draws, self.options)
        seed_globals(self.node.seed, planned.micro_step, self.device)
        said = self.family.predict(self.model, batch, sigmas, draws, self.options)
        losses = losses_of(said, self.node.audio_weight)
        if not losses.total.requires_grad:
            names = named(sorted({self.samples[index].row for index in planned.indices}), self.context)
            raise Failure(
                f"nothing that trains takes part in what is said of {names}",
                "choose another target: silent clips, for one, pass through no layer of the sound",
            )
        self.accelerator.backward(losses.total.mean() / self.node.accumulation)
        self.reporter.note(planned, losses.named())

    def _leave_if_late(self, part: int) -> None:
        """Drop the step whose micro-step `part` is next, if the rest of it takes longer than there is time."""
        left = self.context.seconds_left
        if left == math.inf or (self.node.accumulation - part) * self.pace <= left:
            return
        self.reporter.drop(part)
        self.optimizer.zero_grad()
        if part:
            self.context.log(f"no time to finish step {self.step + 1}: its {part} micro-steps are dropped", "warning")
        self._leave()

    def _leave(self) -> None:
        """Keep the state after the last finished step, unless it is on disk, and leave."""
        if self.kept != self.step:
            self._save(None, "stopped")
        self.context.interrupted()

    # --- what watches ----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Do what is due after a step: metrics, evaluation, checkpoint, clips, stopping."""
        node, last = self.node, self.step == self.node.steps
        if self.step % node.log_every == 0 or last:
            self.reporter.write_metrics(self.step, self.plain_optimizer.param_groups[0]["lr"], self.norm)
        self.reporter.tell(self.step)
        if _due(node.evaluation.every, self.step) or last:
            self._evaluate()
        if _due(node.checkpoint_every, self.step) and not last:
            self._keep()
        if self.previews and _due(node.sample_every, self.step):
            as_loaded = preparing.drawn_with(self.module, self.named, getattr(torch, self.recipe.dtype))
            with self.reporter.aside(), preparing.unprepared(self.module), as_loaded:
                self.previews.draw(self.live, self.step)
        self._leave_if_owing()
        if self.context.stopping and not last:
            self._leave()

    def _leave_if_owing(self) -> None:
        if self.reporter.owed:
            self._leave()

    def _evaluate(self) -> None:
        settings = self.node.evaluation
        if not (self.held_out and settings.every):
            return
        with self.reporter.aside():
            records = Records(self.context, self.family, self.held_out, None)
            rows = [sample.row for sample in self.held_out]
            given = (records, rows, settings, self.device, lambda: self.context.stopping, self.node.audio_weight)
            figures = evaluate(self.family, self.model, *given)
            self.reporter.owed = figures is None
            if figures is not None:
                self.reporter.metrics(self.step, figures)

    # --- what is kept ----------------------------------------------------------------------------------------------

    def _keep(self) -> Learned:
        """Keep the state with its result, and put the result into the run's folder."""
        if self.trains is None:
            raise Failure(preparing.NOTHING, preparing.NOTHING_REMEDY)
        with self.reporter.aside():
            result = self.trains.keep(self.recipe, self.module, self.step, self.context)
            self._save(result, "kept")
            self.kept = self.step
            for name, blob in result.plain_files():
                self.context.publish(blob, f"{_folder_of(self.step)}/{name}")
        return result

    def _save(self, result: Learned | None, kind: checkpoints.Kind) -> None:
        notes = self.reporter.notes(self.step)  # what is not finite is never kept
        if not torch.isfinite(self.norm):
            raise Failure(
                f"the gradients of step {self.step} are not finite", "lower optimizer.lr; the last checkpoint is kept"
            )
        work, tensors = self.context.work, optim.state_tensors(self.plain_optimizer, self.named)
        checkpoints.write(work, self.step, tensors, result, kind, notes)
        self._let_go(checkpoints.prune(work, self.step, self.node.checkpoint_limit))

    def _let_go(self, gone: Sequence[checkpoints.State]) -> None:
        """Remove the results of states that are gone, here and now and then from the store, if nobody else has them."""
        for state in gone:
            if state.result is not None:
                shutil.rmtree(self.context.run_folder("checkpoints") / _folder_of(state.step).name, ignore_errors=True)
                self.spare += state.result.blobs()
        if sum(blob.size for blob in self.spare) > _SPARE:
            self.context.release(self.spare)
            self.spare = []


def _folder_of(step: int) -> PurePosixPath:
    """Return where the result of a step stands in the run's folder."""
    return PurePosixPath("checkpoints", f"step-{step:06d}")


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _held_out(node: TrainLoop, inputs: Inputs, context: Context) -> tuple[Sample, ...]:
    latents, captions = inputs.held_out_latents, inputs.held_out_captions
    if (latents is None) != (captions is None):
        missing = "held_out_latents" if latents is None else "held_out_captions"
        raise Failure(f"nothing is linked to {missing}", "link both held-out clips and their captions, or neither")
    if latents is None or captions is None or not len(latents):
        return ()
    held_out = join(latents, captions, context, inputs.held_out_images, inputs.held_out_audio)
    return held_out[: node.evaluation.max_samples]


def _newest(node: TrainLoop, context: Context) -> tuple[checkpoints.State | None, dict[str, torch.Tensor] | None]:
    """Return the newest undamaged state that is not beyond the last step, with its tensors."""
    for state in reversed(checkpoints.states(context.work)):
        if state.step <= node.steps:
            tensors = state.tensors()
            if tensors is not None:
                return state, tensors
            context.log(f"the state of step {state.step} is damaged; an older one is used", "warning")
    return None, None


def _has(context: Context, result: Learned) -> bool:
    try:
        for blob in result.blobs():
            context.blob_path(blob)
    except Failure:
        return False
    return True
