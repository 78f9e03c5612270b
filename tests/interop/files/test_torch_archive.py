"""Files of `torch.save` in their forms, read without PyTorch as PyTorch reads them."""

import argparse
import pathlib
import sys
import zipfile

import numpy as np
import pytest

from motion_vit.errors import UserError
from motion_vit.interop.files.torch_files import open_state_dict

torch = pytest.importorskip("torch")


def read(path):
    with open_state_dict(path) as opened:
        return {name: tensor.read() for name, tensor in opened.tensors.items()}


def make_weights():
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    return {
        "transposed": base.transpose(0, 2),
        "part": base[1:, ::2, 3],
        "repeated": torch.ones(2, 1).expand(2, 7),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 3),
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "double": torch.tensor([1.1], dtype=torch.float64),
        "count": torch.tensor(12),
        "mask": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.tensor([4.0])),
    }


@pytest.mark.parametrize("form", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
def test_tensors_of_every_kind_are_read_as_pytorch_reads_them(tmp_path, form):
    torch.save(make_weights(), tmp_path / "weights.pth", **form)
    found = read(tmp_path / "weights.pth")
    expected = make_weights()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        tensor = tensor.detach()
        expected_array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        np.testing.assert_array_equal(found[name], expected_array, err_msg=name, strict=True)


@pytest.mark.parametrize("form", [{}, {"_use_new_zipfile_serialization": False}])
def test_what_training_codes_save_beside_the_weights_does_not_matter(tmp_path, form):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=1e-3, output=pathlib.PurePosixPath("runs").name, sizes=[1, 2], mean=(0.5,)),
        "best": np.float64(81.5),
        "history": np.arange(3),
        "shape": torch.Size([2, 3]),
        "dtype": torch.float32,
        "epoch": 3,
        1: None,
        ("a", 1): "a key that no weight has",
        "set": {1, 2},
    }
    torch.save(checkpoint, tmp_path / "weights.pth", **form)
    found = read(tmp_path / "weights.pth")
    assert found.keys() == module.state_dict().keys()
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)


def test_numbers_of_a_big_endian_machine_are_turned(tmp_path):
    torch.save({"weight": torch.arange(6, dtype=torch.float32)}, tmp_path / "little.pth")
    with zipfile.ZipFile(tmp_path / "little.pth") as little, zipfile.ZipFile(tmp_path / "big.pth", "w") as big:
        for name in little.namelist():
            content = little.read(name)
            if name.endswith("/byteorder"):
                content = b"big"
            elif "/data/" in name:
                content = np.frombuffer(content, np.float32).byteswap().tobytes()
            big.writestr(name, content)
    np.testing.assert_array_equal(read(tmp_path / "big.pth")["weight"], np.arange(6))


def test_pytorch_is_not_needed(tmp_path, monkeypatch):
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pth")
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(read(tmp_path / "weights.pth")["weight"], [1, 1])


def test_a_quantised_or_sparse_tensor_is_named(tmp_path):
    torch.save({"layer.weight": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    with pytest.raises(
        UserError, match=r"entry 'layer\.weight' is torch\._utils\._rebuild_sparse_tensor, not an array"
    ):
        read(tmp_path / "sparse.pth")


def test_a_torchscript_program_is_told_from_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"program/{name}", b"")
    with pytest.raises(UserError, match="TorchScript program"):
        read(tmp_path / "program.pt")
