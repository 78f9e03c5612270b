"""Augments a batch of clips on the device."""

import dataclasses
import sys
from collections.abc import Mapping

import jax
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.ranges import refusal
from motion_vit.training.inputs.mixing import check_partners, mix
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.inputs.random_erasing import random_erasing
from motion_vit.training.inputs.still_mixing import mix_still
from motion_vit.training.inputs.targets import smoothed_targets
from motion_vit.training.recipe.config import StillName
from motion_vit.training.recipe.field_ranges import FIELD_RANGES


@dataclasses.dataclass(frozen=True)
class ClipAugmentation:
    """Options of augmentation on the device, all off by default.

    Attributes:
      erasing_probability: of replacing a box of a clip by noise, see `random_erasing`.
      mixup_alpha: both parameters of the Beta distribution that mixup draws from; 0 for no mixup, see `mix`.
      cutmix_alpha: the same parameters for cutmix.
      mix_probability: of mixing a batch at all, if mixup or cutmix is on.
      mix_switch_probability: of cutmix, if both are on.
      still: kind of still frame that is blended into clips, see `mix_still`.
      still_share: parameters of the Beta distribution of the share that a clip keeps, for "batch" and "bank".
      still_probability: of blending a clip, for "batch" and "bank".
      still_limit: the largest share of the still frame, for "own".
    """

    erasing_probability: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mix_probability: float = 1.0
    mix_switch_probability: float = 0.5
    still: StillName = "none"
    still_share: tuple[float, float] = (200.0, 200.0)
    still_probability: float = 0.5
    still_limit: float = 0.3

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: a value is out of its range.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("still"):
                if not (expected := FIELD_RANGES[f"augmentation.{field.name}"]).holds(value):
                    raise UserError(f"{refusal(field.name, value, expected)}.")
                continue
            is_alpha = field.name.endswith("_alpha")
            if not isinstance(value, int | float) or not 0 <= value <= (sys.float_info.max if is_alpha else 1):
                words = "0 (off) or a number above 0" if is_alpha else "a probability, from 0 to 1"
                raise UserError(f"{field.name} is {value!r}, but must be {words}.")

    def check_batch_size(self, batch_size: int, devices: int) -> None:
        """Checks that clips of a batch can be mixed on their own devices, if they are to be mixed.

        Args:
          batch_size: clips of a step, or of a part of it that is computed at once.
          devices: devices that the batch is split over.

        Raises:
          UserError: a device would have fewer than two clips.
        """
        mixes = self.mix_probability > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)
        if mixes or self.still == "batch":
            check_partners(batch_size, devices)


NO_AUGMENTATION = ClipAugmentation()

STILLS = "stills"
"""What a batch has besides its clips where still frames come from a bank: the bank, whole on every device."""

# Sets the draws of still mixing apart, so that the others are those of recipes without it.
_STILL_STREAM = 1


def augment_batch(
    batch: Mapping[str, jax.Array],
    key: PRNGKeyArray,
    *,
    normalization: Normalization,
    augmentation: ClipAugmentation = NO_AUGMENTATION,
    num_classes: int,
    label_smoothing: float = 0.0,
    groups: int = 1,
) -> tuple[Float[Array, "b t h w 3"], Float[Array, "b classes"]]:
    """Normalises a batch, erases boxes of its clips, blends still frames into them and mixes them, in this order.

    This is the first part of the training step; `Normalization.denormalise` makes pictures of the result.

    Args:
      batch: `clip` uint8 `[B,T,H,W,3]`, `label` `[B]` and `weight` `[B]`; for still frames of a bank also `stills`,
        uint8 `[N,H,W,3]`. Other entries are ignored.
      key: fixes every draw.
      normalization: of pixels to inputs.
      augmentation: erasing, still frames and mixing.
      num_classes: number of classes.
      label_smoothing: see `smoothed_targets`; targets are smoothed before they are mixed.
      groups: parts of the batch within which clips are mixed, one for each device that it is split over.

    Returns:
      The model's input, and targets that sum to 1 for each clip.

    Raises:
      UserError: clips are to be mixed, and the batch does not give each group two or more; or a bank of still frames
        is asked for and not there.
    """
    erasing_key, mixing_key = jax.random.split(key)
    clips = random_erasing(normalization(batch["clip"]), erasing_key, probability=augmentation.erasing_probability)
    clips = mix_still(
        clips,
        batch["weight"],
        jax.random.fold_in(key, _STILL_STREAM),
        kind=augmentation.still,
        normalization=normalization,
        share=augmentation.still_share,
        probability=augmentation.still_probability,
        limit=augmentation.still_limit,
        bank=batch.get(STILLS),
        groups=groups,
    )
    return mix(
        clips,
        smoothed_targets(batch["label"], num_classes, label_smoothing),
        batch["weight"],
        mixing_key,
        mixup_alpha=augmentation.mixup_alpha,
        cutmix_alpha=augmentation.cutmix_alpha,
        probability=augmentation.mix_probability,
        switch_probability=augmentation.mix_switch_probability,
        groups=groups,
    )


def clip_augmentation(config: ConfigDict) -> ClipAugmentation:
    """Reads the augmentation on the device from a recipe.

    Args:
      config: the recipe.

    Returns:
      The augmentation.

    Raises:
      UserError: a value is out of its range.
    """
    fields = config.augmentation
    return ClipAugmentation(
        erasing_probability=fields.erasing,
        mixup_alpha=fields.mixup,
        cutmix_alpha=fields.cutmix,
        mix_probability=fields.mix_probability,
        mix_switch_probability=fields.mix_switch_probability,
        still=fields.still,
        still_share=tuple(fields.still_share),
        still_probability=fields.still_probability,
        still_limit=fields.still_limit,
    )
