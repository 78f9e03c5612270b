"""Draws a clip, what a network without labels sees of it, and what it predicts from that."""

import dataclasses
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from matplotlib.figure import Figure

from motion_vit.files.atomic_file import atomic_file
from motion_vit.files.figure_file import write_figure
from motion_vit.files.local_path import path_text
from motion_vit.ops.place_selection import places_mask
from motion_vit.ops.tubelets import clips_of_tubelets, tubelet_pixels
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
from motion_vit.training.checkpoints.whole_folder import whole_folder
from motion_vit.training.losses.masked_pixels import masked_pixel_loss, masked_targets, tubelet_statistics
from motion_vit.training.masking.token_mask import TokenMask
from motion_vit.training.step.objective_registry import pretraining_of
from motion_vit.visualization.clip_choice import ClipChoice
from motion_vit.visualization.contact_sheets import empty_sheet, spread

PICTURE_FILE = "reconstruction.png"
ARRAYS_FILE = "reconstruction.npz"

_SHOWN_FRAMES = 6
_GREY = 128

Frames = UInt8[np.ndarray, "t h w 3"]


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """A clip, what the encoder saw of it, and what was predicted from that.

    Attributes:
      video: its name.
      model: name of the model and its steps of training.
      frames: the clip.
      masked: the same with hidden tubelets grey.
      predicted: visible tubelets as they are, hidden ones as predicted.
      normalised: whether mean and deviation of a hidden tubelet, which are not predicted then, are those of the clip.
      loss: mean squared error of the targets of hidden tubelets.
      mask_ratio: share of the places that were hidden.
      times: second in the video of each frame, None where it has none.
    """

    video: str
    model: str
    frames: Frames
    masked: Frames
    predicted: Frames
    normalised: bool
    loss: float
    mask_ratio: float
    times: tuple[float, ...] | None

    def sheet(self) -> Figure:
        """Draws the three below each other, for frames spread over the clip."""
        given = "; means and contrasts of hidden parts are the clip's" if self.normalised else ""
        rows = {"input": self.frames, "what the encoder sees": self.masked, f"reconstruction{given}": self.predicted}
        entries = spread(len(self.frames), _SHOWN_FRAMES)
        heading = f"{self.video} by {self.model}: {100 * self.mask_ratio:.0f} % hidden, loss {self.loss:.3f}"
        sheet = empty_sheet(heading, list(rows), len(entries), shape=(self.frames.shape[1], self.frames.shape[2]))
        for cells, frames in zip(sheet.cells, rows.values(), strict=True):
            for cell, entry in zip(cells, entries, strict=True):
                cell.imshow(frames[entry], interpolation="nearest")
        for cell, entry in zip(sheet.cells[0], entries, strict=True):
            cell.set_title(f"{self.times[entry]:.2f} s" if self.times else f"frame {entry}", fontsize=8)
        return sheet.figure

    def write(self, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
        """Writes the picture and the arrays.

        Args:
          folder: a new or empty folder.

        Returns:
          The files.

        Raises:
          UserError: the folder holds something or cannot be made.
        """
        with whole_folder(folder) as unfinished:
            write_figure(self.sheet(), unfinished / PICTURE_FILE)
            with atomic_file(unfinished / ARRAYS_FILE) as file:
                np.savez_compressed(file, frames=self.frames, masked=self.masked, predicted=self.predicted)
        return [pathlib.Path(folder) / name for name in (PICTURE_FILE, ARRAYS_FILE)]


def reconstruct(
    run: PretrainedRun,
    video: str | os.PathLike[str],
    *,
    start: float | None = None,
    clip: int | None = None,
    clips: int | None = None,
    seed: int = 0,
) -> Reconstruction:
    """Hides parts of a clip of a video and predicts them.

    Args:
      run: a pretrained one.
      video: a video file.
      start: second of the video that the clip starts at; as for `motion_vit.visualization.visualize`.
      clip: likewise.
      clips: likewise.
      seed: what the mask is drawn from.

    Returns:
      The pictures.

    Raises:
      VideoDecodeError: the video cannot be decoded, or ends before the start.
      UserError: there is no such clip.
    """
    path = path_text(video, "the video")
    view, pixels = ClipChoice(start, clip, clips).read(path, run.config)
    objective = pretraining_of(run.config).make(run.config, run.model)
    network, normalise = objective.network, objective.normalise_target
    # All that is hidden is drawn, also where training predicts a part of it.
    sampler = dataclasses.replace(objective.sampler, decoder_ratio=0.0)
    scaled = jnp.asarray(pixels, jnp.float32)[None] / 255.0
    mask = sampler(jax.random.key(seed), scaled)
    inputs = objective.normalization(jnp.asarray(pixels)[None])
    prediction = jax.jit(network.apply)(run.variables, inputs, mask.visible, mask.predicted)
    targets = masked_targets(scaled, network.tubelet, normalise=normalise)
    hidden = places_mask(mask.predicted, targets.shape[2])
    whole = _placed(prediction, mask, targets)
    loss = masked_pixel_loss(whole, targets, hidden)
    cut = tubelet_pixels(scaled, network.tubelet)
    shown = whole.reshape(cut.shape)
    if normalise:
        mean, std = tubelet_statistics(cut)
        shown = shown * std + mean
    rows = pixels.shape[1] // network.tubelet[1]
    covered = hidden[..., None, None]
    grey = jnp.where(covered, _GREY / 255.0, cut)
    predicted = jnp.where(covered, shown, cut)
    return Reconstruction(
        video=pathlib.Path(path).name,
        model=f"{run.config.model.name}, step {run.step}",
        frames=pixels,
        masked=_pictures(clips_of_tubelets(grey, network.tubelet, rows_of_tubelets=rows)),
        predicted=_pictures(clips_of_tubelets(predicted, network.tubelet, rows_of_tubelets=rows)),
        normalised=normalise,
        loss=float(loss[0]),
        mask_ratio=float(np.mean(np.asarray(hidden))),
        times=view.times,
    )


def _placed(
    prediction: Float[Array, "b t n outputs"], mask: TokenMask, targets: Float[Array, "b t places outputs"]
) -> Float[Array, "b t places outputs"]:
    """Puts predictions into their places among the targets."""
    clips, frames = (jnp.arange(size) for size in mask.predicted.shape[:2])
    return targets.at[clips[:, None, None], frames[None, :, None], mask.predicted].set(prediction)


def _pictures(clips: Float[Array, "1 t h w 3"]) -> Frames:
    """Makes pixels of the one clip."""
    return np.asarray(jnp.clip(jnp.round(clips[0] * 255.0), 0, 255).astype(jnp.uint8))
