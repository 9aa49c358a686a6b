"""The profiles that ship fit the cards that they are named after, by the estimate that `vflow plan` warns with."""

import pytest

from vflow.engine.load import load, shipped_graphs
from vflow.nodes.data.bucket_videos import BucketVideos
from vflow.nodes.data.buckets import sizes_of
from vflow.nodes.data.rules import Measures
from vflow.nodes.families import family
from vflow.nodes.models import memory
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.nodes import ApplyLoRA, GroupOffload
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.models.unfreeze import Unfreeze
from vflow.nodes.models.weights import Unfrozen
from vflow.nodes.training import TrainLoop
from vflow.nodes.training.checks import BYTES
from vflow.nodes.training.memory import card_of
from vflow.nodes.values import Source, Transformer

GIB = 2**30
CARDS = ("24gb", "48gb", "80gb")


def offered():
    for name in shipped_graphs():
        graph = load(name).graph
        yield from ((name, profile) for profile in graph.profiles if profile in CARDS)


def done_to(bound, name):
    """Yield what the nodes from a transformer's loader to a node do to it."""
    while name in bound:
        node = bound[name]
        if not node.disabled:
            match node.node:
                case ApplyLoRA(rank=rank):
                    yield LoRA(rank=rank, alpha=rank, pattern=".*")
                case Unfreeze(pattern=pattern, saved_as=saved_as):
                    yield Unfrozen(pattern=pattern, saved_as=saved_as)
                case GroupOffload():
                    yield GroupOffloading(**node.node.model_dump(), device="auto")
        name = node.links["model"][0].node if "model" in node.links else ""


def estimate(bound, train):
    node = bound[train].node
    model = next(b.node.model for b in bound.values() if b.type.__name__ == "LoadTransformer")
    source = Source(family=model.partition("/")[0], part="transformer", content="", model=model, kind="hub")
    done = tuple(done_to(bound, bound[train].links["transformer"][0].node))
    transformer = Transformer(source=source, transformations=done)
    clips = next(b.node for b in bound.values() if isinstance(b.node, BucketVideos))
    measures, anatomy = Measures.of(clips, transformer), family(source.family).anatomy_of(source)
    tokens = max(
        memory.tokens_of(transformer.rules, anatomy, (measures.frames, height, width))
        for width, height in sizes_of(measures.resolution, measures.ruled.rules)
        if max(width, height) * 9 <= min(width, height) * 16 + 9 * 32  # clips of 16:9 and less elongated ones
    )
    assert not measures.problems()
    return memory.of_training(
        transformer,
        anatomy,
        node.batch_size * tokens,
        trained_bytes=sum(BYTES[node.optimizer.name].values()),
        checkpointing=node.gradient_checkpointing,
        full_precision=node.precision == "fp32",
    )


@pytest.mark.parametrize(("name", "profile"), list(offered()))
def test_a_training_fits_the_card_of_its_profile(name, profile):
    bound = load(name, (profile,)).bound
    for train in [name for name, one in bound.items() if isinstance(one.node, TrainLoop)]:
        need = estimate(bound, train)
        assert need.total <= card_of((profile,)), f"{need.total / GIB:.0f} GiB"


def test_every_training_graph_has_the_three_profiles_and_the_miniature():
    for name in shipped_graphs():
        graph = load(name).graph
        assert {"tiny", *CARDS} <= graph.profiles.keys(), name
