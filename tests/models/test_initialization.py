"""How kernels start: by the number of inputs where a network is narrow, as published where it is not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit import UserError

# Of the generator that compiles several times faster than the default one.
KEY = jax.random.key(0, impl="rbg")

SMALL = {
    "uniformer_emim_s": {"depths": (1, 1, 2, 2), "image_size": 32, "frames": 2, "head_channels": 32},
    "timesformer_b": {"depth": 2, "image_size": 32, "frames": 2, "temporal_attention": "cost_volume"},
}


def linear_kernels(name: str, **options: Any) -> dict[str, np.ndarray]:
    """The kernels of attention, of the perceptrons beside it and of the head."""
    model = motion_vit.create_model(name, **options)
    names = ("qkv/kernel", "proj/kernel", "mlp/fc1/kernel", "mlp/fc2/kernel", "head/kernel")
    outside = ("stage1", "stage2", "patch_embed", "embedding")

    @jax.jit
    def start(key: jax.Array) -> dict[str, jax.Array]:
        params = model.init(key, jnp.zeros((1, *model.clip_shape)))["params"]
        flat = traverse_util.flatten_dict(params, sep="/")
        # What is not returned is not compiled.
        return {path: leaf for path, leaf in flat.items() if path.endswith(names) and not path.startswith(outside)}

    return {path: np.asarray(leaf) for path, leaf in start(KEY).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_published_sizes_start_as_published(name: str) -> None:
    for path, kernel in linear_kernels(name, **SMALL[name]).items():
        assert kernel.std() == pytest.approx(0.02, rel=0.1), path


@pytest.mark.fast_cases("32")
@pytest.mark.parametrize("width", [32, 96, 768])
def test_by_fan_in_outputs_have_the_variance_of_inputs_at_any_width(width: int) -> None:
    options = {"width": width, "heads": 1, "depth": 1, "image_size": 32, "frames": 2}
    for path, kernel in linear_kernels("timesformer_b", initialization="fan_in", **options).items():
        assert kernel.std() * np.sqrt(kernel.shape[0]) == pytest.approx(1.0, rel=0.15), path


@pytest.mark.fast_cases("videomae_tiny")
@pytest.mark.parametrize(
    "name",
    [
        "uniformer_tiny",
        "uniformer_emim_tiny",
        "timesformer_tiny",
        "videomae_tiny",
        "video_swin_tiny",
        "mvit_v2_tiny",
        "vivit_tiny",
    ],
)
def test_tiny_presets_start_by_fan_in(name: str) -> None:
    for path, kernel in linear_kernels(name).items():
        assert kernel.std() * np.sqrt(kernel.shape[0]) == pytest.approx(1.0, rel=0.15), path


@pytest.mark.fast_cases("fan_in")
@pytest.mark.parametrize("initialization", ["published", "fan_in"])
def test_the_motion_branch_starts_at_zero_however_kernels_start(initialization: str) -> None:
    options = {"depths": (1, 1, 1, 1), "image_size": 32, "frames": 2, "initialization": initialization}
    model = motion_vit.create_model("uniformer_emim_tiny", **options)

    @jax.jit
    def start(key: jax.Array) -> dict[str, dict[str, jax.Array]]:
        params = model.init(key, jnp.zeros((1, *model.clip_shape)))["params"]
        return params["stage3"]["block0"]["attention"]["motion"]

    motion = start(KEY)
    assert not motion["fc2"]["kernel"].any()
    assert motion["fc1"]["kernel"].any()


@pytest.mark.mistyped
def test_another_initialization_is_refused() -> None:
    with pytest.raises(UserError, match="initialization is 'xavier', but must be one of published, fan_in"):
        motion_vit.create_model("uniformer_tiny", initialization="xavier")
