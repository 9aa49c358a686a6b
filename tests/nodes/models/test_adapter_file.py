import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save_file

from vflow.engine.problems import Failure
from vflow.nodes.models.adapter_file import read_safetensors, write_safetensors

TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool)
TENSORS = st.dictionaries(
    st.text("abc.é", min_size=1, max_size=8),
    st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3)),
    max_size=5,
)


def filled(plan):
    return {
        name: torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype) for name, (dtype, shape) in plan.items()
    }


@given(plan=TENSORS, metadata=st.dictionaries(st.text('xyz\n"ö', max_size=5), st.text(max_size=8), max_size=4))
@settings(max_examples=60, deadline=None)
def test_the_library_reads_what_was_written(tmp_path_factory, plan, metadata):
    file = tmp_path_factory.mktemp("files") / "deep" / "a.safetensors"
    tensors = filled(plan)
    write_safetensors(file, tensors, metadata)
    read, texts = read_safetensors(file)
    assert texts == metadata
    for found in (read, load(file.read_bytes())):
        assert found.keys() == tensors.keys()
        assert all(found[n].dtype == tensors[n].dtype and torch.equal(found[n], tensors[n]) for n in tensors)


def test_bytes_do_not_depend_on_the_order_or_on_the_process(elsewhere, tmp_path):
    elsewhere(
        "import pathlib, torch; from vflow.nodes.models.adapter_file import write_safetensors;"
        "tensors = {'b': torch.ones(3), 'a': torch.zeros(2, dtype=torch.bfloat16)};"
        f"write_safetensors(pathlib.Path({str(tmp_path / 'there')!r}), tensors, {{k: k for k in set('qwertz')}})"
    )
    a, b = torch.zeros(2, dtype=torch.bfloat16), torch.ones(3)
    write_safetensors(tmp_path / "here", {"a": a, "b": b}, {k: k for k in "ztrewq"})
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()


def test_the_layout_is_that_of_the_library_but_for_the_order_of_metadata(tmp_path):
    tensors = filled({"x": (torch.bfloat16, [3]), "y": (torch.float32, [2, 2]), "a": (torch.float32, [1])})
    save_file(tensors, tmp_path / "theirs", {"only": "one"})
    write_safetensors(tmp_path / "ours", tensors, {"only": "one"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_tensor_that_is_not_contiguous_is_written_as_it_looks(tmp_path):
    tensor = torch.arange(6.0).view(2, 3).T
    write_safetensors(tmp_path / "a", {"t": tensor}, {})
    assert torch.equal(read_safetensors(tmp_path / "a")[0]["t"], tensor)


def test_what_is_missing_or_something_else_is_told(tmp_path):
    (tmp_path / "text").write_text("hello")
    for name in ("text", "missing"):
        with pytest.raises(Failure, match="is no safetensors file"):
            read_safetensors(tmp_path / name)
