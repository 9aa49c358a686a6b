"""docs/families.md: its real sizes are counted again on the `meta` device, and its lists are the families'."""

import json
import re
from pathlib import Path

import diffusers
import pytest
import torch

import vflow.nodes.families
from vflow.nodes.families import families
from vflow.nodes.models import memory
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.values import Source, Transformer

PAGE = (Path(__file__).parents[3] / "docs/families.md").read_text(encoding="utf-8")
FAMILIES = families(third_party=False)
TASKS = {"t2v": "text to video", "i2v": "image to video", "either": "text or image to video"}


def table(heading):
    """Return the rows of the first table below a heading, as lists of cells without marks."""
    lines = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


@pytest.fixture(scope="module")
def real():
    """The real transformers, on the `meta` device, by how the page names them."""
    found = {}
    for name, known in FAMILIES.items():
        (kind,) = known.classes["transformer"]
        configs = sorted((Path(vflow.nodes.families.__path__[0]) / name / "configs/real").glob("*.json"))
        for file in configs:
            title = f"`{name}`" if file.stem == "transformer" else f"`{name}` {file.stem}"
            with torch.device("meta"):
                found[title] = known, getattr(diffusers, kind)(**json.loads(file.read_text()))
    return found


def test_parameters_and_adapters_are_as_counted(real):
    wanted = []
    for title, (known, model) in real.items():
        parameters = sum(p.numel() for p in model.parameters())
        for name, target in known.lora_targets.items():
            hit = [module for path, module in model.named_modules() if re.fullmatch(target.pattern, path)]
            assert all(isinstance(module, torch.nn.Linear) for module in hit)
            trained = sum(16 * (module.in_features + module.out_features) for module in hit)
            shown = f"**{name}**" if name == known.default_lora_target else name
            size = f"{trained * 4 / 1e6:.0f} MB"
            wanted.append([title, f"{parameters / 1e9:.2f}B", shown, f"{len(hit):,}", f"{trained / 1e6:.2f}M", size])
    assert sorted(table("Parameters and adapters")) == sorted(wanted)


def test_the_families_measures_are_those_of_the_real_transformers(real):
    flavours = {"`kandinsky5` pro": "t2v-pro-sft-5s-hd"}
    for title, (known, model) in real.items():
        flavour = flavours.get(title, next(iter(known.flavours)))
        source = Source(family=known.name, part="transformer", content="", model=f"{known.name}/{flavour}", kind="hub")
        anatomy = known.anatomy_of(source)
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(anatomy.parameters, rel=5e-3)
        blocks = max((list(child) for child in model.children() if isinstance(child, torch.nn.ModuleList)), key=len)
        assert len(blocks) == anatomy.blocks
        widths = {module.in_features for module in blocks[0].modules() if isinstance(module, torch.nn.Linear)}
        assert anatomy.width in widths


def test_the_checkpoints_are_the_families_flavours():
    rows = {cells[0].strip("`"): cells for cells in table("Checkpoints")}
    flavours = {f"{name}/{of}": (f, known) for name, known in FAMILIES.items() for of, f in known.flavours.items()}
    assert rows.keys() == flavours.keys()
    for model, (flavour, known) in flavours.items():
        _, task, repository, there = rows[model]
        assert repository == f"`{flavour.repository}`"
        assert task == TASKS[flavour.task or known.task]
        assert there in ("known", "named")


def test_what_each_can_do_is_what_it_declares():
    said = {cells[0]: cells[1:] for cells in table("What each can do")}
    for known in FAMILIES.values():
        _, image, sound, *_ = said[known.title]
        assert image.startswith("yes") == known.takes_images
        assert ("checkpoints of its own" in image) == any(f.task == "i2v" for f in known.flavours.values())
        assert (sound == "yes") == known.sound


def test_sizes_and_lengths_are_the_families():
    said = {cells[0].strip("`"): cells[1:] for cells in table("Sizes and lengths")}
    for name, known in FAMILIES.items():
        rules, usual = known.rules, known.sampling
        assert said[name] == [
            rules.frames_words,
            f"multiples of {rules.size_multiple}",
            f"{rules.fps:g}",
            f"{usual.width}x{usual.height}, {usual.frames} frames",
        ]


@pytest.mark.parametrize("row", table("Memory of a training"), ids=lambda row: row[0])
def test_estimates_of_memory_are_as_the_plan_makes_them(row):
    title, size, frames = row[0].rsplit(", ", 2)
    model = {
        "HunyuanVideo 1.5": "hunyuan15/t2v-480p",
        "Kandinsky 5 Lite": "kandinsky5/t2v-lite-sft-5s",
        "Kandinsky 5 Pro": "kandinsky5/t2v-pro-sft-5s-hd",
        "LTX Video 2": "ltx2/2.0",
        "Sana Video": "sana/2b-480p",
    }[title]
    width, height = map(int, size.split("x"))
    source = Source(family=model.partition("/")[0], part="transformer", content="", model=model, kind="hub")

    def estimate(*done):
        transformer = Transformer(source=source, transformations=(LoRA(rank=16, alpha=16, pattern=""), *done))
        anatomy = transformer.family.anatomy_of(source)
        tokens = memory.tokens_of(transformer.rules, anatomy, (int(frames.split()[0]), height, width))
        return round(memory.of_training(transformer, anatomy, tokens, trained_bytes=16).total / memory.GIB)

    said = [int(number) for number in re.findall(r"(\d+) GiB", row[1])]
    assert said == [estimate(), estimate(GroupOffloading())][: len(said)]
