"""The JAX side of a model benchmark: a model with given weights, its forward pass, training step and stages."""

import dataclasses
import gc
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int
from matmul_rate import best_matmul_rate
from model_description import ModelDescription, StageDescription
from network_stages import NetworkStage, network_stages
from resident_memory import reset_resident_peak, resident_peak_megabytes
from torch_options import (
    MobileNetV2Options,
    MViTOptions,
    SlowFastOptions,
    TimeSformerOptions,
    UniFormerOptions,
    VideoMAEOptions,
    VideoResNetOptions,
    VideoSwinOptions,
    X3DOptions,
)

import motion_vit
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.inspection import measure_costs
from motion_vit.models.mobilenetv2 import MobileNetV2
from motion_vit.models.mvit import MViT
from motion_vit.models.options import model_options
from motion_vit.models.slowfast import SlowFast
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.video_resnet import VideoResNet
from motion_vit.models.video_swin import VideoSwin
from motion_vit.models.videomae import VideoMAE
from motion_vit.models.x3d import X3D

State = dict[str, Any]
"""Variables and the state of the optimizer: `params`, `batch_stats`, `optimizer`."""


_TWINS = {
    TimeSformer: TimeSformerOptions,
    VideoMAE: VideoMAEOptions,
    VideoSwin: VideoSwinOptions,
    SlowFast: SlowFastOptions,
    X3D: X3DOptions,
    MViT: MViTOptions,
    MobileNetV2: MobileNetV2Options,
    VideoResNet: VideoResNetOptions,
}
"""The options of the PyTorch twin of a class of models; all others are UniFormers."""


