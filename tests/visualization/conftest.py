"""Tiny models with random weights, and clips for them; tests share what is compiled for them."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from flax import linen as nn

import motion_vit
from motion_vit.models.checked_model import variable_shapes
from motion_vit.visualization import recording

UNIFORMER = {
    "widths": (8, 8, 16, 16),
    "depths": (1, 1, 2, 1),
    "head_channels": 8,
    "window": 3,
    "num_classes": 5,
    "frames": 3,
    "image_size": 64,
    "depthwise_implementation": "xla_conv",
}
TIMESFORMER = {
    "width": 16,
    "depth": 2,
    "heads": 2,
    "patch_size": 8,
    "image_size": 24,
    "frames": 3,
    "num_classes": 5,
    "window": 3,
}
VIDEOMAE = TIMESFORMER | {"frames": 6, "placement": "lg"}
VIDEO_SWIN = {
    **{"width": 8, "depths": (1, 2), "head_channels": 8, "attention_window": (2, 2, 2), "placement": "stage1"},
    **{"frames": 6, "image_size": 24, "num_classes": 5, "window": 3},
}
MVIT = {"width": 8, "depths": (1, 1), "key_stride": 4, "image_size": 32, "frames": 4, "num_classes": 5}
VIVIT = VIDEOMAE | {"attention": "factorised_encoder", "temporal_depth": 1}
RESNET = {"widths": (8, 8, 8, 16), "depths": (1, 1, 1, 1), "num_classes": 5, "frames": 3, "image_size": 32}
# Three frames, of which the Slow pathway sees the first and the last.
SLOWFAST = RESNET | {"frame_ratio": 2, "channel_ratio": 1}
MOBILENETV2 = {
    **{"width": 0.05, "depths": (1, 2, 1, 1, 1, 1, 1), "last_width": 16},
    **{"num_classes": 5, "frames": 3, "image_size": 32},
}
FAMILIES = {
    "uniformer": ("uniformer_emim_tiny", UNIFORMER),
    "timesformer": ("timesformer_tiny", TIMESFORMER),
    "videomae": ("videomae_tiny", VIDEOMAE),
    "video_swin": ("video_swin_tiny", VIDEO_SWIN),
    "mvit": ("mvit_v2_tiny", MVIT),
    "vivit": ("vivit_tiny", VIVIT),
    "resnet": ("resnet18_tiny", RESNET),
    "slowfast": ("slowfast_tiny", SLOWFAST),
    "inception_i3d": ("i3d_inception_tiny", {"width": 4, "num_classes": 5, "frames": 9, "image_size": 32}),
    "x3d": ("x3d_tiny", RESNET | {"inner_ratio": 1.5, "head_features": 12}),
    "mobilenetv2": ("mobilenetv2_tiny", MOBILENETV2),
    "video_resnet": ("r2plus1d_tiny", RESNET),
}


class SmallModel(NamedTuple):
    """A model, variables in which no part is silent, and two clips."""

    model: nn.Module
    variables: dict[str, Any]
    clips: np.ndarray


@functools.cache
def make_small_model(family: str, **options: Any) -> SmallModel:
    """Makes one; the same options give the same weights."""
    name, smallest = FAMILIES[family]
    model = motion_vit.create_model(name, **smallest | options)
    rng = np.random.default_rng(1)

    def draw(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        values = 0.3 * rng.standard_normal(leaf.shape).astype(np.float32)
        return 1 + np.abs(values) if path[-1].key in ("var", "scale") else values

    variables = jax.tree_util.tree_map_with_path(draw, variable_shapes(model))
    clips = rng.standard_normal((2, *model.clip_shape)).astype(np.float32)
    return SmallModel(model, variables, clips)


@functools.cache
def record_everything(family: str, **options: Any) -> recording.Recording:
    """All that a small model computes on its clips."""
    return recording.record(*make_small_model(family, **options), ["*"])


@pytest.fixture(name="everything")
def everything_fixture() -> Any:
    """`record_everything`, for test files."""
    return record_everything


@pytest.fixture(name="small_model")
def small_model_fixture() -> Any:
    """`make_small_model`, for test files, which cannot import this one."""
    return make_small_model
