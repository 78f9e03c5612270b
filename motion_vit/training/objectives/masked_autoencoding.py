"""Masked autoencoding: hidden parts of clips are predicted from the others, without labels (VideoMAE)."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.checked_model import TracedModel, trace_variables
from motion_vit.models.masked_autoencoder import MaskedAutoencoder, make_masked_autoencoder
from motion_vit.models.video_model import VideoModel
from motion_vit.ops.place_selection import take_places
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, clip_augmentation
from motion_vit.training.inputs.normalization import Normalization, normalization
from motion_vit.training.losses.masked_pixels import masked_pixel_loss, masked_targets
from motion_vit.training.masking.mask_sampler import MaskSampler
from motion_vit.training.masking.token_mask import TokenMask
from motion_vit.training.objectives.objective import Judgement, StepContext, Tree
from motion_vit.training.recipe.checks import build_model


class MaskedClips(NamedTuple):
    """Normalised clips, what of them is visible, and what is to be predicted."""

    clips: Float[Array, "b t h w 3"]
    mask: TokenMask
    targets: Float[Array, "b t2 n outputs"]


@dataclasses.dataclass(frozen=True)
class MaskedAutoencoding:
    """The objective of a masked autoencoder.

    Attributes:
      network: the autoencoder, as it runs on the devices.
      normalization: pixels to inputs.
      sampler: draws the masks.
      normalise_target: see `masked_targets`.
    """

    network: MaskedAutoencoder
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
          variables: `params` of the network.
          inputs: of the method `inputs`.
          context: not read.
          key: fixes every draw.

        Returns:
          The loss of each clip.
        """
        clips, mask, targets = inputs
        params = {"params": variables["params"]}
        rngs = {"dropout": key}
        predictions = self.network.apply(params, clips, mask.visible, mask.predicted, train=True, rngs=rngs)
        losses = masked_pixel_loss(jnp.asarray(predictions), targets, mask.counted)
        return Judgement(losses, measures={}, summaries={}, batch_stats={})


def trace_masked_autoencoder(config: ConfigDict, num_classes: int) -> TracedModel:
    """Traces the autoencoder around a recipe's model for clips of the recipe's shape, without computing anything.

    Args:
      config: the recipe.
      num_classes: classes of the data, which the classifier that comes later tells apart.

    Returns:
      The model, and the variables and costs of the autoencoder: the encoder's are those of the visible tokens.

    Raises:
      UserError: the model cannot be pretrained so, the mask hides nothing or all, or a field of the recipe is for
        classifiers.
    """
    _check_fields(config)
    model = build_model(config, num_classes).model
    network, sampler = network_of(config, model), sampler_of(config, model)

    def init(key: PRNGKeyArray) -> Mapping[str, Any]:
        clips = jnp.zeros((1, *model.clip_shape), jnp.float32)
        mask = sampler(jax.random.key(0), clips)
        variables: Mapping[str, Any] = network.init(key, clips, mask.visible, mask.predicted)
        return variables

    subject = f"the masked autoencoder of {config.model.name!r} (data.frames and data.size decide the clips)"
    return trace_variables(model, init, clip_shape=model.clip_shape, subject=subject)


def masked_autoencoding(config: ConfigDict, model: VideoModel) -> MaskedAutoencoding:
    """Makes the objective of a recipe.

    Args:
      config: the recipe.
      model: its model, as it runs on the devices.

    Returns:
      The objective.

    Raises:
      UserError: as `trace_masked_autoencoder`.
    """
    return MaskedAutoencoding(
        network=network_of(config, model),
        normalization=normalization(config),
        sampler=sampler_of(config, model),
        normalise_target=config.pretraining.normalise_target,
    )


def network_of(config: ConfigDict, model: VideoModel) -> MaskedAutoencoder:
    """Makes the autoencoder that a recipe pretrains.

    Args:
      config: the recipe.
      model: the recipe's, of which the encoder is.

    Raises:
      UserError: as `make_masked_autoencoder`.
    """
    fields = config.pretraining
    return make_masked_autoencoder(
        model,
        decoder_depth=fields.decoder_depth,
        decoder_width=fields.decoder_width,
        decoder_heads=fields.decoder_heads,
    )


def sampler_of(config: ConfigDict, model: VideoModel) -> MaskSampler:
    """Makes what draws the masks of a recipe.

    Args:
      config: the recipe.
      model: the recipe's, of which the encoder is.

    Raises:
      UserError: the model is no plain transformer, or the mask hides no place or all.
    """
    frames, rows, columns = tubelet = model.token_encoder().tubelet
    return MaskSampler(
        tubelet=tubelet,
        grid=(model.frames // frames, model.image_size // rows, model.image_size // columns),
        kind=config.pretraining.mask,
        ratio=config.pretraining.mask_ratio,
        decoder_ratio=config.pretraining.decoder_mask,
    )


def _check_fields(config: ConfigDict) -> None:
    """Refuses what changes the pixels to be predicted, or is for classifiers."""
    if clip_augmentation(config) != dataclasses.replace(
        NO_AUGMENTATION,
        mix_probability=config.augmentation.mix_probability,
        mix_switch_probability=config.augmentation.mix_switch_probability,
    ):
        raise UserError(
            "config fields augmentation.erasing, .mixup, .cutmix and .still are for classifiers: masked autoencoding "
            "would have to predict noise, or two clips in one. Switch them off."
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
