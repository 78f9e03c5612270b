"""The stages of a model as separate functions.

A stage is a chain of parts, children of the model's root: a patch embedding and the blocks of its resolution. They are
recorded while the model is traced, with the shapes that they get there, so that the benchmark times what the network
runs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from motion_vit.errors import UserError
from motion_vit.models.inspection import PartCost
from motion_vit.models.mobilenetv2 import MobileNetV2
from motion_vit.models.mvit import MViT
from motion_vit.models.slowfast import SlowFast
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.uniformer import UniFormer
from motion_vit.models.video_resnet import VideoResNet
from motion_vit.models.video_swin import VideoSwin
from motion_vit.models.videomae import VideoMAE
from motion_vit.models.x3d import X3D

Tree = Any  # nested mappings of arrays

STAGES: Mapping[type[nn.Module], Mapping[str, tuple[str, ...]]] = {
    UniFormer: {f"stage{number}": (f"patch_embed{number}", f"stage{number}") for number in range(1, 5)},
    TimeSformer: {"embedding": ("embedding",), "blocks": ("blocks",)},
    VideoMAE: {"embedding": ("embedding",), "blocks": ("blocks",)},
    VideoSwin: {
        "stage1": ("embedding", "stage1"),
        **{f"stage{number}": (f"merging{number}", f"stage{number}") for number in range(2, 7)},
    },
    SlowFast: {"fast_pathway": ("fast_stem", *(f"fast_stage{number}" for number in range(1, 5)))},
    X3D: {"stem": ("stem",), **{f"stage{number}": (f"stage{number}",) for number in range(1, 5)}},
    MViT: {"embedding": ("stem",), "blocks": ("blocks",)},
    MobileNetV2: {name: (name,) for name in ("stem", *(f"stage{number}" for number in range(1, 8)), "last")},
    VideoResNet: {
        "stage1": ("stem", "stage1"),
        **{f"stage{number}": (f"stage{number}",) for number in range(2, 5)},
    },
}
"""By class of model: the stages in the order of the forward pass, and the parts that each is made of. A model may have
fewer stages, and what is no chain of parts, such as the Slow pathway, is none."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A child of a model's root module.

    Attributes:
      module: the child, bound to no variables.
      takes_train: whether its call has the argument `train`.
    """

    module: nn.Module
    takes_train: bool

    def apply(self, variables: Mapping[str, Tree], x: Array, *, train: bool) -> tuple[Array, Tree]:
        """Applies the part; returns its output, and BatchNorm's new statistics in training."""
        keywords = {"train": train} if self.takes_train else {}
        x, updates = self.module.apply(variables, x, **keywords, mutable=["batch_stats"] if train else [])
        return x, updates.get("batch_stats", {})


@dataclasses.dataclass(frozen=True)
class NetworkStage:
    """A stage of a model.

    Attributes:
      parts: by name, in the order of the forward pass.
      input: shape and dtype, with the batch.
      output: shape and dtype, with the batch.
      is_first: whether its input is the clips, of which training takes no gradient.
      multiply_adds: of its forward pass on one clip.
    """

    parts: Mapping[str, Part]
    input: jax.ShapeDtypeStruct
    output: jax.ShapeDtypeStruct
    is_first: bool
    multiply_adds: int

    def variables(self, variables: Mapping[str, Tree]) -> dict[str, Tree]:
        """Selects the stage's variables from a model's: collection -> part -> variables."""
        return {kind: {name: tree[name] for name in self.parts if name in tree} for kind, tree in variables.items()}

    def forward(self, variables: Mapping[str, Tree], x: Array, *, train: bool = False) -> tuple[Array, Tree]:
        """Applies the parts in turn.

        Args:
          variables: of the stage, from the method `variables`.
          x: input of the stage.
          train: whether BatchNorm uses the statistics of this batch.

        Returns:
          The output, and the new statistics in training.
        """
        statistics = {}
        for name, part in self.parts.items():
            own = {kind: tree[name] for kind, tree in variables.items() if name in tree}
            x, statistics[name] = part.apply(own, x, train=train)
        return x, statistics

    def forward_backward(self, variables: Mapping[str, Tree], x: Array, cotangent: Array) -> tuple[Array, Tree, Tree]:
        """Applies the stage in training; takes gradients of its parameters and, except for the first stage, its input.

        Args:
          variables: of the stage, from the method `variables`.
          x: input of the stage.
          cotangent: gradient of the output.

        Returns:
          Output, statistics and gradients.
        """
        rest = {kind: tree for kind, tree in variables.items() if kind != "params"}

        def run(params: Tree, x: Array) -> tuple[Array, Tree]:
            return self.forward({"params": params, **rest}, x, train=True)

        if self.is_first:
            output, pullback, statistics = jax.vjp(lambda params: run(params, x), variables["params"], has_aux=True)
        else:
            output, pullback, statistics = jax.vjp(run, variables["params"], x, has_aux=True)
        return output, statistics, pullback(cotangent)


def network_stages(model: nn.Module, batch: int, costs: Mapping[str, PartCost]) -> dict[str, NetworkStage]:
    """Extracts the stages of a model for its nominal clips.

    Args:
      model: a model of `motion_vit.create_model`.
      batch: clips.
      costs: of the model's parts, of `motion_vit.models.inspection.measure_costs`.

    Returns:
      The stages by name, in the order of the forward pass.

    Raises:
      UserError: the model's class is not one of those in `STAGES`.
    """
    if type(model) not in STAGES:
        known = ", ".join(each.__name__ for each in STAGES)
        raise UserError(f"the stages of a {type(model).__name__} are not known here: choose one of {known}.")
    parts: dict[str, Part] = {}
    inputs: dict[str, jax.ShapeDtypeStruct] = {}
    outputs: dict[str, jax.ShapeDtypeStruct] = {}

    def record(
        call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        output = call(*args, **kwargs)
        module = context.module
        if context.method_name == "__call__" and len(module.path) == 1:
            (name,) = module.path
            parts[name] = Part(module.clone(parent=None, name=None), "train" in kwargs)
            inputs[name] = jax.ShapeDtypeStruct(args[0].shape, args[0].dtype)
            outputs[name] = jax.ShapeDtypeStruct(output.shape, output.dtype)
        return output

    def initialise() -> Any:
        with nn.intercept_methods(record):
            return model.init(jax.random.key(0), jnp.zeros((batch, *model.clip_shape), jnp.float32))

    jax.eval_shape(initialise)
    return {
        stage: NetworkStage(
            parts={name: parts[name] for name in names},
            input=inputs[names[0]],
            output=outputs[names[-1]],
            is_first=index == 0,
            multiply_adds=sum(costs[name].multiply_adds for name in names),
        )
        for index, (stage, names) in enumerate(STAGES[type(model)].items())
        if names[0] in parts
    }
