"""One step of adaptation for each video: the model moves, and then classifies the video."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Float, Int, PRNGKeyArray

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.training.adaptation.aligned_layers import aligned_layers, norm_layers
from motion_vit.training.adaptation.alignment import (
    Statistics,
    alignment_loss,
    consistency_loss,
    entropy_loss,
    running_statistics,
)
from motion_vit.training.adaptation.norm_layers import LayerStatistics, NormOutputs, apply_watching_norms, unrolled
from motion_vit.training.adaptation.options import AdaptationOptions, ChosenOptions
from motion_vit.training.step.regex_rules import first_match

Tree = Any  # nested mappings with arrays as leaves


class AdaptationState(NamedTuple):
    """The model as it goes from one video to the next.

    Attributes:
      params: the parameters.
      batch_stats: the running statistics of BatchNorm, {} for a model without. Only "norm" and "tent" change them.
      momentum: state of the optimizer.
      running: statistics of test videos, of the aligned layers; {} but for "vitta".
      videos: number of videos before.
    """

    params: Tree
    batch_stats: Tree
    momentum: optax.OptState
    running: dict[str, LayerStatistics]
    videos: Int[Array, ""]


class AdaptedVideo(NamedTuple):
    """Logits and losses of a video.

    Attributes:
      logits: of each clip, after the step.
      view_logits: of each view, in the step.
      losses: by name: `total`, and `align` and `consistency`, or `entropy`; {} of "norm".
      finite: whether the step was taken; a loss, gradient or statistic that is NaN or infinite leaves the model as it
        was.
    """

    logits: Float[Array, "clips classes"]
    view_logits: Float[Array, "views classes"]
    losses: dict[str, Float[Array, ""]]
    finite: Array


@dataclasses.dataclass(frozen=True, eq=False)
class AdaptationStep:
    """The step of a model, as pure functions: `step` is to be compiled.

    Attributes:
      model: whose parameters move; see `norm_layers.unrolled`.
      options: method of adaptation and its settings.
      chosen: of them, those that the authors' choice has filled in.
      source: statistics of the source data, of the aligned layers; {} but for "vitta".
      norms: paths of all normalisation layers.
    """

    model: VideoModel
    options: AdaptationOptions
    chosen: ChosenOptions
    source: Statistics
    norms: tuple[str, ...]

    def start(self, variables: Mapping[str, Any]) -> AdaptationState:
        """Makes the state before the first video.

        Args:
          variables: `params` and `batch_stats` of the trained model.
        """
        source = {layer: LayerStatistics(*map(jnp.asarray, self.source[layer])) for layer in self.source}
        running = source if self.options.start == "source" else jax.tree.map(jnp.zeros_like, source)
        params = variables["params"]
        return AdaptationState(
            params,
            variables.get("batch_stats", {}),
            self._optimizer(params).init(params),
            running,
            jnp.zeros((), jnp.int32),
        )

    def step(
        self,
        state: AdaptationState,
        views: Float[Array, "views t h w 3"],
        clips: Float[Array, "clips t h w 3"],
        key: PRNGKeyArray,
    ) -> tuple[AdaptationState, AdaptedVideo]:
        """Adapts on the views of a video, once, and classifies its clips.

        Args:
          state: after the video before.
          views: normalised views to adapt on.
          clips: normalised clips to classify, in evaluation mode.
          key: what dropout and stochastic depth draw from, with the number of the video.

        Returns:
          The next state, and what the model says with it.
        """
        dropout_key = jax.random.fold_in(key, state.videos)
        (total, (seen, running, losses)), gradient = jax.value_and_grad(self._loss, has_aux=True)(
            state.params, state, views, dropout_key
        )
        updates, momentum = self._optimizer(state.params).update(gradient, state.momentum, state.params)
        moved = AdaptationState(
            optax.apply_updates(state.params, updates), seen.batch_stats, momentum, running, state.videos
        )
        # Statistics of BatchNorm move without a loss, too.
        finite = jnp.isfinite(optax.tree.norm((total, gradient, seen.batch_stats)))
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
        logits = self.model.apply({"params": kept.params, "batch_stats": kept.batch_stats}, clips, train=False)
        outcome = AdaptedVideo(jnp.asarray(logits, jnp.float32), seen.logits, losses, finite)
        return kept._replace(videos=state.videos + 1), outcome

    def _loss(
        self, params: Tree, state: AdaptationState, views: Float[Array, "views t h w 3"], key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], tuple[NormOutputs, dict[str, LayerStatistics], dict[str, Float[Array, ""]]]]:
        options, chosen = self.options, self.chosen
        variables = {"params": params, "batch_stats": state.batch_stats}
        if options.method != "vitta":
            # In evaluation mode but for BatchNorm's statistics: neither of the two needs noise.
            seen = apply_watching_norms(self.model, variables, views, momentum=chosen.alpha)
            if options.method == "norm":
                return jnp.zeros(()), (seen, {}, {})
            entropy = entropy_loss(seen.logits)
            return entropy, (seen, {}, {"total": entropy, "entropy": entropy})
        seen = apply_watching_norms(self.model, variables, views, dropout_key=key)
        running = running_statistics(seen.outputs, state.running, chosen.alpha)
        align, consistency = alignment_loss(running, self.source), consistency_loss(seen.logits)
        total = align + chosen.consistency * consistency
        return total, (seen, running, {"total": total, "align": align, "consistency": consistency})

    def _optimizer(self, params: Tree) -> optax.GradientTransformation:
        """Makes SGD as of PyTorch, whose momentum holds the weight decay, too, for the parameters that may move."""
        if self.options.method == "norm":
            return optax.set_to_zero()
        optimizer = optax.chain(
            optax.add_decayed_weights(self.chosen.weight_decay),
            optax.sgd(self.chosen.learning_rate, momentum=self.options.momentum),
        )
        frozen = self._frozen(params)
        return optax.selective_transform(optimizer, freeze_mask=frozen) if any(jax.tree.leaves(frozen)) else optimizer

    def _frozen(self, params: Tree) -> Tree:
        """Selects what the model itself freezes and, for Tent, all that is no scale or shift of a normalisation."""
        rules = [(pattern, True) for pattern in self.model.frozen_patterns()]
        frozen = first_match("frozen_patterns of the model", rules, params, default=lambda *_: False)
        if self.options.method != "tent":
            return frozen
        return traverse_util.path_aware_map(
            lambda path, held: held or "/".join(map(str, path[:-1])) not in self.norms, frozen
        )


def make_adaptation_step(
    model: VideoModel, variables: Mapping[str, Any], options: AdaptationOptions, source: Statistics | None = None
) -> AdaptationStep:
    """Makes the step of a model; nothing is computed.

    Args:
      model: of `motion_vit.create_model`.
      variables: its `params` and `batch_stats`, or their shapes.
      options: method of adaptation and its settings.
      source: for "vitta", statistics of the source data, of at least the aligned layers.

    Returns:
      The step.

    Raises:
      UserError: the model has nothing that the method could adapt; `options.layers` matches no layer; or there are no
        statistics of the source, or none of an aligned layer.
    """
    plain, batch_norm = unrolled(model), bool(variables.get("batch_stats"))
    layers = norm_layers(plain, variables)
    if options.method == "norm" and not batch_norm:
        raise UserError(
            'the model has no BatchNorm, whose statistics the adaptation "norm" estimates again. Choose "vitta" or '
            '"tent", which work with every normalisation.'
        )
    if not layers:
        raise UserError(
            f'the adaptation "{options.method}" works on normalisation layers, and the model has none that is known: '
            "BatchNorm or LayerNorm of this library or of Flax."
        )
    aligned: Statistics = {}
    if options.method == "vitta":
        aligned = _of_aligned_layers(source, aligned_layers(layers, options.layers))
    return AdaptationStep(plain, options, options.settled(batch_norm=batch_norm), aligned, tuple(layers))


def _of_aligned_layers(source: Statistics | None, chosen: Sequence[str]) -> Statistics:
    if source is None:
        raise UserError(
            'the adaptation "vitta" needs statistics of the data that the model was trained on. Compute them with '
            "`motion-vit source-statistics`."
        )
    if missing := [layer for layer in chosen if layer not in source]:
        raise UserError(
            f"the source statistics lack the layer {missing[0]}. Compute those of this model with "
            "`motion-vit source-statistics`."
        )
    return {layer: source[layer] for layer in chosen}
