"""The PyTorch exporter: the file loads strictly into the official structure, and nothing changes on the way."""

import dataclasses
import functools
import sys

import chex
import goldens
import numpy as np
import pytest
import torch
import torch_networks
from small_trained_model import small_trained_model
from torch_options import UniFormerOptions
from torch_twin import make_twin

import motion_vit
from motion_vit.errors import UserError
from motion_vit.interop.exporting.pytorch import export_torch
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.weight_dtypes import compress, expand
from motion_vit.training.checkpoints.weights_folder import write_weights_folder

GOLDENS = {
    "uniformer_emim_tiny": ("uniformer_emim_tiny", {}),
    "uniformer_tiny": ("uniformer_tiny", {}),
    "uniformer_emim_tiny_layerscale": ("uniformer_emim_tiny", {"layer_scale": 1e-5}),
}


@functools.cache
def trained_model(golden):
    """A trained model with the weights of a golden."""
    name, options = GOLDENS[golden]
    trained = small_trained_model(name=name, size=64, **options)
    variables, _ = load_torch(trained.model, goldens.state_dict(golden))
    return dataclasses.replace(trained, variables=variables, step=0)


def exported(trained, folder, dtype="float32"):
    entry = export_torch(trained, folder, dtype=dtype)
    return torch.load(folder / entry["file"], weights_only=True)


@pytest.mark.fast_cases("uniformer_emim_tiny")
@pytest.mark.parametrize("golden", GOLDENS)
def test_a_checkpoint_of_the_authors_goes_in_and_out_and_in_again_with_no_bit_changed(golden, tmp_path):
    trained = trained_model(golden)
    write_weights_folder(tmp_path / "weights", trained)
    content = exported(motion_vit.load(tmp_path / "weights"), tmp_path)
    assert content.keys() == {"model_state"}
    expected = goldens.state_dict(golden)
    assert content["model_state"].keys() == expected.keys()
    for name, tensor in content["model_state"].items():
        found = tensor.numpy()
        assert (found.dtype, found.shape) == (expected[name].dtype, expected[name].shape), name
        assert found.tobytes() == expected[name].tobytes(), name
    again, report = load_torch(trained.model, tmp_path / "model.pth")
    assert report.complete
    chex.assert_trees_all_equal(again, trained.variables)


@pytest.mark.fast_cases("uniformer_emim_tiny")
@pytest.mark.parametrize("golden", ["uniformer_emim_tiny", "uniformer_emim_tiny_layerscale"])
def test_it_loads_strictly_into_the_official_structure_and_gives_the_authors_logits(golden, tmp_path):
    trained = trained_model(golden)
    model = trained.model
    options = UniFormerOptions(
        num_classes=model.num_classes,
        widths=model.widths,
        depths=model.depths,
        head_channels=model.head_channels,
        window=model.window,
        placement=model.placement,
        layer_scale=model.layer_scale,
    )
    twin = make_twin(options)
    twin.load_state_dict(exported(trained, tmp_path)["model_state"], strict=True)
    with torch.inference_mode():
        logits = twin(torch.from_numpy(np.ascontiguousarray(goldens.tiny_video())))
    np.testing.assert_allclose(logits, goldens.load(golden)["logits"], rtol=1e-4, atol=1e-4)


def test_a_timesformer_loads_strictly_into_the_official_structure_and_gives_the_authors_logits(tmp_path):
    model = motion_vit.create_model("timesformer_tiny")
    variables, _ = load_torch(model, goldens.state_dict("timesformer_tiny_divided_space_time"))
    trained = dataclasses.replace(small_trained_model(), model=model, variables=variables)
    twin = torch_networks.TimeSformer(frames=8, size=64, patch=16, width=96, depth=2, heads=3, classes=10)
    golden = goldens.load("timesformer_tiny_divided_space_time")["logits"]
    assert_twin_gives(twin, exported(trained, tmp_path), goldens.timesformer_video(), golden)


@pytest.mark.slow
def test_a_resnet_loads_strictly_into_the_official_structure_and_gives_the_authors_logits(tmp_path):
    model = motion_vit.create_model("resnet18_m2a_tsm", num_classes=10, image_size=64)
    variables, _ = load_torch(model, goldens.state_dict("m2a_tsm_resnet18"))
    trained = dataclasses.replace(small_trained_model(), model=model, variables=variables)
    twin = torch_networks.ResNet18(frames=8, classes=10)
    golden = goldens.load("resnet_tsn")["m2a_tsm_resnet18/logits"]
    assert_twin_gives(twin, exported(trained, tmp_path), goldens.resnet_video(), golden)


def assert_twin_gives(twin, content, video, logits):
    twin.load_state_dict(content["model_state"], strict=True)
    with torch.inference_mode():
        found = twin.eval()(torch.from_numpy(np.ascontiguousarray(video)))
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4)


def test_step_counters_count_the_training_steps(tmp_path):
    state_dict = exported(dataclasses.replace(trained_model("uniformer_tiny"), step=1234), tmp_path)["model_state"]
    counters = {name: tensor for name, tensor in state_dict.items() if name.endswith("num_batches_tracked")}
    assert len(counters) == sum(name.endswith("running_mean") for name in state_dict) == 5
    assert all(counter.dtype == torch.int64 and counter.item() == 1234 for counter in counters.values())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_floats_are_rounded_as_in_every_other_export(dtype, tmp_path):
    trained = trained_model("uniformer_tiny")
    state_dict = exported(trained, tmp_path, dtype)["model_state"]
    assert state_dict["head.weight"].dtype == getattr(torch, dtype)
    assert state_dict["norm.running_var"].dtype == torch.float32
    variables, _ = load_torch(trained.model, tmp_path / "model.pth")
    chex.assert_trees_all_equal(variables, expand(compress(trained.variables, dtype)))


def test_what_a_state_dict_cannot_hold_is_refused(tmp_path):
    with pytest.raises(UserError, match="no place for the scales of int8-weights"):
        exported(trained_model("uniformer_tiny"), tmp_path, "int8-weights")
    with pytest.raises(UserError, match="SmallNetwork, and no names for its weights in PyTorch"):
        exported(small_trained_model(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_pytorch_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"pip install 'motion_vit\[torch\]'"):
        export_torch(small_trained_model(), tmp_path, dtype="float32")
