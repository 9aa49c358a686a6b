"""Live models: the miniature of LTX-2 loaded, transformed and handed back."""

from types import SimpleNamespace

import pytest
import torch

from vflow.engine.keys import digest_bytes
from vflow.engine.problems import Failure, GraphError
from vflow.nodes.models import adapters, facts, fetch, live, offload
from vflow.nodes.models.nodes import ApplyLoRA, GroupOffload, LoadTextEncoder, LoadTransformer, LoadVAE
from vflow.nodes.models.trained import without_trained
from vflow.nodes.values import Adapter

MODEL = "tiny://ltx2?random"


@pytest.fixture(scope="module")
def built(tmp_path_factory, request):
    """The miniature, built once for all tests here."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def context(context, built):
    context.folder = built
    LoadTransformer(model=MODEL).run(context).fetch(context)
    return context


@pytest.fixture
def transformer(context):
    return LoadTransformer(model=MODEL, dtype="float32").run(context)


def state(base):
    """Return name -> digest of every tensor of every module."""
    return {
        f"{part}.{name}": digest_bytes(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        for part, module in base.live.modules().items()
        for name, tensor in module.state_dict().items()
    }


def model_of(handed):
    return handed.modules()["transformer"]


def run_model(model, seed=0, **changes):
    """Run the transformer on a small drawn input and return its video output."""
    drawn = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=drawn).to(model.dtype)

    config = model.config
    sizes = {"num_frames": 2, "height": 2, "width": 2}
    return model(
        hidden_states=normal(1, 8, config.in_channels),
        audio_hidden_states=normal(1, 3, config.audio_in_channels),
        encoder_hidden_states=normal(1, 16, config.caption_channels),
        audio_encoder_hidden_states=normal(1, 16, config.caption_channels),
        timestep=torch.full((1,), 500.0),
        sigma=torch.full((1,), 500.0),
        audio_sigma=torch.full((1,), 500.0),
        encoder_attention_mask=torch.ones(1, 16),
        audio_encoder_attention_mask=torch.ones(1, 16),
        fps=25.0,
        audio_num_frames=3,
        return_dict=False,
        **sizes,
        **changes,
    )[0]


def test_weights_that_are_not_here_are_said_to_be_missing(context, tmp_path):
    recipe = LoadTransformer(model=f"{MODEL}&seed=77").run(context)
    with pytest.raises(Failure, match="not on this machine; run `vflow fetch GRAPH`"):
        recipe.open_base(context)


def test_a_base_is_frozen_in_its_dtype_and_on_its_device(context):
    recipe = LoadTransformer(model=MODEL).run(context)
    base = recipe.open_base(context)
    parameters = list(model_of(recipe.prepare(base, context)).parameters())
    assert {p.dtype for p in parameters} == {torch.bfloat16}
    assert not any(p.requires_grad for p in parameters)
    assert live.device_of(recipe) == torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe.close_base(base)
    assert base.live is None


def test_a_device_that_is_not_there_is_said_so(transformer):
    with pytest.raises(Failure, match="no device cuda:9"):
        live.device_of(transformer.model_copy(update={"device": "cuda:9"}))


@pytest.mark.parametrize("kind", [LoadTransformer, LoadVAE, LoadTextEncoder])
@pytest.mark.parametrize("level", ["block", "leaf"])
def test_offload_is_undone_to_the_bit(context, kind, level):
    recipe = kind(model=MODEL).run(context)
    base = recipe.open_base(context)
    before, modules = state(base), [str(m) for m in base.live.modules().values()]
    attributes = [sorted(vars(layer)) for module in base.live.modules().values() for layer in module.modules()]
    offloaded = GroupOffload(force=True, level=level).run(context, recipe)
    assert (offloaded.identity, offloaded.base) == (recipe.identity, recipe.base)
    handed = offloaded.prepare(base, context)
    assert offloaded.restore(base, handed, context)
    assert state(base) == before
    assert [str(m) for m in base.live.modules().values()] == modules
    assert [sorted(vars(layer)) for module in base.live.modules().values() for layer in module.modules()] == attributes


@pytest.mark.parametrize("order", ["offload first", "adapter first"])
def test_a_lora_is_undone_to_the_bit_whatever_the_order_of_the_nodes(context, transformer, order):
    lora, off = ApplyLoRA(rank=4, dropout=0.1), GroupOffload(force=True)
    first, second = (off, lora) if order == "offload first" else (lora, off)
    recipe = second.run(context, model=first.run(context, model=transformer))
    assert recipe.identity == lora.run(context, transformer).identity
    base = recipe.open_base(context)
    before, plain = state(base), run_model(model_of(base.live))
    handed = recipe.prepare(base, context)
    live.enable_checkpointing(handed)
    model = model_of(handed).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        run_model(model).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert recipe.restore(base, handed, context)
    assert state(base) == before
    assert torch.equal(run_model(model_of(base.live)), plain)


def test_a_write_into_the_base_makes_it_be_dropped(context, transformer):
    base = transformer.open_base(context)
    handed = transformer.prepare(base, context)
    with torch.no_grad():
        next(model_of(handed).parameters()).add_(1)
    assert not transformer.restore(base, handed, context)


def test_a_lora_is_drawn_from_its_seed_alone(context, transformer):
    def weights(seed):
        torch.manual_seed(torch.seed() % 2**31)
        before = torch.get_rng_state()
        recipe = ApplyLoRA(rank=4, seed=seed).run(context, transformer)
        base = recipe.open_base(context)
        model = model_of(recipe.prepare(base, context))
        assert torch.equal(torch.get_rng_state(), before)
        return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}

    one, same, other = weights(1), weights(1), weights(2)
    assert one.keys() == same.keys()
    assert all(torch.equal(one[name], same[name]) for name in one)
    downs = [name for name in one if "lora_A" in name]
    assert not any(torch.equal(one[name], other[name]) for name in downs)
    assert all(not one[name].any() for name in one if "lora_B" in name)
    spread = torch.cat([one[name].flatten() * one[name].shape[1] ** 0.5 for name in downs])
    assert spread.abs().max() <= 1
    assert abs(spread.mean()) < 0.05
    assert abs(spread.std() - 3**-0.5) < 0.02
    assert ApplyLoRA(seed=1).run(context, transformer).identity != ApplyLoRA(seed=2).run(context, transformer).identity


def test_the_adapters_type_is_chosen_and_the_base_keeps_its_own(context):
    bfloat16 = LoadTransformer(model=MODEL).run(context)
    for dtype in ("float32", "bfloat16"):
        recipe = ApplyLoRA(rank=4, adapter_dtype=dtype).run(context, bfloat16)
        model = model_of(recipe.prepare(recipe.open_base(context), context))
        trained = [p for p in model.parameters() if p.requires_grad]
        assert {p.dtype for p in trained} == {getattr(torch, dtype)}
        assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
        assert sum(p.numel() for p in trained) == facts.trained_parameters(recipe, context)
        run_model(model).mean().backward()
        assert all(p.grad is not None for p in trained)


def test_a_pattern_that_matches_nothing_is_an_error_by_the_plan_and_by_the_loader(context, transformer):
    with pytest.raises(GraphError, match="no linear layer of the transformer matches 'to_q'"):
        ApplyLoRA(pattern="to_q").run(context, transformer)
    lora = adapters.LoRA(rank=4, alpha=4, pattern="to_q")
    recipe = transformer.model_copy(update={"transformations": (lora,)})
    with pytest.raises(Failure, match="no linear layer"):
        recipe.prepare(recipe.open_base(context), context)


@pytest.fixture
def trained(context, transformer, tmp_path):
    """An adapter with something in it, and the recipe it was made with."""
    recipe = ApplyLoRA(rank=4, alpha=8.0).run(context, transformer)
    handed = recipe.prepare(recipe.open_base(context), context)
    for number, parameter in enumerate(p for p in model_of(handed).parameters() if p.requires_grad):
        drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        parameter.data.copy_(drawn * 0.1)
    file = recipe.family.save_adapter(handed, tmp_path / "adapter")
    output = run_model(model_of(handed).eval())
    return Adapter(blob=context.put(file, ".safetensors"), family="ltx2", rank=4), recipe, output


def test_a_finished_adapter_replaces_the_lora_and_goes_again(context, transformer, trained):
    adapter, recipe, expected = trained
    offloaded = GroupOffload(force=True).run(context, recipe)
    drawing = adapters.with_adapter(offloaded, adapter)
    assert [type(t).__name__ for t in drawing.transformations] == ["GroupOffloading", "Adapted"]
    base = drawing.open_base(context)
    before = state(base)
    plain = run_model(model_of(base.live))
    for weight, wanted in ((1.0, expected), (0.0, plain)):
        weighted = adapters.with_adapter(offloaded, adapter, weight)
        handed = weighted.prepare(base, context)
        assert not any(p.requires_grad for p in model_of(handed).parameters())
        assert torch.equal(run_model(model_of(handed)), wanted)
        assert weighted.restore(base, handed, context)
        assert state(base) == before
    assert not torch.equal(plain, expected)
    assert adapters.with_adapter(recipe, adapter).identity != transformer.identity
    assert without_trained(recipe).identity == transformer.identity


@pytest.mark.parametrize("alpha", [8.0, 2.0])
def test_training_starts_from_what_another_adapter_does(context, transformer, trained, alpha):
    adapter, _, expected = trained
    recipe = ApplyLoRA(rank=4, alpha=alpha).run(context, transformer, adapter)
    base = recipe.open_base(context)
    before = state(base)
    handed = recipe.prepare(base, context)
    assert torch.allclose(run_model(model_of(handed)), expected, atol=1e-6)
    assert sum(p.numel() for p in model_of(handed).parameters() if p.requires_grad) == 16384
    assert recipe.restore(base, handed, context)
    assert state(base) == before


def test_an_adapter_to_start_from_has_to_fit(context, transformer, trained):
    adapter, _, _ = trained
    with pytest.raises(GraphError, match="write rank: 4"):
        ApplyLoRA(rank=8).run(context, transformer, adapter)
    recipe = ApplyLoRA(rank=4, target="attention").run(context, transformer, adapter)
    with pytest.raises(Failure, match="the adapter to start from has 64 layers"):
        recipe.prepare(recipe.open_base(context), context)


class Residence:
    """Follows which tensors a machine with a GPU would hold there, on one without: hooks bring and take them.

    Fails where a layer computes with a weight that is away. `most` is the largest number of group visits at a time.
    """

    def __init__(self, monkeypatch):
        from diffusers.hooks.group_offloading import ModuleGroup

        from vflow.nodes.models import offloading

        self.here: set[int] = set()
        self.groups: set[int] = set()
        self.most = self.moves = 0

        def onload(group):
            self.moves += 1
            self.groups.add(id(group))
            self.most = max(self.most, len(self.groups))
            self.here |= {id(p) for p in offloading._tensors_of(group)[0]}

        def leave(group):
            self.groups.discard(id(group))
            self.here -= {id(p) for p in offloading._tensors_of(group)[0]}

        monkeypatch.setattr(ModuleGroup, "onload_", onload)
        monkeypatch.setattr(ModuleGroup, "offload_", leave)

    def watch(self, base):
        """Look at every layer from inside its own forward, below the hooks that come later."""
        for part, module in base.live.modules().items():
            for name, layer in module.named_modules():
                own = list(layer.parameters(recurse=False))
                if own and isinstance(layer, LEAVES):
                    layer.forward = self._checked(f"{part}.{name}", own, layer.forward)

    def _checked(self, name, own, forward):
        def checked(*arguments, **named):
            assert all(id(p) in self.here for p in own), f"{name} computes with weights that are away"
            return forward(*arguments, **named)

        return checked


LEAVES = (torch.nn.Linear, torch.nn.Embedding, torch.nn.Conv3d, torch.nn.Conv2d, torch.nn.LayerNorm, torch.nn.RMSNorm)


@pytest.mark.parametrize("level", ["block", "leaf"])
def test_offloaded_training_has_its_weights_where_it_computes(context, transformer, monkeypatch, level):
    residence = Residence(monkeypatch)
    recipe = GroupOffload(force=True, level=level, blocks_per_group=2 if level == "block" else 1).run(
        context, ApplyLoRA(rank=4, dropout=0.2).run(context, transformer)
    )
    recipe = offload.for_training(recipe, checkpointing=True)
    base = recipe.open_base(context)
    residence.watch(base)
    handed = recipe.prepare(base, context)
    live.enable_checkpointing(handed)
    model = model_of(handed).train()
    run_model(model).mean().backward()
    assert not residence.groups, "a group stayed on the device after the backward pass"
    assert residence.moves > 2 * len(model.transformer_blocks)
    if level == "block":
        assert residence.most == 2  # one block, and what is around all of them
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None for grad in trained.values())


@pytest.mark.parametrize("level", ["block", "leaf"])
def test_offloaded_text_encoder_and_vae_have_their_weights_where_they_compute(context, monkeypatch, level):
    residence = Residence(monkeypatch)
    for kind in (LoadTextEncoder, LoadVAE):
        recipe = GroupOffload(force=True, level=level).run(context, kind(model=MODEL, dtype="float32").run(context))
        base = recipe.open_base(context)
        residence.watch(base)
        handed = recipe.prepare(base, context)
        residence.moves = 0
        with torch.no_grad():
            if kind is LoadTextEncoder:
                recipe.family.encode_text(handed, ["a red square"])
            else:
                recipe.family.encode_video(handed, torch.zeros(1, 3, 9, 64, 64), "mode", None)
                handed.vae.decode(torch.zeros(1, handed.vae.config.latent_channels, 2, 2, 2))
        assert residence.moves > 3
        assert not residence.groups


def test_offload_changes_no_bit_of_training_or_encoding(context, transformer):
    def train(recipe):
        base = recipe.open_base(context)
        handed = recipe.prepare(base, context)
        live.enable_checkpointing(handed)
        model = model_of(handed).train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        losses = []
        for step in range(3):
            torch.manual_seed(step)
            loss = run_model(model, seed=step).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses, {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}

    plain = ApplyLoRA(rank=4, dropout=0.2).run(context, transformer)
    losses, weights = train(plain)
    assert losses[0] != losses[1]
    for settings in ({"level": "leaf"}, {"blocks_per_group": 2}):
        recipe = GroupOffload(force=True, **settings).run(context, plain)
        for trained in (recipe, offload.for_training(recipe, checkpointing=True)):
            again, others = train(trained)
            assert again == losses
            assert {n.replace("_diffusers_hook.", "") for n in others} == set(weights)
            assert all(torch.equal(others[name], weights[name]) for name in weights)


def test_a_shared_base_serves_recipes_one_after_the_other(context, transformer):
    one = ApplyLoRA(rank=4).run(context, transformer)
    two = GroupOffload(force=True).run(context, ApplyLoRA(rank=8, target="attention").run(context, transformer))
    assert one.base == two.base == transformer.base
    base = one.open_base(context)
    for recipe, rank in ((one, 4), (two, 8), (one, 4)):
        handed = recipe.prepare(base, context)
        assert model_of(handed).peft_config["default"].r == rank
        assert recipe.restore(base, handed, context)


def test_a_stream_without_an_accelerator_is_said_to_be_off(context, transformer):
    recipe = GroupOffload(force=True, stream=True).run(context, transformer.model_copy(update={"device": "cpu"}))
    recipe.prepare(recipe.open_base(context), context)
    assert any("no stream" in message for _, message in context.said)


def test_facts_count_what_the_files_hold(context, transformer):
    base = transformer.open_base(context)
    parameters = sum(p.numel() for p in model_of(base.live).parameters())
    assert facts.weight_bytes(transformer, context) == 4 * parameters
    assert facts.weight_bytes(transformer.model_copy(update={"dtype": "bfloat16"}), context) == 2 * parameters
    unbuilt = LoadTransformer(model=f"{MODEL}&seed=77").run(context)
    assert facts.weight_bytes(unbuilt, context) is None
    assert facts.trained_parameters(unbuilt, context) is None
    assert fetch.bytes_to_fetch(unbuilt.source, context) == 0
    assert SimpleNamespace(**context.reported).family == "ltx2"


@pytest.mark.parametrize(
    ("target", "layers", "parameters"), [("video_attention", 384, 50_331_648), ("attention", 1152, 106_954_752)]
)
def test_at_real_size_a_lora_of_rank_16_has_the_known_size(target, layers, parameters):
    from diffusers import LTX2VideoTransformer3DModel

    from vflow.nodes.families import family
    from vflow.nodes.models import adapting

    pattern = family("ltx2").lora_targets[target].pattern
    with torch.device("meta"):
        model = LTX2VideoTransformer3DModel(rope_type="split")  # the rest of the real configuration is the default
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        handed = SimpleNamespace(modules=lambda: {"transformer": model})
        adapting.add_lora(adapters.LoRA(rank=16, alpha=16, pattern=pattern), handed, context=None)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == parameters
    assert len(facts.lora_modules(shapes, pattern)) == layers
    assert facts.lora_parameters(shapes, pattern, 16) == parameters
