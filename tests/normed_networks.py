"""The tiny networks of ViTTA's goldens, with BatchNorm and with LayerNorm, and their weights in PyTorch's names."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from motion_vit.models.registry import register_model
from motion_vit.models.video_model import Backbone
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.layer_norm import LayerNorm


class BatchNormed(Backbone):
    """Convolution, BatchNorm and ReLU, twice, and a linear layer of their mean."""

    num_classes: int = 5
    frames: int = 4
    image_size: int = 8

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        """Classifies clips."""
        x = clips
        for number, channels in ((1, 6), (2, 8)):
            strides, padding = (1, number, number), [(1, 1)] * 3
            x = nn.Conv(channels, (3, 3, 3), strides, padding, use_bias=False, name=f"c{number}")(x)
            x = nn.relu(BatchNorm(name=f"b{number}")(x, train=train))
        return nn.Dense(self.num_classes, name="fc")(x.mean(axis=(1, 2, 3)))


class LayerNormed(Backbone):
    """Patches, two residual layers behind LayerNorm, LayerNorm, and a linear layer of the mean."""

    num_classes: int = 5
    frames: int = 4
    image_size: int = 8

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        """Classifies clips."""
        x = nn.Conv(8, (1, 4, 4), (1, 4, 4), "VALID", name="p")(clips)
        for number in "12":
            x += jnp.tanh(nn.Dense(8, name=f"m{number}")(LayerNorm(1e-5, name=f"n{number}")(x)))
        return nn.Dense(self.num_classes, name="fc")(LayerNorm(1e-5, name="norm")(x).mean(axis=(1, 2, 3)))


NETWORKS: dict[str, type[Backbone]] = {"batchnorm": BatchNormed, "layernorm": LayerNormed}


def register_normed_networks() -> None:
    """Lets recipes name the networks `batchnorm` and `layernorm`."""
    for name, network in NETWORKS.items():
        register_model(name, network, description="for tests")


def from_torch(entries: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Makes `params` and `batch_stats` of weights in PyTorch's names and layouts."""
    flat: dict[tuple[str, ...], jax.Array] = {}
    for name, value in entries.items():
        layer, _, kind = name.rpartition(".")
        if kind.startswith("running_"):
            flat["batch_stats", layer, kind.removeprefix("running_")] = jnp.asarray(value)
            continue
        if value.ndim > 1:
            kind, value = "kernel", np.moveaxis(value, (1, 0), (-2, -1))
        elif kind == "weight":
            kind = "scale"
        flat["params", layer, kind] = jnp.asarray(value)
    return traverse_util.unflatten_dict(flat)


def channels_last(clips: np.ndarray) -> jax.Array:
    """Makes `[..., t, h, w, c]` of PyTorch's `[..., c, t, h, w]`."""
    return jnp.asarray(np.moveaxis(clips, -4, -1))
