"""The declaration of the training loop: its settings, its key, and what it says before anything heavy starts."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from vflow.engine.values import Blob, Items
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.models.weights import Unfrozen
from vflow.nodes.training import TrainLoop
from vflow.nodes.values import EMPTY_ROW, VAE, Embedding, Latent, Sampling, Source, Transformer


def node(**settings):
    return TrainLoop.model_validate_json(json.dumps(settings))


class Facts:
    """As much of a context as preflight asks for."""

    def __init__(self, folder):
        self.store_folder, self.facts = folder, {}

    def label_of(self, row):
        return row

    def is_linked(self, port):
        return False

    def report(self, facts):
        self.facts |= facts


def source(part, family="ltx2"):
    return Source(family=family, part=part, content=part, model="tiny://ltx2", kind="tiny")


def transformer(*done, dtype="bfloat16"):
    return Transformer(source=source("transformer"), dtype=dtype, transformations=done)


TRAINING = LoRA(rank=4, alpha=4, pattern=".*to_q")


def problems(folder, loop, **inputs):
    return list(loop.preflight(Facts(folder), **{**dict.fromkeys(TrainLoop.ports), **inputs}))


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": True},
        {"optimizer": {"lr": "1e-4"}},
        {"optimizer": {"betas": [0.9, 1.0]}},
        {"optimizer": {"name": "sgd"}},
        {"schedule": {"warmup": 5}},
        {"evaluation": {"sigmas": [0.0]}},
        {"evaluation": {"sigmas": []}},
        {"batch_size": 0},
        {"learning_rate": 1e-4},
    ],
)
def test_settings_are_strict(settings):
    with pytest.raises(ValidationError):
        node(**settings)


def test_what_only_watches_or_places_is_no_part_of_the_key():
    plain = node(steps=10)
    watched = node(
        steps=10,
        checkpoint_every=1,
        checkpoint_limit=9,
        sample_every=3,
        log_every=2,
        tensorboard=False,
        data_workers=0,
        gradient_checkpointing=False,
        evaluation={"every": 1, "sigmas": [0.5]},
    )
    assert watched.key_settings() == plain.key_settings()
    assert node(steps=10, seed=1).key_settings() != plain.key_settings()
    assert node(steps=10, optimizer={"lr": 1e-3}).key_settings() != plain.key_settings()


def test_only_a_constant_schedule_lets_a_longer_training_go_on_from_a_shorter():
    assert node(steps=10).key_settings() != node(steps=20).key_settings()
    assert node(steps=10).work_settings() == node(steps=20).work_settings()
    cosine = [node(steps=steps, schedule={"name": "cosine"}).work_settings() for steps in (10, 20)]
    assert cosine[0] != cosine[1]


def test_a_sound_training_has_no_problem_and_says_what_it_is(tmp_path):
    facts = Facts(tmp_path)
    assert not list(node(batch_size=2, accumulation=3).preflight(facts, transformer=transformer(TRAINING)))
    assert facts.facts["samples per step"] == 6


@pytest.mark.parametrize(
    ("settings", "recipe", "words"),
    [
        ({}, transformer(), "nothing of the transformer"),
        ({"precision": "fp32"}, transformer(TRAINING), "loaded as bfloat16"),
        (
            {"precision": "fp32", "optimizer": {"name": "adamw_bf16"}},
            transformer(TRAINING, dtype="float32"),
            "adamw_bf16",
        ),
        ({"steps": 5, "schedule": {"name": "linear", "warmup_steps": 5}}, transformer(TRAINING), "warm-up"),
    ],
)
def test_what_does_not_fit_is_told_with_a_remedy(tmp_path, settings, recipe, words):
    (problem,) = problems(tmp_path, node(**settings), transformer=recipe)
    assert words in problem.message
    assert problem.remedy
    assert problem.severity == "error"


@pytest.mark.parametrize(
    ("task", "probability", "wrong"),
    [("t2v", None, 0), ("t2v", 0.0, 0), ("t2v", 0.5, 1), ("i2v", None, 0), ("i2v", 0.5, 1), ("either", 0.5, 0)],
)
def test_a_checkpoint_for_one_task_leaves_no_choice_of_first_frames(tmp_path, task, probability, wrong):
    recipe = transformer(TRAINING)
    recipe = recipe.model_copy(update={"source": recipe.source.model_copy(update={"task": task})})
    found = problems(tmp_path, node(flow={"first_frame_probability": probability}), transformer=recipe)
    assert sum(problem.where == "flow.first_frame_probability" for problem in found) == wrong


@pytest.mark.parametrize(("pattern", "severity"), [(".*", "warning"), ("blocks.*", "hint")])
def test_an_offload_of_weights_that_train_is_told_to_move_nothing(tmp_path, pattern, severity):
    recipe = transformer(Unfrozen(pattern=pattern), GroupOffloading(device="cpu"))
    (problem,) = problems(tmp_path, node(), transformer=recipe)
    assert "GroupOffload moves nothing" in problem.message
    assert problem.severity == severity
    assert not problems(tmp_path, node(), transformer=transformer(Unfrozen(pattern=pattern)))


def test_a_long_warm_up_of_a_training_that_may_go_on_is_a_warning(tmp_path):
    loop = node(steps=5, schedule={"warmup_steps": 5})
    assert [p.severity for p in problems(tmp_path, loop, transformer=transformer(TRAINING))] == ["warning"]


def test_a_sampler_of_another_family_is_an_error(tmp_path):
    vae = VAE(source=source("vae", "other"))
    sampler = Sampling(vae=vae, prompts=(), width=64, height=64, frames=9, fps=25.0, steps=1, guidance=1.0, seed=0)
    (problem,) = problems(tmp_path, node(), transformer=transformer(TRAINING), sampler=sampler)
    assert "other" in problem.message


def test_samples_are_checked_as_soon_as_they_are_known(tmp_path):
    blob = Blob(digest="0", size=1)
    latents = Items.of({"a": Latent(blob=blob, frames=9, height=64, width=64, fps=25.0)})
    captions = Items.of({"b": Embedding(blob=blob), EMPTY_ROW: Embedding(blob=blob)})
    known = {"transformer": transformer(TRAINING), "latents": latents, "captions": captions}
    (problem,) = problems(tmp_path, node(), **known)
    assert "without an encoded caption: a" in problem.message
    without_empty = Items.of({"a": Embedding(blob=blob)})
    (problem,) = problems(tmp_path, node(), **{**known, "captions": without_empty})
    assert "empty caption" in problem.message


def test_declaring_and_checking_import_nothing_heavy():
    program = (
        "import sys; import vflow.nodes.training, vflow.nodes.training.checks, vflow.nodes.training.checkpoints, "
        "vflow.nodes.validation, vflow.nodes.encode; "
        "print([m for m in ('torch', 'numpy', 'diffusers', 'transformers', 'peft', 'accelerate', 'av', 'safetensors') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
