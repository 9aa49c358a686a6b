"""Files that carry a text: what they held stays as it was, other programs read them, and damaged ones break nothing."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vflow.engine.carried import Carried, carriers
from vflow.engine.values import Blob
from vflow.nodes.carrying import card, mp4, png, safetensors_file
from vflow.nodes.values import Adapter, Weights

TEXT = json.dumps({"name": 'a "quoted" -- name', "more": ["ä", "\u202e", 1]})
FORMATS = {"safetensors": safetensors_file, "mp4": mp4, "png": png}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One small file of each format."""
    import numpy as np
    import torch
    from PIL import Image

    from vflow.nodes.data.decode import write_video
    from vflow.nodes.models.adapter_file import write_safetensors

    place = tmp_path_factory.mktemp("files")
    tensors = {
        "transformer.blocks.0.to_q.lora_A.weight": torch.randn(4, 8),
        "transformer.blocks.0.to_q.lora_B.weight": torch.randn(8, 4).bfloat16(),
    }
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps({"transformer.r": 4, "transformer.lora_alpha": 2})}
    write_safetensors(place / "a.safetensors", tensors, metadata)
    frames = (np.indices((9, 32, 48, 3)).sum(0) * 3 % 256).astype("uint8")
    write_video(place / "a.mp4", frames, 25.0)
    Image.fromarray(frames[0]).save(place / "a.png")
    return {ending: place / f"a.{ending}" for ending in FORMATS}


@pytest.fixture(params=FORMATS)
def carried(request, files, tmp_path):
    """A file of each format in turn, without and with a text."""
    source, target = files[request.param], tmp_path / f"b.{request.param}"
    FORMATS[request.param].write(source, target, TEXT)
    return SimpleNamespace(carrier=FORMATS[request.param], ending=request.param, source=source, target=target)


def test_every_format_is_found_by_its_ending():
    known = carriers()
    assert {ending: known[ending] for ending in FORMATS} == {e: module.__name__ for e, module in FORMATS.items()}
    assert known["md"] == card.__name__


def test_the_text_comes_back_and_the_source_is_as_it_was(carried):
    assert carried.carrier.read(carried.source) is None
    assert carried.carrier.read(carried.target) == TEXT


def test_equal_texts_are_equal_bytes_and_another_text_takes_the_old_ones_place(carried, tmp_path):
    again, back = tmp_path / "again", tmp_path / "back"
    carried.carrier.write(carried.source, again, TEXT)
    assert again.read_bytes() == carried.target.read_bytes()
    carried.carrier.write(carried.target, again, "other")
    assert carried.carrier.read(again) == "other"
    carried.carrier.write(again, back, TEXT)
    assert back.read_bytes() == carried.target.read_bytes()


def test_a_text_that_is_too_long_is_refused(carried, tmp_path):
    with pytest.raises(ValueError, match="longer than"):
        carried.carrier.write(carried.source, tmp_path / "long", "x" * (9 << 20))


