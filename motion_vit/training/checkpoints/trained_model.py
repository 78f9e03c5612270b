"""A trained model: a network, its weights, and what one must know to use them."""

import dataclasses
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from motion_vit.data.batches.decoded_video import VideoDecoder, decode_video
from motion_vit.data.batches.window_views import OpenWindows, WindowReader
from motion_vit.data.sources.named_videos import NamedVideo, find_videos
from motion_vit.errors import UserError
from motion_vit.files.local_path import path_text
from motion_vit.models.video_model import VideoModel
from motion_vit.training.inference.prediction import Prediction, predict_videos
from motion_vit.training.inference.segments import SegmentRules
from motion_vit.training.inference.timeline import VideoTimeline, label_video
from motion_vit.training.inference.unknown_scores import Rejection
from motion_vit.training.inputs.normalization import check_pixels, normalization
from motion_vit.training.parallel.mesh import data_mesh
from motion_vit.training.step.train_step import LogitsFunction, make_logits_function

Which = Literal["last", "best"]
"""The last checkpoint of a run, or the one of best validation accuracy."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model with its weights, read for inference. `motion_vit.load` reads one.

    `trained.predict("video.mp4")` classifies files; of clips in memory,
    `trained.model.apply(trained.variables, trained.preprocess(clips))` gives the logits.

    Attributes:
      model: a network of `motion_vit.create_model`.
      variables: its parameters, or their averages, and running statistics.
      label_names: the name of each class, in the order of the logits.
      config: the recipe that it was trained with.
      step: training steps behind it.
      averaged: whether the parameters are averages over the steps (the recipe's `ema`).
      evaluation: the accuracy that was last reported for these weights (`top1`, `top5` and, where known, `videos`,
        `data`, `clips`, `crops`); {} if none was.
      frame_rate: median frames per second of the training videos; 0.0 if unknown.
    """

    model: VideoModel
    variables: dict[str, Any]
    label_names: tuple[str, ...]
    config: ConfigDict
    step: int
    averaged: bool = False
    evaluation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    frame_rate: float = 0.0
    _compiled: dict[Mesh, LogitsFunction] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def logits_function(self, mesh: Mesh) -> LogitsFunction:
        """Gives the compiled logits of pixels; it is compiled once for each mesh and shape of clips.

        Args:
          mesh: devices that hold the variables.

        Returns:
          A function of the variables and uint8 clips, see `make_logits_function`.
        """
        if mesh not in self._compiled:
            self._compiled[mesh] = make_logits_function(self.model, normalization(self.config), mesh)
        return self._compiled[mesh]

    def predict(
        self,
        videos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        top: int | Literal["all"] = 5,
        start: float = 0.0,
        end: float | None = None,
        clips: int | None = None,
        crops: int | None = None,
        batch_size: int | None = None,
        mesh: Mesh | None = None,
        rejection: Rejection | None = None,
    ) -> list[Prediction]:
        """Classifies videos.

        Args:
          videos: a name, or several: of video files, folders of them, lists or patterns, see `find_videos`.
          top: how many classes to name, or "all".
          start: second of each video to start at.
          end: second of each video to end before; None for the end of the video.
          clips: clips spread over each video; the recipe's by default.
          crops: crops of each clip, 1 or 3; the recipe's by default.
          batch_size: views at once; the recipe's by default.
          mesh: devices that hold the variables, all by default.
          rejection: which videos are called unknown, see `motion_vit.training.inference.unknown_scores`; None for none.

        Returns:
          The prediction of each video, in order. Probabilities are the softmax of the mean logits of its views. Of
          several videos, one that cannot be decoded has no classes and a reason in `error`; the others are not lost.

        Raises:
          VideoDecodeError: a single name is given, not in a list, and it cannot be decoded or leads to no video.
          UserError: no video is given, or a number is out of range.
        """
        found = find_videos(_names(videos), start=start, end=end)
        predictions = list(
            self.predict_each(
                found, top=top, clips=clips, crops=crops, batch_size=batch_size, mesh=mesh, rejection=rejection
            )
        )
        if isinstance(videos, str | os.PathLike) and [one.path for one in predictions] == [os.fspath(videos)]:
            predictions[0].check()
        return predictions

    def predict_each(
        self,
        videos: Sequence[NamedVideo],
        *,
        top: int | Literal["all"] = 5,
        clips: int | None = None,
        crops: int | None = None,
        batch_size: int | None = None,
        mesh: Mesh | None = None,
        decoder: VideoDecoder = decode_video,
        rejection: Rejection | None = None,
    ) -> Iterator[Prediction]:
        """Classifies videos, and gives each prediction as soon as it is there.

        Args:
          videos: of `motion_vit.data.sources.named_videos.find_videos`.
          top: as for `predict`, and all others, too.
          clips: likewise.
          crops: likewise.
          batch_size: likewise.
          mesh: likewise.
          decoder: decodes a video, in one of several threads.
          rejection: as for `predict`.

        Returns:
          The predictions, in order.

        Raises:
          UserError: a number is out of range.
        """
        mesh = data_mesh() if mesh is None else mesh
        return predict_videos(
            self.logits_function(mesh),
            self.variables,
            self.config,
            self.label_names,
            videos,
            top=len(self.label_names) if top == "all" else _whole_number_above_zero(top),
            mesh=mesh,
            frame_rate=self.frame_rate,
            clips=clips,
            crops=crops,
            batch_size=batch_size,
            decoder=decoder,
            rejection=rejection,
        )

    def timeline(
        self,
        video: str | os.PathLike[str],
        *,
        window: float,
        hop: float | None = None,
        rules: SegmentRules | None = None,
        start: float = 0.0,
        end: float | None = None,
        clips: int | None = None,
        crops: int | None = None,
        batch_size: int | None = None,
        mesh: Mesh | None = None,
        keep: bool = False,
        progress: bool = False,
    ) -> VideoTimeline:
        """Finds what happens when in a long video, by classifying overlapping windows of it.

        Args:
          video: the file.
          window: seconds of a window.
          hop: seconds from the start of a window to that of the next; a quarter of a window by default.
          rules: where labels begin and end, see `motion_vit.training.inference.segments`.
          start: second of the video to start at.
          end: second of the video to end before; None for its end.
          clips: clips spread over each window; the recipe's by default.
          crops: crops of each clip, 1 or 3; the recipe's by default.
          batch_size: views at once; the recipe's by default.
          mesh: devices that hold the variables, all by default.
          keep: whether to keep the probabilities of every window, as `found`.
          progress: whether to show a progress bar on standard error.

        Returns:
          The segments. Where the video is broken, they end, and `error` says why.

        Raises:
          VideoDecodeError: not one window can be decoded.
          UserError: a number is out of range, or the hop is longer than the window.
        """
        named = NamedVideo(path_text(video, "a video"), start, end)
        found = self.timeline_of(
            named,
            window=window,
            hop=hop,
            rules=rules or SegmentRules(),
            clips=clips,
            crops=crops,
            batch_size=batch_size,
            mesh=mesh,
            keep=keep,
            progress=progress,
        )
        if not found.windows:
            found.check()
        return found

    def timeline_of(
        self,
        video: NamedVideo,
        *,
        window: float,
        hop: float | None,
        rules: SegmentRules,
        clips: int | None = None,
        crops: int | None = None,
        batch_size: int | None = None,
        mesh: Mesh | None = None,
        keep: bool = False,
        progress: bool = False,
        open_windows: OpenWindows = WindowReader,
    ) -> VideoTimeline:
        """Finds what happens when in a video of `find_videos`, and raises no error of the video.

        Args:
          video: of `motion_vit.data.sources.named_videos.find_videos`.
          window: as for `timeline`, and all others, too.
          hop: likewise.
          rules: likewise.
          clips: likewise.
          crops: likewise.
          batch_size: likewise.
          mesh: likewise.
          keep: likewise.
          progress: likewise.
          open_windows: opens the windows of the video.

        Returns:
          The segments. Where the video is broken, they end, and `error` says why.

        Raises:
          UserError: a number is out of range, or the hop is longer than the window.
        """
        mesh = data_mesh() if mesh is None else mesh
        return label_video(
            self.logits_function(mesh),
            self.variables,
            self.config,
            self.label_names,
            video,
            window=window,
            hop=hop,
            rules=rules,
            mesh=mesh,
            frame_rate=self.frame_rate,
            clips=clips,
            crops=crops,
            batch_size=batch_size,
            keep=keep,
            progress=progress,
            open_windows=open_windows,
        )

    def preprocess(self, clips: UInt8[Array | np.ndarray, "b t h w 3"]) -> Float[Array, "b t h w 3"]:
        """Makes the model's input of clips in memory.

        Frames are neither chosen nor resized: `trained.model.clip_shape` says how many there should be, and their size.

        Args:
          clips: RGB from 0 to 255.

        Returns:
          Normalised clips in float32, with the mean, the standard deviation and the order of channels of the recipe.

        Raises:
          UserError: what is no array, clips of another rank, or that are not uint8.
        """
        return normalization(self.config)(check_pixels(clips))


def _names(videos: Any) -> list[str]:
    """Lists the names of one or several videos."""
    one = isinstance(videos, str | os.PathLike) or not isinstance(videos, Iterable) or getattr(videos, "ndim", 1) != 1
    chosen = [videos] if one else list(videos)
    if not chosen:
        raise UserError("no video is given to classify: give the path of a video file, or a list of them.")
    for video in chosen:
        if not isinstance(video, str | os.PathLike):
            raise UserError(
                f"predict takes the path of a video file, or a list of them; given {type(video).__name__}. Of clips in "
                "memory, trained.model.apply(trained.variables, trained.preprocess(clips)) gives the logits."
            )
    return [path_text(video, "a video") for video in chosen]


def _whole_number_above_zero(top: int) -> int:
    """Checks how many classes are to be named."""
    try:
        number = operator.index(top)
    except TypeError:
        number = 0
    if number < 1:
        raise UserError(
            f"top is {top!r}, but must be a whole number of 1 or more, or 'all': that many classes are named."
        )
    return number
