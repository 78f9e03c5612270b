"""Labels the time of a long video: classifies overlapping windows and joins them to segments."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.batches.window_views import OpenWindows, WindowReader, Windows, WindowViews
from motion_vit.data.sources.frame_rates import rate_note
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.workers.background import in_background
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.outside_text import LONGEST_LABEL, for_terminal, visible
from motion_vit.training.inference.ranking import class_probabilities
from motion_vit.training.inference.segments import (
    Segment,
    SegmentRules,
    WindowProbabilities,
    find_segments,
    smoothed,
)
from motion_vit.training.inference.view_batches import ViewCounts, mean_logits
from motion_vit.training.losses.evidence import EvidenceName
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.training.step.train_step import LogitsFunction


@dataclasses.dataclass(frozen=True)
class VideoTimeline:
    """The segments of a video.

    Attributes:
      path: the video file.
      segments: in order; they do not overlap. Between them no label holds.
      error: why the video could not be looked at to its end, in words; "" if it was. The segments before stay.
      note: what is to be known about the video's frame rate, a sentence; "" if nothing.
      start: the second of the video that was looked at first.
      end: the second that it was looked at to.
      windows: number of windows that were classified.
      found: the probabilities of each of them, in order; () unless they were to be kept.
    """

    path: str
    segments: tuple[Segment, ...]
    error: str = ""
    note: str = ""
    start: float = 0.0
    end: float = 0.0
    windows: int = 0
    found: tuple[WindowProbabilities, ...] = ()

    @property
    def failure(self) -> str:
        """The same as `error`, as a prediction has it."""
        return self.error

    @property
    def title(self) -> str:
        """The path, for a line on a terminal."""
        return for_terminal(self.path)

    def check(self) -> None:
        """Raises the error of a video that could not be looked at to its end.

        Raises:
          VideoDecodeError: there is one.
        """
        if self.error:
            raise VideoDecodeError(self.path, self.error)

    def to_dict(self) -> dict[str, object]:
        """Gives the timeline as JSON; only that of a video with an error has an `error`."""
        segments = [dataclasses.asdict(segment) for segment in self.segments]
        entry: dict[str, object] = {"video": self.path, "start": self.start, "end": self.end, "segments": segments}
        entry |= {"error": self.error} if self.error else {}
        return entry | ({"note": self.note} if self.note else {})

    def __str__(self) -> str:
        """Writes the path, and a line for each segment and for the error."""
        lines = [
            f"  {segment.start:9.2f} - {segment.end:9.2f} s  {100 * segment.probability:5.1f} %  "
            f"{for_terminal(segment.label, LONGEST_LABEL)}"
            for segment in self.segments
        ]
        if not self.segments and not self.error:
            lines = ["  no label is probable enough anywhere"]
        if self.error:
            lines.append(f"  not all of it is classified: {visible(self.error)}")
        if self.note:
            lines.append(f"  note: {visible(self.note)}")
        return "\n".join([self.title, *lines])


def label_video(
    logits_of: LogitsFunction,
    variables: Any,
    config: ConfigDict,
    label_names: Sequence[str],
    video: NamedVideo,
    *,
    window: float,
    hop: float | None,
    rules: SegmentRules,
    mesh: Mesh,
    frame_rate: float = 0.0,
    clips: int | None = None,
    crops: int | None = None,
    batch_size: int | None = None,
    keep: bool = False,
    progress: bool = False,
    open_windows: OpenWindows = WindowReader,
) -> VideoTimeline:
    """Labels the time of a video. Each window is classified as `predict_videos` classifies that part of the video.

    A thread decodes the next windows while the model runs; the memory does not grow with the length of the video.

    Args:
      logits_of: the model's logits, of `make_logits_function`.
      variables: the model's parameters and running statistics.
      config: the recipe that it was trained with.
      label_names: name of each class, in the order of the logits.
      video: of `find_videos`.
      window: seconds of a window.
      hop: seconds from the start of a window to that of the next, at most `window`; None for a quarter of it.
      rules: where labels begin and end, see `motion_vit.training.inference.segments`.
      mesh: devices that hold the variables.
      frame_rate: median frames per second of the training videos; 0.0 if unknown.
      clips: clips spread over each window; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      batch_size: views at once; the recipe's by default.
      keep: whether to keep the probabilities of every window.
      progress: whether to show a progress bar on standard error.
      open_windows: opens the windows of the video.

    Returns:
      The segments, with an error where the video is broken, and from where on.

    Raises:
      UserError: a number is out of range, or a batch is larger than the memory of this machine.
    """
    counts = ViewCounts.of(config, clips=clips, crops=crops, batch_size=batch_size)
    options = clip_options(config)
    windows = Windows.of(window, hop, video.start, video.end)
    try:
        if video.error:
            raise VideoDecodeError(video.path, video.error)
        reader = open_windows(video.path, options, windows, clips=counts.clips, crops=counts.crops)
    except VideoDecodeError as error:
        return VideoTimeline(video.path, (), error.reason, start=video.start, end=video.start)
    at_once = counts.at_once(len(reader))
    run = _Run(trained_evidence(config), end=video.start)
    kept: list[WindowProbabilities] = []

    def probabilities() -> Iterator[WindowProbabilities]:
        with progress_bar(len(reader), "predicting", "window", leave=False, shown=progress) as bar:
            for batch in _batches(run.survived(in_background(reader, ahead=at_once)), at_once):
                found = mean_logits(logits_of, variables, [one.views for one in batch], at_once, mesh)
                for one, logits in zip(batch, found, strict=True):
                    classified = run.counted(one, logits)
                    if keep:
                        kept.append(classified)
                    yield classified
                bar.update(len(batch))

    segments = find_segments(smoothed(probabilities(), windows.hop, video.start), label_names, rules)
    note = ""
    if options.sampling == "dense":
        note = rate_note(reader.frame_rate, fps=options.fps, trained=frame_rate)
    return VideoTimeline(video.path, tuple(segments), run.failure, note, video.start, run.end, run.windows, tuple(kept))


@dataclasses.dataclass
class _Run:
    """Counts the windows of a video, and keeps what is wrong with it.

    Attributes:
      evidence: what makes evidence of logits; None for the softmax.
      end: the second of the video that was looked at to.
      windows: number of windows that were classified.
      not_finite: number of those with NaN or infinite logits.
      error: why the video could not be decoded to its end; "" if it was.
    """

    evidence: EvidenceName | None
    end: float
    windows: int = 0
    not_finite: int = 0
    error: str = ""

    @property
    def failure(self) -> str:
        """The error, or that of logits; "" if there is none."""
        if self.error or not self.not_finite:
            return self.error
        return f"the logits of {self.not_finite} of {counted(self.windows, 'window')} are NaN or infinite"

    def survived(self, views: Iterator[WindowViews]) -> Iterator[WindowViews]:
        """Ends the windows where the video is broken."""
        try:
            yield from views
        except VideoDecodeError as error:
            self.error = error.reason

    def counted(self, window: WindowViews, logits: Float[np.ndarray, " classes"]) -> WindowProbabilities:
        """Makes probabilities of logits."""
        probabilities = class_probabilities(logits, self.evidence)
        self.windows += 1
        self.not_finite += probabilities is None
        self.end = window.end
        return WindowProbabilities(window.start, window.end, probabilities)


def _batches(views: Iterator[WindowViews], size: int) -> Iterator[list[WindowViews]]:
    while batch := list(itertools.islice(views, size)):
        yield batch
