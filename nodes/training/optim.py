"""Optimisers, their states as plain tensors, and clipping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from vflow.nodes.training.draws import counted_seed
from vflow.nodes.training.settings import OptimizerSettings

_CHUNK = 2**26  # elements updated at once: bounds the float32 copies to 256 MiB each
_MOMENTS = ("exp_avg", "exp_avg_sq")

Named = Sequence[tuple[str, torch.nn.Parameter]]


def dtype_of(settings: OptimizerSettings) -> torch.dtype:
    """Return the dtype in which this optimiser keeps the trained weights."""
    return torch.bfloat16 if settings.name == "adamw_bf16" else torch.float32


def make(settings: OptimizerSettings, parameters: Iterable[torch.nn.Parameter], seed: int) -> torch.optim.Optimizer:
    """Make the optimiser; `seed` is for the rounding of `adamw_bf16`."""
    common: dict[str, Any] = {
        "lr": settings.lr, "betas": settings.betas, "eps": settings.eps, "weight_decay": settings.weight_decay,
    }  # fmt: skip
    if settings.name == "adamw_bf16":
        return AdamWBf16(parameters, seed=seed, **common)
    return torch.optim.AdamW(parameters, fused=True, **common)


class AdamWBf16(torch.optim.Optimizer):
    """AdamW on bfloat16 weights with bfloat16 moments; computed in float32, rounded stochastically.

    Weights in float32 among them have moments in float32 and are not rounded.

    With g the gradient and k the number of the weight's update, counted from 1, in float32:

        m <- b1*m + (1-b1)*g            v <- b2*v + (1-b2)*g*g
        p <- p - lr*wd*p - lr * (m / (1-b1^k)) / (sqrt(v / (1-b2^k)) + eps)

    This is Loshchilov and Hutter's AdamW. It differs from what trainers usually call "bf16 AdamW" in three ways: both
    moments are bias-corrected; both moments are rounded stochastically too (rounded to nearest, v would stand still at
    b2 = 0.999, where it moves by a thousandth and bfloat16 resolves 1/256); and no residual buffer is kept, since
    stochastic rounding loses nothing on average. Extra state: 4 bytes a weight. The rounding's random bits come from
    (seed, step), so that a resumed run rounds alike. A weight without a gradient stays as it is, moments and all: where
    some clips are silent, those of the sound are updated in other steps than those of the video.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        seed: int = 0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "step": 0})
        self._seed = seed

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all weights that have a gradient."""
        for group in self.param_groups:
            group["step"] += 1
            with_gradient = [(p, self._counted(p)) for p in group["params"] if p.grad is not None]
            for number, (chunk, updates) in enumerate(_chunks(with_gradient)):
                generator = torch.Generator(chunk[0].device)
                generator.manual_seed(counted_seed(f"{self._seed}/{group['step']}/{number}/rounding"))
                self._update(chunk, updates, group, generator)

    def _counted(self, parameter: torch.nn.Parameter) -> int:
        """Count an update of a parameter, and return how many there were with it."""
        state = self.state[parameter]
        updates = state["step"] = int(state.get("step", 0)) + 1
        return updates

    def _update(
        self, chunk: list[torch.nn.Parameter], updates: int, group: dict[str, Any], generator: torch.Generator
    ) -> None:
        first, second = group["betas"]
        kept = [[self._moment(p, name) for p in chunk] for name in _MOMENTS]
        weights = _flat(chunk)
        gradient = _flat([p.grad for p in chunk if p.grad is not None])
        mean, square = (_flat(moments) for moments in kept)
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (square / (1 - second**updates)).sqrt_().add_(group["eps"])
        weights.mul_(1 - group["lr"] * group["weight_decay"])
        weights.addcdiv_(mean, root, value=-group["lr"] / (1 - first**updates))
        whole = chunk[0].dtype == torch.float32
        for flat, targets in ((weights, chunk), (mean, kept[0]), (square, kept[1])):
            _spread(flat if whole else stochastically_rounded(flat, generator), targets)

    def _moment(self, parameter: torch.nn.Parameter, name: str) -> torch.Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        moment: torch.Tensor = state[name]
        return moment


def stochastically_rounded(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Round float32 to one of the two neighbouring bfloat16, with odds by distance: right on average.

    bfloat16 is the upper half of float32: a random 16-bit number is added to the lower half, which is then cut off.
    """
    noise = torch.randint(0, 1 << 16, values.shape, dtype=torch.int32, device=values.device, generator=generator)
    bits = noise.add_(values.view(torch.int32)).bitwise_and_(-(1 << 16))
    return bits.view(torch.float32).to(torch.bfloat16)


def clip_(parameters: Iterable[torch.nn.Parameter], max_norm: float) -> torch.Tensor:
    """Scale the gradients down so that their norm, taken over all of them, is at most `max_norm`; 0 scales nothing.

    Returns the norm before, float32 (), computed in float32 whatever the gradients' dtype.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch._foreach_norm(gradients, 2.0, dtype=torch.float32)
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
    if max_norm:
        torch._foreach_mul_(gradients, torch.clamp(max_norm / (norm + 1e-6), max=1.0))
    return norm


def state_tensors(optimizer: torch.optim.Optimizer, parameters: Named) -> dict[str, torch.Tensor]:
    """Return weights, moments and counts by name: `weight/<parameter>`, `<moment>/<parameter>`, `step/<parameter>`."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in parameters:
        tensors[f"weight/{name}"] = parameter.detach()
        for what, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{what}/{name}"] = torch.as_tensor(value)
    return tensors


def load_state(
    optimizer: torch.optim.Optimizer, parameters: Named, tensors: Mapping[str, torch.Tensor], step: int
) -> None:
    """Put back what `state_tensors` returned after `step` steps.

    Raises:
        KeyError: the state is of other parameters.
    """
    states: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        what, _, name = key.partition("/")
        states.setdefault(name, {})[what] = tensor
    if states.keys() != {name for name, _ in parameters}:
        raise KeyError("the state is of other parameters")
    for name, parameter in parameters:
        state = {what: tensor.to(parameter.device, copy=True) for what, tensor in states[name].items()}
        parameter.data.copy_(state.pop("weight"))
        if state:
            optimizer.state[parameter] = state
    for group in optimizer.param_groups:
        if "step" in group:
            group["step"] = step


def _chunks(parameters: Iterable[tuple[torch.nn.Parameter, int]]) -> Iterator[tuple[list[torch.nn.Parameter], int]]:
    """Cut a list of parameters and their numbers of updates into parts that are updated at once.

    Each is of one device, type and number, and of at most `_CHUNK` elements (or one parameter).
    """
    chunk: list[torch.nn.Parameter] = []
    size, kind = 0, None
    for parameter, updates in parameters:
        own = (updates, parameter.device, parameter.dtype)
        if chunk and kind is not None and (size + parameter.numel() > _CHUNK or own != kind):
            yield chunk, kind[0]
            chunk, size = [], 0
        chunk.append(parameter)
        size, kind = size + parameter.numel(), own
    if chunk and kind is not None:
        yield chunk, kind[0]


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).float()


def _spread(flat: torch.Tensor, targets: Sequence[torch.Tensor]) -> None:
    parts = flat.split([target.numel() for target in targets])
    torch._foreach_copy_(list(targets), [p.view(t.shape) for p, t in zip(parts, targets, strict=True)])
