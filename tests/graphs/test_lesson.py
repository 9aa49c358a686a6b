"""The quickstart's lesson: the miniature cannot follow it before the training and can after, and mistakes are seen.

Scores are measurements of the pixels of the clips that the runs export (`nodes/data/scores.py`).
"""

from types import SimpleNamespace

import av
import numpy as np
import pytest
import yaml

from vflow.nodes.data import scores, world
from vflow.nodes.families.ltx2 import latents, training

from .conftest import GRAPH, run_here

KNOWN = [
    world.named("circle", "blue", "from left to right", "dark", 1),
    world.named("square", "green", "from right to left", "brown", 2),
    world.named("triangle", "white", "from top to bottom", "dark", 3),
]
TAUGHT = [
    world.named("circle", "red", world.LESSON_MOTION, "dark", 4),
    world.named("square", "green", world.LESSON_MOTION, "grey", 5),
    world.named("triangle", "blue", world.LESSON_MOTION, "brown", 6),
    world.named("square", "purple", world.LESSON_MOTION, "dark", 7),
]
UNTAUGHT = [
    world.named("circle", "yellow", world.LESSON_MOTION, "dark", 8),
    world.named("square", "white", world.LESSON_MOTION, "grey", 9),
]


def share(clips, scenes):
    """How many of the clips have the colour and the motion that their captions ask for, and one size throughout."""
    return np.mean([scores.is_exact(scores.measure(clip), scene) for clip, scene in zip(clips, scenes, strict=True)])


def read(folder):
    found = []
    for file in sorted(folder.glob("*.mp4")):
        with av.open(str(file)) as container:
            found.append(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]))
    return found


class School:
    """The quickstart's graph with prompts to be scored, over one store."""

    def __init__(self, place):
        self.place = place

    def teach(self, name, scenes, *words, store="store"):
        data = yaml.safe_load(GRAPH.read_text())
        profile = data["profiles"]["tiny"]
        profile["nodes"]["prompt_texts"]["prompts"] = [scene.caption for scene in scenes]
        profile["nodes"]["train"] |= {"sample_every": 0, "checkpoint_every": 0, "evaluation": {"every": 0}}
        profile["outputs"]["before"] = "before"
        (self.place / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
        out = self.place / name
        words = ("run", self.place / f"{name}.yaml", "--profile", "tiny", "--out", out, *words)
        result = run_here(*words, store=self.place / store, cwd=self.place)
        assert result.returncode == 0, result.stderr
        return SimpleNamespace(before=read(out / "outputs/before"), after=read(out / "outputs/videos"), out=out)


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    return School(tmp_path_factory.mktemp("school"))


@pytest.fixture(scope="module")
def lesson(school):
    return school.teach("right", KNOWN + TAUGHT + UNTAUGHT)


def test_before_the_lesson_the_miniature_draws_what_it_knows_and_not_what_is_taught(lesson):
    assert share(lesson.before[: len(KNOWN)], KNOWN) == 1
    assert share(lesson.before[len(KNOWN) :], TAUGHT + UNTAUGHT) == 0


def test_after_the_lesson_it_draws_what_was_taught_in_other_colours_too_and_what_it_knew(lesson):
    known, taught = len(KNOWN), len(KNOWN) + len(TAUGHT)
    assert share(lesson.after[known:taught], TAUGHT) >= 0.75
    assert share(lesson.after[taught:], UNTAUGHT) >= 0.5
    assert share(lesson.after[:known], KNOWN) >= 0.6


def test_the_strip_shows_both(lesson):
    from PIL import Image

    lines = 2 * len(KNOWN + TAUGHT + UNTAUGHT)
    with Image.open(lesson.out / "outputs/strip/picture.png") as strip:
        assert strip.width == 6 * 96 + 5 * 4
        assert strip.height > lines * 96


def flipped(monkeypatch, place):
    right = training.predict

    def wrong(*given):
        said = right(*given)
        said.target = -said.target
        return said

    monkeypatch.setattr(training, "predict", wrong)
    return ("--set", "seed=1")


def unscaled_timesteps(monkeypatch, place):
    monkeypatch.setattr(training, "TIMESTEPS", 1.0)
    return ("--set", "seed=2")


def not_normalised(monkeypatch, place):
    monkeypatch.setattr(latents, "normalise", lambda raw, vae: raw)
    return ("--cache", place / "raw")


def captions_of_others(monkeypatch, place):
    folder = place / "shuffled"
    folder.mkdir()
    scenes = list(world.lesson(24, 0))
    world.draw_clips(folder, scenes)
    for number, file in enumerate(sorted(folder.glob("*.txt"))):
        file.write_text(scenes[(number + 1) % len(scenes)].caption)
    return ("--set", f"clips={folder}")


@pytest.mark.parametrize("mistake", [flipped, unscaled_timesteps, not_normalised, captions_of_others])
def test_a_mistake_is_seen_in_what_is_drawn(school, lesson, mistake, monkeypatch):
    right = share(lesson.after[len(KNOWN) : len(KNOWN) + len(TAUGHT)], TAUGHT)
    words = mistake(monkeypatch, school.place)
    wrong = school.teach(mistake.__name__, TAUGHT, *words)
    assert share(wrong.after, TAUGHT) <= right - 0.5


def test_an_adapter_that_is_not_applied_is_seen(lesson):
    taught = slice(len(KNOWN), len(KNOWN) + len(TAUGHT))
    assert share(lesson.before[taught], TAUGHT) <= share(lesson.after[taught], TAUGHT) - 0.5
