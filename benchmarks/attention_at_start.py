"""Measures how sharp the attention of untrained small networks is, for each initialisation of linear kernels.

    python benchmarks/attention_at_start.py

Uses four clips of the embedded dataset, 8 frames of 48 x 48 pixels. Of cost volumes, it prints the standard deviation
of affinities. Of attention, it prints the entropy relative to uniform attention: 1 where all tokens count the same, 0
where one counts alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import motion_vit
from motion_vit.data.embedded.motion_scenes import render_clip

_STARTS = ({"initialization": "published"}, {"initialization": "fan_in"})
_MODELS: Mapping[str, tuple[str, Mapping[str, Any], Sequence[Mapping[str, Any]]]] = {
    "EMIM": ("uniformer_emim_tiny", {"patch_sizes": (4, 2, 1, 2)}, _STARTS),
    "TimeSformer": ("timesformer_tiny", {"patch_size": 8}, _STARTS),
    "TimeSformer with cost volumes": (
        "timesformer_tiny",
        {"patch_size": 8, "temporal_attention": "cost_volume"},
        _STARTS,
    ),
    "ResNet with M2A": ("resnet18_tiny", {"motion_module": "m2a"}, ({},)),
}


def main() -> None:
    """Prints a table."""
    clips = np.stack([render_clip(label, 0, size=48)[::2] for label in ("right", "up", "grow", "clockwise")])
    inputs = jnp.asarray((clips / 255 - 0.45) / 0.225, jnp.float32)
    print("| model | start | layer | affinities | entropy |\n|---|---|---|---|---|")
    for title, (name, options, starts) in _MODELS.items():
        for start in starts:
            for layer, affinities, entropy in measure(name, {**options, **start}, inputs):
                print(f"| {title} | {start.get('initialization', '')} | {layer} | {affinities} | {entropy} |")


def measure(name: str, options: Mapping[str, Any], clips: Float[Array, "b t h w 3"]) -> list[tuple[str, str, str]]:
    """Measures every attention of a network with fresh weights.

    Args:
      name: of `motion_vit.list_models`.
      options: of the model, besides the shape of the clips.
      clips: normalised clips.

    Returns:
      For each layer its name, the standard deviation of its affinities and the entropy of its attention, "" where it
      has none.
    """
    model = motion_vit.create_model(name, frames=clips.shape[1], image_size=clips.shape[2], num_classes=10, **options)
    variables = jax.jit(model.init)(jax.random.key(0), clips)
    look_inside = jax.jit(lambda v, x: motion_vit.apply_with_intermediates(model, v, x)[1])
    found = []
    for layer, values in look_inside(variables, clips).items():
        path, _, kind = layer.rpartition("/")
        if kind == "cost_volume":
            found.append((path, f"{float(jnp.std(values)):.3f}", ""))
        if kind in ("attention_weights", "frame_attention"):
            entropy = -jnp.sum(jax.scipy.special.xlogy(values, values), axis=-1)
            found.append((path, "", f"{float(jnp.mean(entropy)) / np.log(values.shape[-1]):.3f}"))
    return found


if __name__ == "__main__":
    main()
