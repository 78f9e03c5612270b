"""Masked prediction, the common part of objectives without labels: hidden parts of clips are predicted from others."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.checked_model import TracedModel, trace_variables
from motion_vit.models.video_model import VideoModel
from motion_vit.ops.place_selection import take_places
from motion_vit.ops.tubelets import Size
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, clip_augmentation
from motion_vit.training.inputs.normalization import Normalization, normalization
from motion_vit.training.losses.masked_pixels import masked_pixel_loss, masked_targets
from motion_vit.training.masking.mask_sampler import MaskSampler
from motion_vit.training.masking.token_mask import TokenMask
from motion_vit.training.objectives.objective import Judgement, StepContext, Tree


@runtime_checkable
class MaskedNetwork(Protocol):
    """A Linen module that is called with clips, their visible places and those to predict.

    See `motion_vit.models.masked_autoencoder.MaskedAutoencoder`, which is one.
    """

    @property
    def tubelet(self) -> Size:
        """Frames, rows and columns of a tubelet in pixels."""
        ...

    def init(self, rngs: PRNGKeyArray, *args: Any) -> Any:
        """Draws the variables."""
        ...

    def apply(self, variables: Any, *args: Any, **options: Any) -> Any:
        """Predicts tubelets `[b, t2, n, outputs]`, beside changed variables where `mutable` is given."""
        ...


class MaskedClips(NamedTuple):
    """Normalised clips, what of them is visible, and what is to be predicted."""

    clips: Float[Array, "b t h w 3"]
    mask: TokenMask
    targets: Float[Array, "b t2 n outputs"]


@dataclasses.dataclass(frozen=True)
class MaskedPrediction:
    """The objective of a network that predicts hidden tubelets.

    Attributes:
      network: the network, as it runs on the devices.
      normalization: pixels to inputs.
      sampler: draws the masks.
      normalise_target: see `masked_targets`.
    """

    network: MaskedNetwork
    normalization: Normalization
    sampler: MaskSampler
    normalise_target: bool = True

    def inputs(self, batch: Mapping[str, jax.Array], context: StepContext, key: PRNGKeyArray) -> MaskedClips:
        """Normalises clips, draws their masks and makes the targets of what is to be predicted.

        Args:
          batch: as for `Objective.inputs`; labels are not read.
          context: not read.
          key: fixes the masks.

        Returns:
          The clips, masks and targets.
        """
        pixels = batch["clip"].astype(jnp.float32) / 255.0
        mask = self.sampler(key, pixels)
        targets = masked_targets(pixels, self.network.tubelet, normalise=self.normalise_target)
        return MaskedClips(self.normalization(batch["clip"]), mask, take_places(targets, mask.predicted))

    def judge(
        self, variables: Mapping[str, Tree], inputs: MaskedClips, context: StepContext, key: PRNGKeyArray
    ) -> Judgement:
        """Predicts hidden tubelets; the loss of a clip is the mean over those that count.

        Args:
          variables: `params` and `batch_stats` of the network.
          inputs: of the method `inputs`.
          context: not read.
          key: fixes every draw.

        Returns:
          The loss of each clip.
        """
        clips, mask, targets = inputs
        predictions, updates = self.network.apply(
            variables,
            clips,
            mask.visible,
            mask.predicted,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        losses = masked_pixel_loss(jnp.asarray(predictions), targets, mask.counted)
        return Judgement(losses, measures={}, summaries={}, batch_stats=updates.get("batch_stats", {}))


def masked_prediction(config: ConfigDict, network: MaskedNetwork, model: VideoModel) -> MaskedPrediction:
    """Makes the objective of a recipe.

    Args:
      config: the recipe.
      network: around the model.
      model: the recipe's.

    Returns:
      The objective.

    Raises:
      UserError: the mask hides no place or all.
    """
    frames, rows, columns = network.tubelet
    return MaskedPrediction(
        network=network,
        normalization=normalization(config),
        sampler=MaskSampler(
            tubelet=network.tubelet,
            grid=(model.frames // frames, model.image_size // rows, model.image_size // columns),
            kind=config.pretraining.mask,
            ratio=config.pretraining.mask_ratio,
            decoder_ratio=config.pretraining.decoder_mask,
        ),
        normalise_target=config.pretraining.normalise_target,
    )


def trace_masked_prediction(
    config: ConfigDict, objective: MaskedPrediction, model: VideoModel, subject: str
) -> TracedModel:
    """Traces the network of an objective for clips of the recipe's shape, without computing anything.

    Args:
      config: the recipe.
      objective: that of the recipe, around the model.
      model: the recipe's.
      subject: what a message calls the network.

    Returns:
      The model, and the variables and costs of the network.

    Raises:
      UserError: the network refuses such clips, or a field of the recipe is for classifiers.
    """
    _check_fields(config)

    def init(key: PRNGKeyArray) -> Mapping[str, Any]:
        clips = jnp.zeros((1, *model.clip_shape), jnp.float32)
        mask = objective.sampler(jax.random.key(0), clips)
        variables: Mapping[str, Any] = objective.network.init(key, clips, mask.visible, mask.predicted)
        return variables

    subject = f"{subject} of {config.model.name!r} (data.frames and data.size decide the clips)"
    return trace_variables(model, init, clip_shape=model.clip_shape, subject=subject)


def _check_fields(config: ConfigDict) -> None:
    """Refuses what changes the pixels to be predicted, or is for classifiers."""
    if clip_augmentation(config) != dataclasses.replace(
        NO_AUGMENTATION,
        mix_probability=config.augmentation.mix_probability,
        mix_switch_probability=config.augmentation.mix_switch_probability,
    ):
        raise UserError(
            "config fields augmentation.erasing, .mixup, .cutmix and .still are for classifiers: "
            f"{config.objective.replace('_', ' ')} would have to predict noise, or two clips in one. Switch them off."
        )
    if config.optimizer.layer_decay != 1:
        raise UserError(
            f"config field optimizer.layer_decay is {config.optimizer.layer_decay}, which is for fine-tuning; in "
            "pretraining all layers learn alike. Set it to 1."
        )
    if config.data.validation:
        raise UserError(
            f"config field data.validation is {config.data.validation!r}, but pretraining classifies nothing that "
            "could be evaluated. Leave it empty; fine-tune the result, and evaluate that."
        )