def test_nothing_heavy_is_imported(files, tmp_path):
    program = f"""
import sys
from pathlib import Path
from vflow.nodes.carrying import mp4, png, safetensors_file
safetensors_file.write(Path({str(files["safetensors"])!r}), Path({str(tmp_path / "x")!r}), "text")
mp4.write(Path({str(files["mp4"])!r}), Path({str(tmp_path / "y")!r}), "text")
assert not {{"torch", "safetensors", "av", "numpy", "PIL"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# --- safetensors -----------------------------------------------------------------------------------------------------


def test_tensors_keep_their_bytes_and_the_metadata_is_sorted(files, tmp_path):
    from safetensors import safe_open

    target = tmp_path / "b.safetensors"
    safetensors_file.write(files["safetensors"], target, TEXT)
    before, after = files["safetensors"].read_bytes(), target.read_bytes()
    size = int.from_bytes(after[:8], "little")
    assert size % 8 == 0
    assert after[8 + size :] == before[8 + int.from_bytes(before[:8], "little") :]
    with safe_open(target, framework="pt") as new, safe_open(files["safetensors"], framework="pt") as old:
        assert new.metadata() == {**old.metadata(), "vflow": TEXT}
        assert all(new.get_tensor(name).equal(old.get_tensor(name)) for name in old.keys())  # noqa: SIM118
    metadata = json.loads(after[8 : 8 + size])["__metadata__"]
    assert list(metadata) == sorted(metadata)


def test_diffusers_reads_the_adapter_as_before_and_keeps_of_the_metadata_its_own_alone(files, tmp_path):
    from diffusers import LTX2Pipeline

    name = "pytorch_lora_weights.safetensors"
    safetensors_file.write(files["safetensors"], tmp_path / name, TEXT)
    states = []
    for place, file in ((files["safetensors"].parent, "a.safetensors"), (tmp_path, name)):
        state, metadata = LTX2Pipeline.lora_state_dict(place, weight_name=file, return_lora_metadata=True)
        states.append((sorted(state), metadata))
    assert states[0] == states[1]
    assert metadata == {"transformer.r": 4, "transformer.lora_alpha": 2}
    layers = {key.removeprefix("transformer."): tensor for key, tensor in state.items()}
    kept = {key.removeprefix("transformer."): value for key, value in metadata.items()}
    saved = tmp_path / "saved"
    LTX2Pipeline.save_lora_weights(saved, transformer_lora_layers=layers, transformer_lora_adapter_metadata=kept)
    _, again = LTX2Pipeline.lora_state_dict(saved, weight_name=name, return_lora_metadata=True)
    assert again == metadata
    assert safetensors_file.read(saved / name) is None  # what diffusers does not know it does not write


def test_whoever_hands_the_metadata_on_keeps_the_recipe(files, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    target, saved = tmp_path / "b.safetensors", tmp_path / "saved.safetensors"
    safetensors_file.write(files["safetensors"], target, TEXT)
    with safe_open(target, framework="pt") as opened:
        save_file({n: opened.get_tensor(n) for n in opened.keys()}, saved, opened.metadata())  # noqa: SIM118
    assert safetensors_file.read(saved) == TEXT


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path):
    file = tmp_path / "a.safetensors"
    with file.open("wb") as out:
        out.write((1 << 30).to_bytes(8, "little"))
        out.truncate(2 << 30)  # sparse
    with pytest.raises(ValueError, match="longer than 8 MiB"):
        safetensors_file.read(file)


# --- mp4 -------------------------------------------------------------------------------------------------------------


def frames_of(file):
    import av

    with av.open(str(file)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def boxes_of(file):
    with file.open("rb") as opened:
        return list(mp4.boxes(opened))


def test_a_clip_plays_as_before_and_its_boxes_lie_where_they_lay(files, tmp_path):
    target = tmp_path / "b.mp4"
    mp4.write(files["mp4"], target, TEXT)
    assert frames_of(target) == frames_of(files["mp4"])
    *others, ours = boxes_of(target)
    assert others == boxes_of(files["mp4"])
    assert (ours.kind, ours.end) == (b"uuid", target.stat().st_size)
    assert target.read_bytes().startswith(files["mp4"].read_bytes())


def test_a_clip_with_sound_carries_a_text_too_and_sounds_as_before(tmp_path):
    import av
    import numpy as np

    from vflow.nodes.data.decode import write_video
    from vflow.nodes.families.exchange import Sound

    wave = np.sin(np.arange(9600) / 10).astype(np.float32)
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    write_video(source, np.zeros((10, 32, 48, 3), np.uint8), 25.0, sound=Sound(np.stack([wave, -wave]), 24000))
    mp4.write(source, target, TEXT)
    assert mp4.read(target) == TEXT
    heard = []
    for path in (source, target):
        with av.open(str(path)) as file:
            heard.append([frame.to_ndarray().tobytes() for frame in file.decode(audio=0)])
    assert heard[0] == heard[1] != []
    assert target.read_bytes().startswith(source.read_bytes())


def box(kind, content=b"", size=None):
    return (8 + len(content) if size is None else size).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no clip at all",
        box(b"ftyp") + box(b"moov", size=100),
        box(b"ftyp") + box(b"moov", size=4),
        box(b"moov"),
        box(b"ftyp") + b"\0\0\0\x01mdat" + b"\xff" * 8,
        box(b"ftyp") + b"\0\0",
        box(b"ftyp") + box(b"free") * 10_001,
    ],
)
def test_what_is_no_row_of_boxes_is_refused(data, tmp_path):
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(ValueError):
        mp4.read(tmp_path / "a.mp4")
    with pytest.raises(ValueError):
        mp4.write(tmp_path / "a.mp4", tmp_path / "b.mp4", TEXT)
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize("last", [box(b"mdat", b"frames", size=0), box(b"mfra", b"index")])
def test_nothing_is_put_behind_a_box_that_must_be_the_last(last, tmp_path):
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp") + last)
    assert mp4.read(tmp_path / "a.mp4") is None
    with pytest.raises(ValueError, match="nothing can stand behind"):
        mp4.write(tmp_path / "a.mp4", tmp_path / "b.mp4", TEXT)


def test_boxes_with_long_sizes_and_other_kinds_are_passed_over(tmp_path):
    long = b"\0\0\0\x01mdat" + (16 + 3).to_bytes(8, "big") + b"abc"
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp") + long + box(b"uuid", b"x" * 20) + box(b"uuid", b"short"))
    mp4.write(tmp_path / "a.mp4", tmp_path / "b.mp4", TEXT)
    assert mp4.read(tmp_path / "b.mp4") == TEXT


# --- png -------------------------------------------------------------------------------------------------------------


def test_a_picture_is_the_same_and_other_programs_read_its_text(files, tmp_path):
    from PIL import Image

    png.write(files["png"], tmp_path / "b.png", TEXT)
    with Image.open(tmp_path / "b.png") as new:
        new.verify()
    with Image.open(files["png"]) as old, Image.open(tmp_path / "b.png") as new:
        assert new.text == {"vflow": TEXT}
        assert old.tobytes() == new.tobytes()


# --- the model card --------------------------------------------------------------------------------------------------


def recipe(**more):
    graph = {"name": "g", "nodes": {"t": {"type": "LoadTransformer", "model": "tiny://ltx2"}}, **more.pop("graph", {})}
    return Carried({"vflow": 1, "graph": graph, "output": "lora", "nodes": {}, "metrics": {}, **more})


def adapter():
    return Adapter(blob=Blob(digest="0" * 64, size=1), family="ltx2", rank=4, step=24)


def test_a_card_tells_people_and_carries_the_recipe(tmp_path):
    node = {"type": "LoadTransformer", "version": 1, "pins": {"hub Lightricks/LTX-2@main": "abcdef0123456789"}}
    metrics = {"train": {"step": 24, "eval/loss": 0.125}}
    graph = {"about": "nice --> clips --- and <!-- vflow\n", "params": {"clips": {"help": "a folder"}}}
    carried = recipe(nodes={"t": node}, metrics=metrics, graph=graph)
    file = tmp_path / "README.md"
    file.write_text(card.text(adapter(), carried))
    text = file.read_text()
    assert 'base_model: "Lightricks/LTX-2"' in text
    assert "A LoRA of rank 4 for LTX Video 2 (`Lightricks/LTX-2` at `abcdef012345`), trained for 24 steps." in text
    assert "| eval/loss | 0.125 | 24 |" in text
    assert "`clips`" in text
    assert json.loads(card.read(file)) == carried.data


def test_a_card_of_whole_weights_says_how_they_are_loaded():
    node = {"type": "LoadTransformer", "version": 1, "pins": {"hub Lightricks/LTX-2@main": "abcdef0123456789"}}
    files = (("config.json", Blob(digest="0" * 64, size=1)),)
    text = card.text(Weights(files=files, family="ltx2", step=24), recipe(nodes={"t": node}))
    assert "base_model_relation: finetune" in text
    assert 'tags: ["ltx2", vflow]' in text
    assert "The transformer of LTX Video 2 (`Lightricks/LTX-2` at `abcdef012345`), trained for 24 steps." in text
    assert 'AutoModel.from_pretrained("path/to/this/folder"' in text
    assert 'DiffusionPipeline.from_pretrained("Lightricks/LTX-2", transformer=transformer' in text


def test_a_card_of_a_miniature_names_no_repository():
    text = card.text(adapter(), recipe(nodes={"t": {"type": "LoadTransformer", "version": 1}}))
    assert "base_model" not in text
    assert "(`tiny://ltx2`)" in text


def test_a_card_without_a_recipe_is_just_a_text(tmp_path):
    (tmp_path / "README.md").write_text("# nothing\n<!-- vflow\n{}")
    assert card.read(tmp_path / "README.md") is None


# --- anything at all -------------------------------------------------------------------------------------------------

relaxed = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(st.sampled_from([*FORMATS.values(), card]), st.data())
def test_reading_a_damaged_file_raises_nothing_unexpected(files, tmp_path, carrier, data):
    whole = bytearray(b"<!-- vflow\n{}\n-->")
    if carrier is not card:
        ending = next(name for name, module in FORMATS.items() if module is carrier)
        carrier.write(files[ending], tmp_path / "whole", TEXT)
        whole = bytearray((tmp_path / "whole").read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] = data.draw(st.integers(0, 255))
    (tmp_path / "file").write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        found = carrier.read(tmp_path / "file")
    except ValueError:
        return
    assert found is None or isinstance(found, str)


# --- figures that are the same in every repetition -------------------------------------------------------------------


def reporter(said):
    from vflow.nodes.training.reporting import Reporter

    node = SimpleNamespace(tensorboard=False, log_every=4, batch_size=1, accumulation=1, steps=100)
    context = SimpleNamespace(metrics=lambda step, values: said.append((step, values["train/loss"])))
    return Reporter(node, context, [])


def train(reporter, first, last, end):
    """Let it note the losses of some steps; the last step of the whole way is written too."""
    import torch

    for step in range(first, last + 1):
        reporter.note(None, {"loss": torch.tensor([1.0 / step])})
        if step % 4 == 0 or step == end:
            reporter.write_metrics(step, 0.1, torch.tensor(0.0))
    return reporter.notes(last)


def test_a_training_that_was_stopped_reports_what_one_never_stopped_does():
    said, told = [], []
    whole = train(reporter(said), 1, 11, 11)
    for stop in range(1, 11):
        notes = json.loads(json.dumps(train(reporter([]), 1, stop, 11)))
        second = reporter(told)
        second.go_on_from(notes)
        assert train(second, stop + 1, 11, 11)["final"] == whole["final"]
    assert set(told) <= set(said)
    shorter = train(reporter([]), 1, 6, 6)  # a training that ended there, and goes on to more steps
    second = reporter([])
    second.go_on_from(shorter)
    assert train(second, 7, 11, 11)["final"] == whole["final"]


def test_a_state_is_kept_with_its_notes(tmp_path):
    import torch

    from vflow.nodes.training import checkpoints

    notes = {"final": {"step": 3, "eval/loss": 0.1}, "window": [0.25, 1 / 3]}
    checkpoints.write(tmp_path, 3, {"w": torch.zeros(2)}, None, "stopped", notes)
    (state,) = checkpoints.states(tmp_path)
    assert state.notes == notes
