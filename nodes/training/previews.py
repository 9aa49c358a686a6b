"""Clips drawn on the way: plain files in the run's folder, which change nothing of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Interrupted, VflowError

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.values import Sampling


class Previews:
    """Draws the sampler's prompts with the adapter as it is now."""

    def __init__(self, context: Context, sampler: Sampling) -> None:
        self._context, self._sampler = context, sampler

    def draw(self, live: Any, step: int) -> None:
        """Draw every prompt to `samples/step-000100/<row>.mp4`; what goes wrong is said and ends nothing.

        Leaves early when the run is stopping, so that the loop can keep its state.
        """
        from vflow.nodes.validation import drawing  # which loads PyAV: not before the first clip is drawn

        try:
            context, sampler = self._context, self._sampler
            with (
                context.load(sampler.vae, keep=False) as vae,
                drawing.seeing(context, sampler, keep=False) as encoder,
                context.scratch() as folder,
            ):
                for clip in drawing.clips(context, live, vae, sampler, folder, self._check_stopping, encoder):
                    context.publish(clip.file, f"samples/step-{step:06d}/{clip.row}.mp4")
        except (_Stopping, Interrupted):
            return
        except (VflowError, RuntimeError, ValueError, OSError) as error:
            # a training of days does not end because a preview did not fit into memory
            self._context.log(f"no clips of step {step}: {error}", "warning")

    def _check_stopping(self, _done: int, _total: int) -> None:
        if self._context.stopping:
            raise _Stopping


class _Stopping(Exception):
    pass
