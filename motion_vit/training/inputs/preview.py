"""Draws samples of a source before and after augmentation, for a look before a run."""

import pathlib
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.augmentation.crops import crop_views, resize_short_side
from motion_vit.data.batches.contact_sheet import CaptionedClip, draw_sheet
from motion_vit.data.batches.training_batches import ClipAugmenter, decode_training_clip
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.training.inputs.clip_augmentation import STILLS, augment_batch, clip_augmentation
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.inputs.still_bank import still_bank
from motion_vit.training.recipe.clips import clip_options

# Targets below this share are not worth the room in a caption.
_SMALLEST_SHARE = 0.05


def draw_samples(
    source: ClipSource,
    config: ConfigDict,
    path: pathlib.Path,
    *,
    samples: int = 6,
    seed: int = 0,
    augmented: bool,
    corruptions: Sequence[Corruption] = (),
) -> None:
    """Draws clips of a source with their labels.

    Args:
      source: list or prepared split.
      config: recipe of sampling, crops and augmentation.
      path: the picture, `.png` or `.gif`.
      samples: number of clips; at least two, if the recipe mixes clips.
      seed: seed of the choice of clips, and of every draw of sampling and augmentation.
      augmented: whether to draw, beside the clip, its results after augmentation on the host and after that on the
        device.
      corruptions: to draw each clip as an evaluation sees it, in its size, and below it what each of these makes of it.

    Raises:
      UserError: a single clip cannot be mixed, no clip can be decoded, or the picture cannot be written.
    """
    mixes = config.augmentation.mixup or config.augmentation.cutmix or config.augmentation.still == "batch"
    if augmented and samples < 2 and mixes:
        raise UserError("the recipe mixes clips with each other; draw two samples or more.")
    rng = np.random.default_rng(seed)
    options, names = clip_options(config), source.label_names
    augment = ClipAugmenter(options, names)
    rows: list[list[CaptionedClip]] = []
    cut: list[tuple[np.ndarray, int]] = []
    for row in rng.permutation(len(source)).tolist():
        try:
            clip = source[row]
            decoded = decode_training_clip(clip, options, rng)
        except UserError:
            continue  # `motion-vit data check` is there to name it
        caption = f"{clip.id}: {names[clip.label]}"
        if corruptions:
            rows.append(_corrupted(caption, decoded, row, options.size, corruptions))
        else:
            rows.append([CaptionedClip(caption, decoded)])
        if augmented:
            cut.append(augment(decoded, clip.label, rng))
        if len(rows) == samples:
            break
    if not rows:
        raise UserError(f"not one of the {counted(len(source), 'clip')} of {source.name} can be decoded.")
    if augmented:
        _add_augmented(rows, cut, config, names, seed)
    draw_sheet(rows, path)


def _corrupted(
    caption: str, clip: UInt8[np.ndarray, "t h w 3"], row: int, size: int, corruptions: Sequence[Corruption]
) -> list[CaptionedClip]:
    """Makes pictures of a clip in the size of an evaluation: as it is, and as each corruption leaves it."""
    whole = resize_short_side(clip, size)
    shown = [(caption, whole)]
    shown += [(f"{each.name}, severity {each.severity}", each(whole, [row, 0])) for each in corruptions]
    return [CaptionedClip(text, crop_views(frames, size, 1)[0]) for text, frames in shown]


def _add_augmented(
    rows: list[list[CaptionedClip]],
    cut: list[tuple[np.ndarray, int]],
    config: ConfigDict,
    names: tuple[str, ...],
    seed: int,
) -> None:
    """Adds the clip of every sample after augmentation on the host and after augmentation on the device."""
    batch = {
        "clip": np.stack([clip for clip, _ in cut]),
        "label": np.array([label for _, label in cut], np.int32),
        "weight": np.ones(len(cut), np.float32),
    }
    if (stills := still_bank(config)) is not None:
        batch[STILLS] = stills
    normalise = normalization(config)
    augmentation = clip_augmentation(config)

    # Compiled whole: operation by operation, a hundred small programs would take seconds.
    @jax.jit
    def augment(
        batch: dict[str, Array], key: PRNGKeyArray
    ) -> tuple[UInt8[Array, "b t h w 3"], Float[Array, "b classes"]]:
        inputs, targets = augment_batch(
            batch, key, normalization=normalise, augmentation=augmentation, num_classes=len(names)
        )
        return normalise.denormalise(inputs), targets

    pictures, targets = jax.device_get(augment(batch, jax.random.key(seed)))
    for row, (clip, label), picture, target in zip(rows, cut, pictures, targets, strict=True):
        row.append(CaptionedClip(f"on the host: {names[label]}", clip))
        row.append(CaptionedClip(f"on the device: {_shares(target, names)}", picture))


def _shares(target: Float[np.ndarray, " classes"], names: tuple[str, ...]) -> str:
    """Formats the classes of a soft target, the largest first."""
    order = [int(label) for label in np.argsort(-target, kind="stable") if target[label] >= _SMALLEST_SHARE]
    return " + ".join(f"{target[label]:.2f} {names[label]}" for label in order)
