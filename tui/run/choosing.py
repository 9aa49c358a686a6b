"""Which samples are looked at: one prompt, at one stage or at two beside each other, of one run or of two. Pure."""

from __future__ import annotations

from vflow.tui.run.samples import Gallery, Sample, Stage


class Choice:
    """A prompt and the stages chosen of it. Of one run there are one or two sides, of two runs one side each.

    While the newest stage is chosen, it stays the newest as more come.
    """

    def __init__(self) -> None:
        self.galleries: tuple[Gallery, ...] = ()
        self.prompt = ""
        self.chosen: list[Stage] = []  # for each side; of two runs, the same for both
        self.side = 0  # which of them moves

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts of all runs."""
        return tuple(dict.fromkeys(prompt for gallery in self.galleries for prompt in gallery.prompts))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the prompt, of all runs, in order."""
        every = {stage for gallery in self.galleries for stage in gallery.stages(self.prompt)}
        return tuple(sorted(every, key=lambda stage: stage.order))

    @property
    def words(self) -> str:
        """The prompt in words."""
        full = next((gallery for gallery in self.galleries if self.prompt in gallery.words), None)
        return (full or self.galleries[0]).said(self.prompt) if self.galleries and self.prompt else ""

    @property
    def sides(self) -> int:
        """How many pictures there are beside each other."""
        return max(1, len(self.chosen) if len(self.galleries) < 2 else len(self.galleries))

    def sample(self, side: int) -> Sample | None:
        """Return what is shown on a side; None where there is nothing of this prompt."""
        if not self.chosen or side >= self.sides:
            return None
        if len(self.galleries) > 1:
            return self.galleries[side].at(self.prompt, self.chosen[0])
        return self.galleries[0].at(self.prompt, self.chosen[side])

    def show(self, *galleries: Gallery) -> None:
        """Look at these runs; what was chosen stays chosen as far as it is there."""
        newest = [bool(self.stages) and stage == self.stages[-1] for stage in self.chosen]
        if len(galleries) != len(self.galleries):
            self.chosen, self.side, newest = [], 0, []
        self.galleries = galleries
        if self.prompt not in self.prompts:
            self.prompt, self.chosen, self.side = next(iter(self.prompts), ""), [], 0
        self._settle(newest)

    def move_prompt(self, by: int) -> None:
        """Take the next prompt, or the one before; at the end, begin again."""
        if prompts := self.prompts:
            self.prompt = prompts[(prompts.index(self.prompt) + by) % len(prompts)]
            self._settle([])

    def move_stage(self, by: int) -> None:
        """Take a later stage, or an earlier one; none beyond the ends."""
        if self.chosen:
            place = self.stages.index(self.chosen[self.side]) + by
            self.chosen[self.side] = self.stages[min(max(place, 0), len(self.stages) - 1)]

    def choose(self, stage: Stage) -> None:
        """Take this stage."""
        if stage in self.stages:
            self.chosen[self.side] = stage

    def beside(self) -> bool:
        """Put the first stage beside the chosen one, or leave that one alone; False where there is but one stage."""
        if len(self.galleries) != 1 or not self.chosen:
            return False
        if len(self.chosen) == 2:
            self.chosen, self.side = [self.chosen[self.side]], 0
            return True
        stages = self.stages
        if len(stages) < 2:
            return False
        other = stages[0] if self.chosen[0] != stages[0] else stages[-1]
        self.chosen = sorted([other, self.chosen[0]], key=lambda stage: stage.order)
        self.side = 1
        return True

    def swap(self) -> bool:
        """Move the other side from now on; False where there is none."""
        if len(self.chosen) < 2:
            return False
        self.side = 1 - self.side
        return True

    def _settle(self, newest: list[bool]) -> None:
        """Keep to stages that there are: the newest stays the newest, another one that is gone gives way to it."""
        stages = self.stages
        if not stages:
            self.chosen, self.side = [], 0
            return
        kept = self.chosen or [stages[-1]]
        follows = newest or [False] * len(kept)
        self.chosen = [
            stages[-1] if follow or stage not in stages else stage for stage, follow in zip(kept, follows, strict=True)
        ]
