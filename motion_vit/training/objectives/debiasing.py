"""Debiasing: features that tell classes by motion are kept independent of what frames show without their order.

Source: contrastive evidence debiasing of Bao et al. 2021 (arXiv 2107.10161), section 3.3. The signs are the paper's: by
turns, a head that sees motion, and the model below it, minimise the criterion of independence, and heads that cannot
see motion maximise it. The released configurations of the authors' code add its negative instead, with gradients into
all, and so teach the dependence that they mean to take away. Its mode `alternative=True` takes turns as here, but for
the gradient of the second turn, which it lets into the model, too.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.training.losses.evidential import evidential
from motion_vit.training.losses.independence import HsicEstimator, hsic
from motion_vit.training.objectives.debiasing_heads import FRAMES_SPANNED, DebiasingHeads, HeadOutput
from motion_vit.training.objectives.learned_features import ModelFeatures, model_features
from motion_vit.training.objectives.objective import StepContext, Tree

HEADS = "debiasing_heads"
"""Top-level name of the heads among the parameters that are trained. They are no part of the model."""

_FIELD = "config field debiasing.features"
_BLOCK = re.compile(r"(?:.*[/_])?stage(\d+)/block(\d+)_output")

# Set the order of frames apart from the draws of dropout.
_SHUFFLING_STREAM, _DROPOUT_STREAM = 0, 1


class Grid(NamedTuple):
    """The grid of the features of a clip.

    Attributes:
      frames: of features.
      rows: likewise.
      columns: likewise.
      class_tokens: tokens in front of those of the grid, or of each of its frames.
    """

    frames: int
    rows: int
    columns: int
    class_tokens: int = 0


class Debiased(NamedTuple):
    """The losses of a batch.

    Attributes:
      losses: of each clip, the sum of the losses of the heads, without a weight.
      criterion: the criterion of independence with the sign of the turn, without a weight.
      summaries: the criterion by the log's name of what it compares.
    """

    losses: Float[Array, " b"]
    criterion: Float[Array, ""]
    summaries: dict[str, Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class Debiasing:
    """Describes how features of a model are debiased.

    Attributes:
      name: of the features.
      grid: of those of a clip.
      channels: of the features.
      num_classes: classes to tell apart.
      weight: of all of it, beside the loss of the labels.
      hsic_weight: of the criterion of independence, beside the losses of the heads.
      estimator: of the criterion.
      dropout: see `DebiasingHeads`.
    """

    name: str
    grid: Grid
    channels: int
    num_classes: int
    weight: float = 0.1
    hsic_weight: float = 20.0
    estimator: HsicEstimator = "unbiased"
    dropout: float = 0.5

    def init(self, key: PRNGKeyArray) -> Tree:
        """Draws the parameters of the heads."""
        # They do not depend on the size of the grid.
        features = jnp.zeros((1, FRAMES_SPANNED, 1, 1, self.channels))
        return self._heads.init(key, features, jnp.ones(1))["params"]

    def judge(
        self,
        heads: Tree,
        features: Mapping[str, Array],
        targets: Float[Array, "b classes"],
        weights: Float[Array, " b"],
        context: StepContext,
        key: PRNGKeyArray,
    ) -> Debiased:
        """Computes what is added to the loss of the labels.

        All heads learn the classes with the evidential loss of exponential evidence, and so does the model below them.
        After an odd number of steps the criterion is to fall, by the head that sees motion and by the model; after an
        even number it is to rise, by the other heads alone.

        Args:
          heads: parameters, as `init` makes them.
          features: those of the model, by name.
          targets: probabilities of the classes.
          weights: 0 for clips that do not count.
          context: see `StepContext`.
          key: fixes the order of frames and what is dropped.

        Returns:
          Losses and criterion.
        """
        on_grid = self._on_grid(features[self.name], len(targets))
        # One order for all clips of a step, as in the authors' code.
        order = jax.random.permutation(jax.random.fold_in(key, _SHUFFLING_STREAM), self.grid.frames)
        dropout = {"dropout": jax.random.fold_in(key, _DROPOUT_STREAM)}

        def apply(method: str, *inputs: Array) -> Any:
            return self._heads.apply({"params": heads}, *inputs, weights, rngs=dropout, method=method)

        def biased(features: Array) -> tuple[HeadOutput, HeadOutput]:
            outputs: tuple[HeadOutput, HeadOutput] = apply("biased", features, jnp.take(features, order, axis=1))
            return outputs

        own: HeadOutput = apply("unbiased", on_grid)
        others = biased(on_grid)
        loss = evidential((), calibration=False)
        losses = [loss(each.logits, targets, progress=context.progress) for each in (own, *others)]
        # The compiler finds that it has computed these already; their gradients end at the heads.
        opponents = biased(jax.lax.stop_gradient(on_grid))
        falls = context.step % 2 == 1
        shuffled, frames = (
            hsic(_learning(own.pooled, falls), _learning(each.pooled, ~falls), weights, self.estimator)
            for each in opponents
        )
        return Debiased(
            losses=sum(losses[1:], start=losses[0]),
            criterion=jnp.where(falls, 1.0, -1.0) * (shuffled + frames),
            summaries={"hsic_shuffled": shuffled, "hsic_frames": frames},
        )

    @property
    def _heads(self) -> DebiasingHeads:
        return DebiasingHeads(self.num_classes, self.dropout)

    def _on_grid(self, features: Array, clips: int) -> Float[Array, "b t h w c"]:
        """Puts features on their grid, without class tokens."""
        frames, rows, columns, class_tokens = self.grid
        if class_tokens:
            features = features[:, class_tokens:]
        return features.reshape(clips, frames, rows, columns, self.channels)


def _learning(values: Array, learns: Array) -> Array:
    """Lets a gradient pass where `learns` is true."""
    return jnp.where(learns, values, jax.lax.stop_gradient(values))


def debiasing(config: ConfigDict, model: VideoModel, variables: Tree) -> Debiasing | None:
    """Makes the debiasing that a recipe asks for.

    Args:
      config: the recipe.
      model: the classifier.
      variables: its variables, or their shapes.

    Returns:
      It; None where `debiasing.weight` is 0.

    Raises:
      UserError: the model has no features of such a name, they are not on a grid or have too few frames, or the
        recipe names none and the model does not say which are its last ones.
    """
    fields = config.debiasing
    if not fields.weight:
        return None
    features = model_features("the model", model, variables, field=_FIELD, weight="debiasing.weight")
    name = fields.features or _default_name(features)
    shape = features.named(name).shape
    grid = _grid_of(name, shape, model)
    if grid.frames < FRAMES_SPANNED:
        raise UserError(
            f"the features {name!r} ({_FIELD}) have {grid.frames} of the {FRAMES_SPANNED} or more frames that "
            "debiasing tells motion by. Name features with more frames, or raise data.frames."
        )
    return Debiasing(
        name=name,
        grid=grid,
        channels=shape[-1],
        num_classes=model.num_classes,
        weight=fields.weight,
        hsic_weight=fields.hsic_weight,
        estimator=fields.estimator,
        dropout=fields.dropout,
    )


def _default_name(features: ModelFeatures) -> str:
    """Names the output of the last but one stage, of the widest pathway; without stages, the last features."""
    blocks = {name: (int(found[1]), int(found[2])) for name in features.shapes if (found := _BLOCK.fullmatch(name))}
    stages = sorted({stage for stage, _ in blocks.values()})
    if len(stages) < 2:
        return features.last(f"Name features in {_FIELD}, such as 'blocks/block8_output'.")
    of_stage = [name for name, (stage, _) in blocks.items() if stage == stages[-2]]
    return max(of_stage, key=lambda name: (features.shapes[name].shape[-1], blocks[name]))


def _grid_of(name: str, shape: tuple[int, ...], model: VideoModel) -> Grid:
    """Finds where the features of one clip are on a grid.

    Args:
      name: of the features.
      shape: of those of one clip.
      model: says where the tokens of sequences lie.
    """
    if len(shape) == 5 and shape[0] == 1:
        return Grid(*shape[1:4])
    if len(shape) == 3:
        try:
            layout = model.token_layout(name, model.clip_shape)
        except UserError as error:
            raise UserError(f"{error} Debiasing ({_FIELD}) needs features on a grid.") from error
        grid = Grid(layout.frames, layout.rows, layout.columns, layout.class_tokens)
        of_frame = layout.rows * layout.columns
        # A sequence of the whole clip, or one of each frame.
        if shape[:2] in (
            (1, layout.class_tokens + layout.frames * of_frame),
            (layout.frames, layout.class_tokens + of_frame),
        ):
            return grid
    raise UserError(
        f"the features {name!r} ({_FIELD}) are of the shape {list(shape)} for one clip, which is no grid of frames, "
        "rows and columns. Name others; `motion-vit visualize --list` lists them."
    )
