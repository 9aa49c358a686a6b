"""What is trained on: losses by hand, and gradients of several micro-steps."""

import pytest
import torch

from vflow.nodes.families.exchange import Prediction
from vflow.nodes.training import optim
from vflow.nodes.training.evaluation import losses_of, sample_losses


def test_a_sample_counts_the_tokens_that_weigh_and_as_much_as_a_sample_of_which_all_do():
    """Two samples of four tokens; of the second, the first frame (two tokens) is clean and its error is enormous."""
    prediction = torch.tensor([[[1.0], [2.0], [3.0], [4.0]], [[100.0], [100.0], [1.0], [3.0]]])
    weight = torch.tensor([[[1.0]] * 4, [[0.0], [0.0], [1.0], [1.0]]])
    said = Prediction(prediction, torch.zeros_like(prediction), weight)
    assert sample_losses(said).tolist() == pytest.approx([(1 + 4 + 9 + 16) / 4, (1 + 9) / 2])


def test_a_stream_of_sound_counts_by_its_own_tokens_and_channels():
    video = Prediction(torch.full((1, 100, 16), 2.0), torch.zeros(1, 100, 16), torch.ones(1, 100, 1))
    video.audio = Prediction(torch.full((1, 3, 8), 3.0), torch.zeros(1, 3, 8), torch.ones(1, 3, 1))
    losses = losses_of(video, 0.5)
    assert (losses.video.item(), losses.audio.item()) == (4.0, 9.0)
    assert losses.total.item() == 8.5


def test_errors_are_squared_in_float32_whatever_the_prediction_is_of():
    prediction = torch.full((1, 4096, 1), 1.01).bfloat16()
    said = Prediction(prediction, torch.ones(1, 4096, 1), torch.ones(1, 4096, 1))
    assert sample_losses(said).item() == pytest.approx((float(prediction[0, 0, 0]) - 1) ** 2, rel=1e-6)


def test_accumulated_gradients_are_the_mean_of_their_micro_steps(bench, monkeypatch):
    """Micro-steps of clips of unlike size, each drawing what it draws by itself, at weights that stand still."""
    seen, clip = [], optim.clip_

    def watched(parameters, norm):
        seen.append([p.grad.clone() for p in parameters])
        return clip(parameters, norm)

    monkeypatch.setattr(optim, "clip_", watched)
    settings = {"batch_size": 1, "seed": 3, "optimizer": {"lr": 1e-30, "weight_decay": 0.0}}
    bench.train("apart", steps=3, **settings)
    bench.train("together", steps=1, accumulation=3, **settings)
    *apart, together = seen
    assert len(apart) == 3
    for whole, *parts in zip(together, *apart, strict=True):
        torch.testing.assert_close(whole, torch.stack(parts).mean(0), atol=1e-7, rtol=1e-4)
    assert any(gradient.abs().sum() > 0 for gradient in together)
