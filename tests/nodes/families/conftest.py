"""What the tests of every family share: training all weights of a miniature as the loop does, and counting products."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vflow.nodes.families.exchange import FlowOptions
from vflow.nodes.models import unfreezing
from vflow.nodes.models.weights import Unfrozen
from vflow.nodes.training import optim, preparing
from vflow.nodes.training.draws import CountedDraws
from vflow.nodes.training.evaluation import sample_losses
from vflow.nodes.training.settings import OptimizerSettings


def _loss(family, model, batch, sigmas, draws):
    return sample_losses(family.predict(model, batch, sigmas, draws, FlowOptions(first_frame_probability=0.0))).mean()


@torch.no_grad()
def _evaluate(family, model, batch):
    rows = range(len(batch.latents))
    levels = (0.2, 0.4, 0.6, 0.8)
    found = [
        _loss(family, model, batch, torch.full((len(rows),), sigma), CountedDraws(1, level, rows))
        for level, sigma in enumerate(levels)
    ]
    return torch.stack(found).mean().item()


def _train_fully(family, checkpoint, batch, steps=60, lr=2e-3):
    """Train all weights on one batch; returns the model, and the loss at fixed noise before and after."""
    live = family.load("transformer", checkpoint, "float32")
    unfreezing.unfreeze(Unfrozen(pattern=".*"), live)
    model = live.modules()["transformer"]
    named = preparing.trained_parameters(model, torch.float32)
    parameters = [parameter for _, parameter in named]
    optimizer = optim.make(OptimizerSettings(lr=lr), parameters, 0)
    before, rows = _evaluate(family, model, batch), range(len(batch.latents))
    for step in range(steps):
        draws = CountedDraws(0, step, rows)
        _loss(family, model, batch, family.draw_sigmas(batch, draws, FlowOptions()), draws).backward()
        optim.clip_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return SimpleNamespace(live=live, model=model, before=before, after=_evaluate(family, model, batch))


@pytest.fixture(scope="session")
def train_fully():
    """Train all weights of a miniature on one batch: `train_fully(family, checkpoint, batch, steps, lr)`."""
    return _train_fully


@pytest.fixture
def saved_as(tmp_path):
    """Save a model and load it again by its own class: `saved_as(model, "bfloat16")`."""

    def save(model, dtype):
        folder = tmp_path / dtype
        folder.mkdir()
        unfreezing.save(model, folder, dtype)
        loaded, report = type(model).from_pretrained(
            folder, torch_dtype=getattr(torch, dtype), output_loading_info=True
        )
        assert not any(report.values())
        return loaded.eval()

    return save


class _Products(TorchDispatchMode):
    """Counts matrix products, convolutions and attentions by the types of what goes into them."""

    _NAMED = ("mm", "bmm", "addmm", "baddbmm", "convolution")

    def __init__(self):
        super().__init__()
        self.types = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in self._NAMED or "attention" in name:
            self.types[tuple(sorted({str(a.dtype) for a in args if isinstance(a, torch.Tensor)}))] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def products():
    """Count what a forward multiplies, by type, as it is in inference and in training: `products(predict)`.

    `predict` is called twice on a bfloat16 model, without autocast and with it, which is how the loop calls it.
    """

    def count(predict):
        found = []
        for autocast in (False, True):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast), _Products() as counted:
                predict()
            found.append(counted.types)
        return found

    return count
