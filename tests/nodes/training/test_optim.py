"""AdamW on bfloat16 with stochastic rounding, clipping, and states as plain tensors."""

import pytest
import torch

from vflow.nodes.training import optim
from vflow.nodes.training.optim import AdamWBf16, clip_, load_state, state_tensors, stochastically_rounded
from vflow.nodes.training.settings import OptimizerSettings


def parameters(dtype, *shapes):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape).to(torch.bfloat16).to(dtype)) for shape in shapes]


def trained(optimizer, weights, steps, target=0.5):
    for step in range(steps):
        for weight in weights:
            noise = torch.sin(torch.arange(weight.numel()) + step).view(weight.shape)
            weight.grad = (weight.detach().float() - target + 0.1 * noise).to(weight.dtype)
        optimizer.step()
    return [weight.detach().float() for weight in weights]


def test_rounding_gives_a_neighbour_and_is_right_on_average():
    values = torch.tensor([1.0 + 2**-7 * 0.25, -3.0 - 2**-6 * 0.75, 1.0, 0.0, 1e-20])
    rounded = stochastically_rounded(values.repeat(20_000, 1), torch.Generator().manual_seed(1)).float()
    for column, value in zip(rounded.unbind(1), values, strict=True):
        assert len(column.unique()) <= 2
        assert abs(column - value).max() <= abs(value) * 2**-7
        assert column.mean().item() == pytest.approx(value.item(), rel=2**-12, abs=1e-22)


def test_bfloat16_weights_go_where_float32_weights_go():
    shapes = [(64, 8), (8, 64), (100,)]
    common = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    exact = parameters(torch.float32, *shapes)
    wanted = trained(torch.optim.AdamW(exact, **common), exact, 300)
    rounded = parameters(torch.bfloat16, *shapes)
    found = trained(AdamWBf16(rounded, seed=1, **common), rounded, 300)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours - theirs).abs().mean() < 0.03  # a random walk: the weights moved by ten times as much
        assert abs((ours - theirs).mean()) < 0.005


def test_float32_weights_among_bfloat16_ones_are_not_rounded():
    common = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    exact = parameters(torch.float32, (64, 8))
    (wanted,) = trained(torch.optim.AdamW(exact, **common), exact, 50)
    mixed = [parameters(torch.float32, (64, 8))[0], *parameters(torch.bfloat16, (8, 64))]
    optimizer = AdamWBf16(mixed, seed=1, **common)
    found, _ = trained(optimizer, mixed, 50)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    moments = [{optimizer.state[p][name].dtype for name in ("exp_avg", "exp_avg_sq")} for p in mixed]
    assert moments == [{torch.float32}, {torch.bfloat16}]


def test_steps_too_small_for_bfloat16_still_add_up():
    weight = torch.nn.Parameter(torch.ones(4096, dtype=torch.bfloat16))
    optimizer = AdamWBf16([weight], lr=1e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    for _ in range(1000):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert weight.float().mean().item() == pytest.approx(0.99, abs=0.001)


@pytest.mark.parametrize("name", ["adamw", "adamw_bf16"])
def test_an_optimizer_goes_on_from_its_state_bit_by_bit(name):
    settings = OptimizerSettings(name=name, lr=1e-2)

    def begin():
        weights = parameters(optim.dtype_of(settings), (16, 4), (7,))
        return list(zip("ab", weights, strict=True)), optim.make(settings, weights, seed=5)

    straight, optimizer = begin()
    trained(optimizer, [weight for _, weight in straight], 4)
    kept = {name: tensor.clone() for name, tensor in state_tensors(optimizer, straight).items()}
    wanted = trained(optimizer, [weight for _, weight in straight], 3)
    resumed, optimizer = begin()
    load_state(optimizer, resumed, kept, step=4)
    found = trained(optimizer, [weight for _, weight in resumed], 3)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_a_state_of_other_parameters_is_refused():
    weights = parameters(torch.float32, (3,))
    optimizer = optim.make(OptimizerSettings(), weights, seed=0)
    with pytest.raises(KeyError):
        load_state(optimizer, [("a", weights[0])], {"weight/b": torch.zeros(3)}, 1)


def test_weights_without_a_gradient_stay():
    moved, still = parameters(torch.bfloat16, (3,), (3,))
    before = still.detach().clone()
    moved.grad = torch.ones_like(moved)
    AdamWBf16([moved, still], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1).step()
    assert torch.equal(still, before)


def test_weights_that_begin_later_or_rest_go_where_those_of_adamw_go():
    """As the layers of the sound do where only some batches sound: their first update is as large as any first one."""
    common = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}

    def run(kind, **more):
        weights = parameters(torch.float32, (8,), (8,))
        optimizer = kind(weights, **common, **more)
        moved = []
        for step in range(60):
            for weight, rests in zip(weights, (False, step < 40 or step % 3), strict=True):
                weight.grad = None if rests else weight.detach() - 0.5
            before = weights[1].detach().clone()
            optimizer.step()
            moved.append((weights[1].detach() - before).abs().max().item())
        return [weight.detach() for weight in weights], moved

    wanted, _ = run(torch.optim.AdamW)
    found, moved = run(AdamWBf16, seed=1)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert max(moved[:42]) == 0
    assert moved[42] == pytest.approx(1e-2, rel=0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clipping_scales_to_the_norm_and_keeps_the_direction(dtype):
    first, second = parameters(dtype, (4,), (4,))
    first.grad, second.grad = torch.full((4,), 3.0, dtype=dtype), torch.full((4,), 4.0, dtype=dtype)
    assert clip_([first, second], 1.0).item() == pytest.approx(10.0)
    assert first.grad.float().tolist() == pytest.approx([0.3] * 4, rel=0.01)
    assert second.grad.float().tolist() == pytest.approx([0.4] * 4, rel=0.01)
    assert clip_([first, second], 100.0).item() == pytest.approx(1.0, rel=0.01)
    before = first.grad.clone()
    clip_([first, second], 0.0)
    assert torch.equal(first.grad, before)
