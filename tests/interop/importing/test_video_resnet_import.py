"""Weights of R3D, MC3 and R(2+1)D by torchvision's names, and of I3D-ResNet-18 by M2A's and from images."""

import goldens
import jax
import numpy as np
import pytest
from drawn_variables import random_variables
from flax import traverse_util

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.name_rules import STEP_COUNTER
from motion_vit.interop.families.registry import torch_entries
from motion_vit.interop.families.video_resnet import video_resnet_clips, video_resnet_options
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes
from motion_vit.models.registry import create_model
from motion_vit.training.checkpoints.weight_dtypes import compress

pytestmark = pytest.mark.usefixtures("new_weights_are_ones")

SMALLEST = {"widths": (8, 8, 8, 16), "depths": (1, 1, 2, 1), "num_classes": 5, "frames": 8, "image_size": 32}
MIXED = {"convolutions": "mixed", "temporal_stride": False}
NETWORKS = {
    "r3d": ("r2plus1d_tiny", {"convolutions": "3d"}),
    "mc3": ("r2plus1d_tiny", MIXED),
    "r2plus1d": ("r2plus1d_tiny", {}),
    "r2plus1d_m2a": ("r2plus1d_tiny", {"motion_module": "m2a"}),
    "i3d": ("i3d_resnet18_tiny", {}),
    "i3d_m2a": ("i3d_resnet18_tiny", {"motion_module": "m2a"}),
    "i3d_tdn": ("i3d_resnet18_tiny", {"motion_module": "tdn+tam", "image_size": 128}),
}
OF_THE_AUTHORS = {
    "r3d_tiny": ("r3d_18", (1, 1, 1, 1)),
    "mc3_tiny": ("mc3_18", (1, 1, 1, 1)),
    "r2plus1d_tiny": ("r2plus1d_18", (1, 1, 1, 1)),
    "i3d_resnet18_tiny": ("i3d_resnet18", (2, 2, 2, 2)),
    "i3d_resnet18_m2a_tiny": ("i3d_resnet18_m2a", (2, 2, 2, 2)),
}


def build(network, **options):
    name, own = NETWORKS[network]
    return create_model(name, **SMALLEST | own | options)


def drawn(model):
    """Variables of random numbers."""
    rng = np.random.default_rng(0)
    return random_variables(model, rng)


def as_torch(model, variables):
    return torch_state_dict(model, compress(variables, "float32"), step=0)


def of_images(**options):
    """Weights of a small ResNet for images, under torchvision's names."""
    network = create_model("resnet18_tiny", **SMALLEST | options)
    return as_torch(network, drawn(network))


@pytest.mark.fast_cases("i3d", "mc3", "r2plus1d_m2a")
@pytest.mark.parametrize("network", NETWORKS)
def test_weights_go_out_and_in_with_no_bit_changed(network):
    model = build(network)
    variables = drawn(model)
    again, report = load_torch(model, as_torch(model, variables))
    assert report.complete
    assert jax.tree.all(jax.tree.map(np.array_equal, again, variables))


@pytest.mark.fast_cases("i3d_resnet18_tiny", "mc3_tiny")
@pytest.mark.parametrize("name", OF_THE_AUTHORS)
def test_names_and_shapes_are_those_of_the_authors_and_tell_the_options(name):
    network, depths = OF_THE_AUTHORS[name]
    model = create_model(network, depths=depths, num_classes=10)
    source = goldens.video_resnet_shapes(name)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    entries = torch_entries(model, shapes)
    exported = {entry.name: entry.layout.torch_shape(shapes[path]) for path, entry in entries.items()}
    assert exported == {entry: shape for entry, shape in source.items() if not entry.endswith(STEP_COUNTER)}
    found = video_resnet_options(source)
    assert {option: getattr(model, option) for option in found} == found
    assert {"widths", "depths", "num_classes", "convolutions", "motion_module"} <= found.keys()


@pytest.mark.fast_cases("r2plus1d-r3d-*", "i3d*")
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("r2plus1d", "r3d", "convolutions=2plus1d. Create it so|of another network"),
        ("r3d", "mc3", "convolutions=3d. Create it so|of another network"),
        ("i3d_m2a", "i3d", "motion_module=m2a. Create it so"),
        ("i3d", "i3d_m2a", "(?s)motion_module=none. Create it so.*--new motion"),
    ],
)
def test_weights_of_another_network_are_refused(source, target, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(build(target), as_torch(build(source), drawn(build(source))))


@pytest.mark.parametrize("network", ["i3d", "i3d_m2a"])
def test_i3d_starts_from_images_whose_kernels_are_repeated(network):
    weights = of_images()
    variables, report = load_torch(build(network), weights, inflation="repeat", anew=["motion"])
    assert report.complete
    assert "stem" in variables["params"]
    kernel = np.asarray(variables["params"]["stage3"]["block1"]["conv1"]["kernel"])
    expected = weights["layer3.1.conv1.weight"].transpose(2, 3, 1, 0)
    assert len(kernel) == 3
    for frame in kernel:
        np.testing.assert_array_equal(frame, expected)
    shortcut = np.asarray(variables["params"]["stage4"]["block0"]["shortcut_conv"]["kernel"])
    np.testing.assert_array_equal(shortcut, weights["layer4.0.downsample.0.weight"].transpose(2, 3, 1, 0))


def test_image_weights_are_refused_without_inflation():
    with pytest.raises(CheckpointImportError, match="--inflate"):
        load_torch(build("i3d"), of_images())


def test_clips_are_recorded_as_the_authors_take_them(tmp_path):
    clips = video_resnet_clips({"num_classes": 400, "max_pool": False})
    assert (clips["sampling"], clips["stride"], clips["fps"]) == ("dense", 1, 15.0)
    assert "fps" not in video_resnet_clips({"num_classes": 101})
    import_weights(
        *(of_images(), "i3d_resnet18_tiny", tmp_path / "out"),
        options={"widths": SMALLEST["widths"], "depths": SMALLEST["depths"]},
        inflation="repeat",
    )
    config = motion_vit.load(tmp_path / "out").config
    assert tuple(config.data.mean) == (0.485, 0.456, 0.406)
    assert config.data.sampling == "segment"