class JaxRunner:
    """A model of `motion_vit.create_model`, loaded and ready to be timed.

    Args:
      model: name of the model.
      batch: clips.
      **options: options of the model; None for the model's own value.
    """

    def __init__(self, model: str, batch: int, **options: Any) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        self.model = motion_vit.create_model(model, **given)
        self.batch = batch
        self._costs = measure_costs(self.model)
        self.stages = network_stages(self.model, batch, self._costs)
        self._device = jax.devices()[0]

    def settings(self) -> dict[str, Any]:
        """Returns the settings for the report. Where an implementation is None, operators choose."""
        return {
            "version": f"jax {jax.__version__}",
            "flax": flax.__version__,
            "device": self._device.device_kind,
            "memory": "device, since the process began" if self._device.memory_stats() else "resident",
            "options": model_options(self.model),
        }

    def describe(self) -> ModelDescription:
        """Describes the model to the other side and the report."""
        kind = _TWINS.get(type(self.model), UniFormerOptions)
        return ModelDescription(
            twin=kind(**{field.name: getattr(self.model, field.name) for field in dataclasses.fields(kind)}),
            clip_shape=self.model.clip_shape,
            multiply_adds=sum(cost.multiply_adds for cost in self._costs.values()),
            stages={
                name: StageDescription(stage.input.shape, stage.output.shape, stage.multiply_adds)
                for name, stage in self.stages.items()
            },
        )

    def load(self, weights: pathlib.Path, clips: np.ndarray, labels: np.ndarray, adamw: dict[str, float]) -> None:
        """Loads weights (an npz under PyTorch's names) and a batch, and makes an optimizer with these settings."""
        variables, _ = load_torch(self.model, weights)
        optimizer = optax.adamw(**adamw)
        self._state = initial_state(variables, optimizer)
        # Arguments of the programs: of constants, the compiler would compute what it can in advance.
        self._clips, self._labels = jnp.asarray(clips), jnp.asarray(labels)
        self._forward = jax.jit(make_forward(self.model))
        self._train_step = jax.jit(make_train_step(self.model, optimizer), donate_argnums=0)

    def load_stages(self, arrays: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Loads the inputs of the stages and the gradients of their outputs."""
        self._stage_calls = {
            name: StageCalls.of(self.stages[name], self._state, *pair) for name, pair in arrays.items()
        }

    def forward(self) -> np.ndarray:
        """Returns the logits of the batch in evaluation mode."""
        return np.asarray(self._forward(self._state, self._clips))

    def train_step(self) -> float:
        """Updates the weights once; returns the loss before."""
        self._state, loss = jax.block_until_ready(self._train_step(self._state, self._clips, self._labels))
        return float(loss)

    def stage_output(self, name: str) -> np.ndarray:
        """Returns the output of a stage in evaluation mode."""
        return np.asarray(self._stage_calls[name].forward(), np.float32)

    def stage_forward(self, name: str) -> None:
        """Runs a stage in evaluation mode."""
        jax.block_until_ready(self._stage_calls[name].forward())

    def stage_forward_backward(self, name: str) -> None:
        """Runs a stage in training mode and takes its gradients."""
        jax.block_until_ready(self._stage_calls[name].forward_backward())

    def matmul_rate(self) -> float:
        """Measures the best rate of matrix products in the model's dtype, in floating-point operations per second."""
        return jax_matmul_rate(self.model.dtype)

    def reset_peak(self) -> None:
        """Resets the peak memory of the process; for a device, JAX only keeps the peak since the process began."""
        gc.collect()  # what compiling has left
        reset_resident_peak()

    def peak_megabytes(self) -> float | None:
        """Returns the peak memory of the device, or of the process where the device keeps no account, as on CPU."""
        account = self._device.memory_stats()
        return account["peak_bytes_in_use"] / 2**20 if account else resident_peak_megabytes()


def jax_matmul_rate(dtype: DTypeLike) -> float:
    """Measures JAX's best rate of matrix products on its first device, in floating-point operations per second."""
    multiply = jax.jit(jnp.matmul)

    def prepare(size: int) -> Callable[[], object]:
        left, right = (jax.random.normal(jax.random.key(seed), (size, size), dtype) for seed in (0, 1))
        return lambda: jax.block_until_ready(multiply(left, right))

    return best_matmul_rate(prepare)


@dataclasses.dataclass(frozen=True)
class StageCalls:
    """The two programs of a stage, with their arguments."""

    forward: Callable[[], Array]
    forward_backward: Callable[[], Any]

    @classmethod
    def of(cls, stage: NetworkStage, state: State, x: np.ndarray, cotangent: np.ndarray) -> "StageCalls":
        """Makes the programs of a stage for a model's state, an input and a gradient of the output."""
        variables = stage.variables({kind: state[kind] for kind in ("params", "batch_stats")})
        inputs = jnp.asarray(x, stage.input.dtype)
        gradient = jnp.asarray(cotangent, stage.output.dtype)
        forward = jax.jit(lambda variables, x: stage.forward(variables, x)[0])
        forward_backward = jax.jit(stage.forward_backward)
        return cls(
            lambda: forward(variables, inputs),
            lambda: forward_backward(variables, inputs, gradient),
        )


def initial_state(variables: Mapping[str, Any], optimizer: optax.GradientTransformation) -> State:
    """Makes the state of a training run that begins with these variables."""
    params = variables["params"]
    return {
        "params": params,
        "batch_stats": variables.get("batch_stats", {}),
        "optimizer": optimizer.init(params),
    }


def make_forward(
    model: nn.Module,
) -> Callable[[State, Float[Array, "b t h w 3"]], Float[Array, "b classes"]]:
    """Makes the forward pass in evaluation mode: a function of state and clips, not compiled."""

    def forward(state: State, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b classes"]:
        return model.apply({"params": state["params"], "batch_stats": state["batch_stats"]}, clips, train=False)

    return forward


def make_train_step(
    model: nn.Module, optimizer: optax.GradientTransformation
) -> Callable[[State, Float[Array, "b t h w 3"], Int[Array, "b"]], tuple[State, Float[Array, ""]]]:
    """Makes a training step with forward, backward and optimizer: a function of state, clips and labels, not compiled.

    Args:
      model: a model without dropout and stochastic depth.
      optimizer: with the settings of the other side.

    Returns:
      The function, which returns the new state and the loss before. Operations outside of the model are named "loss"
      and "optimizer" in the program.
    """

    def loss(params: Any, batch_stats: Any, clips: Array, labels: Array) -> tuple[Array, Any]:
        variables = {"params": params, "batch_stats": batch_stats}
        logits, updates = model.apply(variables, clips, train=True, mutable=["batch_stats"])
        with jax.named_scope("loss"):
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updates.get("batch_stats", {})

    def train_step(state: State, clips: Array, labels: Array) -> tuple[State, Array]:
        params = state["params"]
        differentiated = jax.value_and_grad(loss, has_aux=True)
        (value, batch_stats), gradients = differentiated(params, state["batch_stats"], clips, labels)
        with jax.named_scope("optimizer"):
            updates, moments = optimizer.update(gradients, state["optimizer"], params)
            params = optax.apply_updates(params, updates)
        return {"params": params, "batch_stats": batch_stats, "optimizer": moments}, value

    return train_step
