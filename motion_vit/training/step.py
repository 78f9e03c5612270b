"""One training step, and the logits of a batch, as compiled functions."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from motion_vit.training import mesh as meshes
from motion_vit.training.clip_augmentation import NO_AUGMENTATION, ClipAugmentation, augment_batch
from motion_vit.training.loss import soft_target_cross_entropy
from motion_vit.training.normalization import Normalization
from motion_vit.training.train_state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]
LogitsFunction = Callable[[Any, UInt8[Array, "b t h w 3"]], Float[Array, "b classes"]]

# Sets the draws of augmentation apart from those of dropout, which take the step's key itself.
_AUGMENTATION_STREAM = 1


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    normalization: Normalization,
    label_smoothing: float,
    mesh: Mesh,
    augmentation: ClipAugmentation = NO_AUGMENTATION,
) -> TrainStep:
    """Compiles the training step.

    The step gives up its state's memory to the next state. If the loss or the gradient is not finite, the next state
    is the old one. The random draws of a step depend on the key and the number of the step alone. Which clips are mixed
    with each other also depends on the number of devices, because a clip's partner is on its own device.

    Args:
      model: a model with the fields of `motion_vit.create_model`.
      optimizer: the optimizer.
      schedule: the learning rate of every step, to report it.
      normalization: pixels to inputs.
      label_smoothing: see `smoothed_targets`.
      mesh: devices that the batch is split over.
      augmentation: what is done to the clips on the device, after normalisation.

    Returns:
      A function of the state, a batch (`clip` uint8 `[B,T,H,W,3]`, `label` `[B]`, `weight` `[B]`; other entries play no
      part) and a random key that returns the next state and the metrics `loss`, `top1`, `grad_norm`, `learning_rate`
      and `weight` (the sum of the weights), each a float32 scalar. `top1` counts a clip as right where the largest
      logit is that of its largest target: of a mixed clip, the label with the larger share.

    Raises:
      UserError: when the function is first called, if clips are to be mixed and a device has no two of them.
    """

    def loss_of(
        params: Any, batch_stats: Any, clips: jax.Array, targets: jax.Array, weights: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, jax.Array]]:
        logits, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            clips,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return soft_target_cross_entropy(logits, targets, weights), (updates.get("batch_stats", {}), logits)

    def step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(key, state.step)
        weights = batch["weight"]
        clips, targets = augment_batch(
            batch,
            jax.random.fold_in(step_key, _AUGMENTATION_STREAM),
            normalization=normalization,
            augmentation=augmentation,
            num_classes=model.num_classes,
            label_smoothing=label_smoothing,
            groups=mesh.size,
        )
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (batch_stats, logits)), grads = gradient(
            state.params, state.batch_stats, clips, targets, weights, step_key
        )
        grad_norm = optax.tree.norm(grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        stepped = TrainState(state.step + 1, optax.apply_updates(state.params, updates), batch_stats, opt_state)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        weight = jnp.sum(weights)
        correct = jnp.sum(jnp.where(jnp.argmax(logits, -1) == jnp.argmax(targets, -1), weights, 0.0))
        metrics = {
            "loss": loss,
            "top1": correct / jnp.maximum(weight, 1.0),
            "grad_norm": grad_norm,
            "learning_rate": jnp.asarray(schedule(state.step), jnp.float32),
            "weight": weight,
        }
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), stepped, state), metrics

    return jax.jit(step, donate_argnums=0, out_shardings=meshes.replicated(mesh))


@functools.lru_cache(maxsize=8)
def logits_function(model: nn.Module, normalization: Normalization, mesh: Mesh) -> LogitsFunction:
    """The compiled evaluation of a model; the same function for the same arguments, so that it is compiled once.

    Args:
      model: the model.
      normalization: pixels to inputs.
      mesh: devices that the batch is split over.

    Returns:
      A function of the variables and uint8 clips that returns float32 logits, whole on every device.
    """

    def logits(variables: Any, clips: UInt8[Array, "b t h w 3"]) -> Float[Array, "b classes"]:
        return model.apply(variables, normalization(clips), train=False).astype(jnp.float32)

    return jax.jit(logits, out_shardings=meshes.replicated(mesh))
