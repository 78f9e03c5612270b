"""Motion modules of other packages, such as that of docs/extending/motion_module.md, stand where those of M2A do."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_variables import drawn_variables
from extending_pages import write_page_files
from flax import linen as nn
from flax import traverse_util
from jax.sharding import AxisType

import motion_vit
from motion_vit import UserError
from motion_vit.models.checked_model import variable_shapes
from motion_vit.modules.motion_module import motion_module_names, register_motion_module

SMALLEST = {
    "resnet18_tiny": {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)},
    "slowfast_tiny": {"widths": (8, 8, 8, 8), "channel_ratio": 1},
    "x3d_tiny": {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "inner_ratio": 1},
    "r2plus1d_tiny": {"widths": (8, 8, 8, 8)},
    "uniformer_tiny": {"widths": (8, 8, 8, 8), "depths": (1, 1, 2, 1), "head_channels": 8},
    "mvit_v2_tiny": {"width": 8, "depths": (1, 1)},
    "timesformer_tiny": {"width": 8, "depth": 2, "heads": 2, "patch_size": 8},
    "videomae_tiny": {"width": 8, "depth": 2, "heads": 2, "patch_size": 8},
    "video_swin_tiny": {"width": 8, "depths": (2,), "head_channels": 4, "patch_size": 8},
    "vivit_tiny": {"width": 8, "depth": 2, "heads": 2, "patch_size": 8},
}
CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 32, 32, 3), np.float32))


class Doubling(nn.Module):
    """A module without parameters, whose class is its own factory."""

    dtype: Any = jnp.float32
    batch_norm_groups: int = 1

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return 2 * x


@pytest.fixture(scope="module", autouse=True)
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The page's module."""
    root = tmp_path_factory.mktemp("own")
    write_page_files("motion_module", root)
    sys.path.insert(0, str(root / "my_package"))
    importlib.import_module("acceleration")
    yield
    sys.path.remove(str(root / "my_package"))


def small(name: str, **options: Any) -> nn.Module:
    return motion_vit.create_model(name, num_classes=3, frames=4, image_size=32, **SMALLEST[name], **options)


@pytest.mark.fast_cases("vivit_tiny")
@pytest.mark.parametrize("name", SMALLEST)
def test_a_registered_module_stands_in_every_block_of_every_backbone(name: str) -> None:
    model = small(name, motion_module="acceleration")
    variables = drawn_variables(model)
    flat = traverse_util.flatten_dict(variables["params"], sep="/")
    blocks = {path.split("/block")[0] + "/block" + path.split("/block")[1][0] for path in flat if "/block" in path}
    assert {f"{block}/motion/mix/kernel" for block in blocks} <= flat.keys()

    @jax.jit
    def start(key: jax.Array) -> dict[str, jax.Array]:
        params = traverse_util.flatten_dict(model.init(key, CLIPS)["params"], sep="/")
        return {path: leaf for path, leaf in params.items() if "/motion/" in path}

    # Its kernels start at zero: until they learn, the network is the one without them.
    variables["params"] = traverse_util.unflatten_dict(flat | start(jax.random.key(1)), sep="/")
    logits, without = (jax.jit(network.apply)(variables, CLIPS) for network in (model, small(name)))
    np.testing.assert_array_equal(logits, without)


def test_it_gets_gradients_in_blocks_that_run_as_a_loop() -> None:
    model = small("timesformer_tiny", motion_module="acceleration", scan_blocks=True, remat="blocks")
    # Drawn, because the output layers of the attention over time start at zero, too, and would let no gradient through.
    variables = drawn_variables(model)
    gradients = jax.jit(jax.grad(lambda variables: model.apply(variables, CLIPS, train=True).sum()))(variables)
    for block in ("block0", "block1"):
        assert np.abs(gradients["params"]["blocks"][block]["motion"]["mix"]["kernel"]).max() > 0


@pytest.mark.slow
def test_frames_split_over_devices_give_the_same_numbers() -> None:
    model = small("uniformer_tiny", motion_module="acceleration")
    variables = drawn_variables(model)
    expected = jax.jit(model.apply)(variables, CLIPS)
    with jax.set_mesh(jax.make_mesh((2,), ("frames",), (AxisType.Auto,), devices=jax.devices()[:2])):
        split = jax.jit(model.with_frames_split("frames").apply)(variables, CLIPS)
    np.testing.assert_allclose(split, expected, rtol=1e-5, atol=1e-5)


def test_a_class_is_a_factory_and_is_listed() -> None:
    register_motion_module("doubling", Doubling)
    register_motion_module("doubling", Doubling)
    assert {"none", "m2a", "acceleration", "doubling"} <= set(motion_module_names())
    model, plain = small("resnet18_tiny", motion_module="doubling"), small("resnet18_tiny")
    variables = drawn_variables(model)
    doubled, logits = (np.asarray(jax.jit(network.apply)(variables, CLIPS)) for network in (model, plain))
    assert np.abs(doubled - logits).max() > 0


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("name", "factory", "message"),
    [
        ("m2a", nn.Dense, "there is a motion module 'm2a' already"),
        ("none", nn.Dense, "there is a motion module 'none' already"),
        ("acceleration", nn.Dense, "there is a motion module 'acceleration' already"),
        ("own", 3, "must be a function or a class"),
        ("own", None, "must be a function or a class"),
        ("own", Doubling(), "must be a function or a class"),
        ("own", nn.Dense, "must be a function or a class"),
        ("own", lambda: 1, "called with the keywords dtype, batch_norm_groups, name and parent"),
    ],
)
def test_what_is_no_motion_module_is_refused_with_the_reason(name: str, factory: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        register_motion_module(name, factory)


class Resizing(nn.Module):
    """A module that returns what `change` makes of its input."""

    change: Any

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return self.change(x)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: x.mean(axis=-1, keepdims=True), "features of the shape"),  # would be broadcast
        (lambda x: x[:, :1], "features of the shape"),
        (lambda x: x.mean(), r"features of the shape \(\)"),
        (lambda x: None, "NoneType of"),
    ],
)
@pytest.mark.parametrize("name", SMALLEST)
def test_a_module_that_changes_the_shape_is_told(name: str, change: Any, found: str) -> None:
    register_motion_module("resizing", lambda *, dtype, batch_norm_groups, **binding: Resizing(change, **binding))
    with pytest.raises(UserError, match=rf"the motion module Resizing makes .*{found}.* must keep the shape"):
        variable_shapes(small(name, motion_module="resizing"))


@pytest.mark.mistyped
def test_a_factory_that_makes_no_module_is_told() -> None:
    register_motion_module("nothing", lambda **fields: 1)
    with pytest.raises(UserError, match="the factory of the motion module 'nothing' returns 1, but must return a Flax"):
        variable_shapes(small("resnet18_tiny", motion_module="nothing"))


def test_an_unknown_motion_module_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"motion_module is 'm2b', but must be one of none, m2a, .*tea\+attention"):
        motion_vit.create_model("resnet18_tiny", motion_module="m2b")
