"""Motion removal: how much an answer depends on the motion of the patches that a map calls important.

Covering pixels takes away what they show together with how it moves. Here only the motion goes. A patch of the first
frame is followed along a displacement field. The region of its track are the pixels that it covers in any frame, and
this region is frozen: in every frame it shows what it shows in the first frame. So nothing moves in the region, and the
surroundings are kept.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.visualization.class_activation import class_signs
from motion_vit.visualization.clip_versions import Clip, version_probabilities
from motion_vit.visualization.displacement import DisplacementField
from motion_vit.visualization.insertion_deletion import PixelScores
from motion_vit.visualization.point_tracks import follow
from motion_vit.visualization.token_grid import TokenGrid

Region = Bool[np.ndarray, "h w"]


@dataclasses.dataclass(frozen=True)
class MotionRemoval:
    """The probability of a class without the motion of some tracks.

    Attributes:
      region: the frozen pixels.
      whole: probability of the class of the clip as it is.
      frozen: where the region is frozen.
      moved: where the region is frozen in random other places, for each of them.
    """

    region: Region
    whole: float
    frozen: float
    moved: Float[np.ndarray, " draws"]

    @property
    def score(self) -> float:
        """Drop of the probability, minus its mean drop where the region lies in random places; from -1 to 1.

        0: the motion of the tracks is worth no more than that of any region of the same size and shape.
        """
        return float(np.mean(self.moved)) - self.frozen


def patch_tracks(field: DisplacementField, grid: TokenGrid) -> Float[np.ndarray, "t patches 2"]:
    """Follows every patch of the first frame of tokens.

    Args:
      field: displacements of one clip, `flow` `[n, h, w, 2]`, to later frames; see `point_tracks.follow`.
      grid: its patches on the clip itself as a video: of `place_view((size, size), range(frames), size)`.

    Returns:
      (y, x) of the centre of each patch in each frame of tokens, in pixels of the clip; NaN once it is out of sight.
    """
    rows, columns = np.indices((grid.rows, grid.columns)).reshape(2, -1).astype(np.float64)
    return follow(field, np.stack(grid.centre(rows, columns), axis=-1), grid)


def track_scores(
    scores: PixelScores, tracks: Float[np.ndarray, "t patches 2"], grid: TokenGrid
) -> Float[np.ndarray, " patches"]:
    """Averages a map along tracks.

    Args:
      scores: importance of each pixel of each frame of the clip.
      tracks: of `patch_tracks`.
      grid: the same as for `patch_tracks`.

    Returns:
      For each track, the mean over the frames in which it is in sight, of the mean of the scores of its patch.
    """
    height, width = scores.shape[1:]
    found = np.full(tracks.shape[:2], np.nan)
    for frame, patch in zip(*np.nonzero(np.isfinite(tracks[..., 0])), strict=True):
        region = scores[grid.clip_frames[frame]][_patch(tracks[frame, patch], grid, height, width)]
        found[frame, patch] = region.mean() if region.size else np.nan
    return np.nanmean(found, axis=0)


def track_region(tracks: Float[np.ndarray, "t patches 2"], grid: TokenGrid, height: int, width: int) -> Region:
    """Marks the pixels that the patches of some tracks cover in any frame.

    Args:
      tracks: of `patch_tracks`, or some of them.
      grid: the same as for `patch_tracks`.
      height: of the clip in pixels.
      width: of the clip in pixels.

    Returns:
      The region.
    """
    region = np.zeros((height, width), bool)
    for point in tracks.reshape(-1, 2):
        if np.isfinite(point).all():
            region[_patch(point, grid, height, width)] = True
    return region


def freeze(clip: Clip, region: Region) -> Clip:
    """Has a region show in every frame what it shows in the first.

    Args:
      clip: frames.
      region: the pixels.

    Returns:
      The frames without motion in the region; the same where there was none.
    """
    return np.where(region[None, :, :, None], clip[:1], clip)


def motion_removal(
    model: VideoModel,
    variables: Mapping[str, Any],
    clip: Clip,
    scores: PixelScores,
    field: DisplacementField,
    grid: TokenGrid,
    class_index: int,
    *,
    share: float = 1 / 3,
    draws: int = 14,
    seed: int = 0,
) -> MotionRemoval:
    """Measures how much the probability of a class drops where the motion of the most important tracks is frozen.

    The tracks are those of the patches of the first frame along which the map has the highest means; their regions are
    frozen together. The comparison freezes the same region in random places: rolled down and to the right by random
    numbers of pixels, what leaves the frame coming in on the other side. So it always has the same number of pixels.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      clip: a normalised clip.
      scores: importance of each pixel of each frame, such as of `insertion_deletion.pixel_scores`.
      field: the displacements that patches are followed by, of one clip, to later frames.
      grid: the patches of the field on the clip itself as a video.
      class_index: number of the class.
      share: how many of the tracks are frozen, at least one.
      draws: random places to compare with.
      seed: decides these.

    Returns:
      The probabilities.

    Raises:
      UserError: there is no such class, the shapes do not fit, a number is below 1, or logits are not finite.
    """
    class_signs(model, class_index)
    if scores.shape != clip.shape[:3]:
        raise UserError(f"the scores have the shape {scores.shape}, but the pixels of the clip are {clip.shape[:3]}.")
    if not 0 < share <= 1 or draws < 1:
        raise UserError(f"share is {share} and draws is {draws}, but they must be above 0, at most 1; and at least 1.")
    height, width = clip.shape[1:3]
    paths = patch_tracks(field, grid)
    count = max(1, round(share * paths.shape[1]))
    chosen = np.argsort(-track_scores(scores, paths, grid), kind="stable")[:count]
    region = track_region(paths[:, chosen], grid, height, width)
    shifts = np.random.default_rng(seed).integers(0, (height, width), (draws, 2))
    probabilities = version_probabilities(model, variables, _versions(clip, region, shifts))[:, class_index]
    return MotionRemoval(region, float(probabilities[0]), float(probabilities[1]), probabilities[2:])


def _versions(clip: Clip, region: Region, shifts: Int[np.ndarray, "draws 2"]) -> Iterator[Clip]:
    """Makes the clip itself, with the region frozen, and with the region frozen in other places."""
    yield clip
    yield freeze(clip, region)
    for shift in shifts:
        yield freeze(clip, np.roll(region, tuple(shift), axis=(0, 1)))


def _patch(centre: Float[np.ndarray, "2"], grid: TokenGrid, height: int, width: int) -> tuple[slice, slice]:
    """Finds the pixels of a patch around a place."""
    ends = [
        (max(0, round(place - stride / 2)), min(length, round(place + stride / 2)))
        for place, stride, length in zip(centre, grid.stride, (height, width), strict=True)
    ]
    return slice(*ends[0]), slice(*ends[1])
