"""Scores single frames by how well a 2D network tells the class from them, and keeps a bank of the telling ones.

Source: StillMix (Li et al., arXiv 2211.12883), whose training blends such frames into clips; see
`motion_vit.training.inputs.still_mixing`.
"""

import os
from collections import defaultdict
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from motion_vit.counts import counted
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.batches.still_frames import still_frames
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import make_folder
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.inference.ranking import finite_rows
from motion_vit.training.inputs.still_bank import bank_path, write_still_bank
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options
from motion_vit.zoo.load import as_trained

FrameScore = Literal["prediction", "label"]
"""The probability of the class that the network predicts, or of the label."""


class ScoredFrames(NamedTuple):
    """Frames of videos with their scores.

    Attributes:
      rows: number of the video of each frame in its source.
      views: number of each frame among those of its video.
      scores: a probability.
    """

    rows: Int[np.ndarray, " n"]
    views: Int[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]


def make_still_bank(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    size: int,
    frames: int = 1024,
    per_video: int = 4,
    score: FrameScore = "prediction",
    share: tuple[float, float] = (0.5, 1.0),
    seed: int = 0,
    batch_size: int | None = None,
    which: Which = "last",
    ema: bool | None = None,
) -> int:
    """Scores frames of training videos, and writes a bank of those with the strongest static cues.

    Args:
      checkpoint: of a network of single frames, trained with `data.frames=1`, as `evaluate_checkpoint` takes it.
      data: the training videos; a folder alone means its split `train`.
      path: the bank, a `.npz` file.
      size: height and width of its frames, those of the clips that they are blended into.
      frames: the most frames of the bank.
      per_video: frames of each video that are scored, spread over its time.
      score: "prediction" or "label" ("pred" and "gt" in the authors' code).
      share: part of all frames, sorted by rising score, that the bank is drawn from: the upper half.
      seed: of that draw.
      batch_size: frames at once; the recipe's of evaluation by default.
      which: of a workdir, the last or the best checkpoint.
      ema: of a workdir, whether to take the averages of the parameters.

    Returns:
      The number of frames in the bank.

    Raises:
      UserError: the network takes more than one frame, no video can be decoded, or the bank cannot be written.
    """
    make_folder(bank_path(path).parent)  # before the scoring, which may take an hour
    trained = as_trained(checkpoint, which=which, ema=ema, mesh=meshes.data_mesh())
    options = clip_options(trained.config)
    if options.decoded_frames != 1:
        raise UserError(
            f"the model takes clips of {counted(options.decoded_frames, 'frame')}, but still frames are scored by a "
            "network of single frames. Train one with --config.data.frames=1, such as resnet18_tsn."
        )
    source = open_source(data, default_split="train", label_names=trained.label_names)
    scored = score_frames(
        trained, source, per_video=per_video, score=score, batch_size=batch_size or trained.config.evaluation.batch_size
    )
    chosen = choose_frames(scored, frames, share, np.random.default_rng(seed))
    bank = _decode(source, chosen, trained, per_video, size)
    write_still_bank(path, bank)
    return len(bank)


def score_frames(
    trained: TrainedModel, source: ClipSource, *, per_video: int, score: FrameScore, batch_size: int
) -> ScoredFrames:
    """Scores frames of every video.

    Args:
      trained: a network of single frames.
      source: the videos, with the model's label names.
      per_video: frames of each, spread over its time.
      score: which probability.
      batch_size: frames at once, rounded up to a multiple of the devices.

    Returns:
      The frames of the videos that could be decoded, without those of which logits are not finite.

    Raises:
      UserError: there are none.
    """
    mesh = meshes.data_mesh()
    parts = meshes.batch_parts(mesh)
    batch_size = -(-batch_size // parts) * parts
    options, logits_of = clip_options(trained.config), trained.logits_function(mesh)
    batches = evaluation_batches(source, options, batch_size=batch_size, clips=per_video)
    found: list[ScoredFrames] = []
    with progress_bar(-(-len(source) * per_video // batch_size), "scoring frames", "batch", leave=False) as bar:
        for batch in batches:
            clips = meshes.to_devices({"clip": batch["clip"]}, mesh)["clip"]
            logits = np.asarray(jax.device_get(logits_of(trained.variables, clips)), np.float64)
            counts = (batch["weight"] > 0) & finite_rows(logits)
            scores = _probabilities(logits[counts], batch["label"][counts], score)
            found.append(ScoredFrames(batch["index"][counts], batch["view"][counts], scores))
            bar.update()
    whole = ScoredFrames(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    if not len(whole.rows):
        raise UserError(f"no frame of {source.name} could be scored: its videos cannot be decoded, or logits are NaN.")
    return whole


def choose_frames(
    scored: ScoredFrames, count: int, share: tuple[float, float], random: np.random.Generator
) -> ScoredFrames:
    """Draws frames of a part of the ranking.

    Args:
      scored: frames with their scores, of `score_frames`.
      count: the most frames.
      share: where the part begins and ends in the order of rising scores, from 0 to 1.
      random: source of the draw.

    Returns:
      Different frames of that part; all of them where it has no more than `count`.
    """
    order = np.argsort(scored.scores, kind="stable")
    low, high = (round(edge * len(order)) for edge in share)
    part = order[low : max(high, low + 1)]
    chosen = random.choice(part, min(count, len(part)), replace=False)
    return ScoredFrames(*(values[chosen] for values in scored))


def _probabilities(
    logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], score: FrameScore
) -> Float[np.ndarray, " n"]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    if score == "prediction":
        return np.asarray(probabilities.max(axis=1))
    return np.asarray(np.take_along_axis(probabilities, labels[:, None].astype(np.intp), axis=1)[:, 0])


def _decode(
    source: ClipSource, chosen: ScoredFrames, trained: TrainedModel, per_video: int, size: int
) -> UInt8[np.ndarray, "n size size 3"]:
    """Decodes the chosen frames, each video once."""
    views_of_row = defaultdict(list)
    for row, view in zip(chosen.rows.tolist(), chosen.views.tolist(), strict=True):
        views_of_row[row].append(view)
    options = clip_options(trained.config)
    return np.concatenate(
        [still_frames(source[row], options, views, clips=per_video, size=size) for row, views in views_of_row.items()]
    )
