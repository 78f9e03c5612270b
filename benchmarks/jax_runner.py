"""The library's side of a model benchmark: a model with given weights, its forward pass and training step."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from torch_options import TwinOptions

import motion_vit
from motion_vit.interop.torch_import import load_torch


class JaxRunner:
    """A model of `motion_vit.create_model`, loaded and ready to be timed.

    Args:
      model: name of the model.
      frames: frames of a clip.
      size: height and width of a clip in pixels.
      num_classes: classes.
    """

    version = f"jax {jax.__version__}"

    def __init__(self, model: str, frames: int, size: int, num_classes: int) -> None:
        self.model = motion_vit.create_model(model, frames=frames, image_size=size, num_classes=num_classes)

    def describe(self) -> TwinOptions:
        """The shape of the model, for PyTorch to build the same."""
        return TwinOptions(**{field.name: getattr(self.model, field.name) for field in dataclasses.fields(TwinOptions)})

    def load(self, weights: pathlib.Path, clips: np.ndarray, labels: np.ndarray, adamw: dict[str, float]) -> None:
        """Loads weights (an npz under PyTorch's names), a batch, and makes an optimizer of these settings."""
        variables, _ = load_torch(self.model, weights)
        optimizer = optax.adamw(**adamw)
        self.state = {**variables, "optimizer": optimizer.init(variables["params"])}
        batch, targets = jnp.asarray(clips), jnp.asarray(labels)

        def forward(state: dict[str, Any]) -> jax.Array:
            variables = {"params": state["params"], "batch_stats": state["batch_stats"]}
            return self.model.apply(variables, batch, train=False)

        def loss(params: Any, batch_stats: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": batch_stats}
            logits, updates = self.model.apply(variables, batch, train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean(), updates["batch_stats"]

        def train_step(state: dict[str, Any]) -> tuple[dict[str, Any], jax.Array]:
            params = state["params"]
            (value, batch_stats), gradients = jax.value_and_grad(loss, has_aux=True)(params, state["batch_stats"])
            updates, moments = optimizer.update(gradients, state["optimizer"], params)
            params = optax.apply_updates(params, updates)
            return {"params": params, "batch_stats": batch_stats, "optimizer": moments}, value

        self._forward = jax.jit(forward)
        self._train_step = jax.jit(train_step, donate_argnums=0)

    def forward(self) -> np.ndarray:
        """Returns the logits of the batch in evaluation mode."""
        return np.asarray(self._forward(self.state))

    def train_step(self) -> float:
        """Updates the weights once; returns the loss before."""
        self.state, loss = jax.block_until_ready(self._train_step(self.state))
        return float(loss)
