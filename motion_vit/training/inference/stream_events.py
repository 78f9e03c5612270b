"""Says what happens in a stream while it runs: classifies overlapping windows, and opens and closes segments."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from motion_vit.data.batches.batch import settle_reader
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.window_stream import WindowStream
from motion_vit.data.batches.window_views import Windows, WindowViews
from motion_vit.data.streams.timed_frame import FrameSource, TimedFrame
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.workers.background import in_background
from motion_vit.errors import UserError
from motion_vit.outside_text import LONGEST_LABEL, for_terminal
from motion_vit.training.inference.ranking import class_probabilities
from motion_vit.training.inference.segments import (
    SegmentChange,
    SegmentRules,
    SegmentTracker,
    Smoothing,
    WindowProbabilities,
)
from motion_vit.training.inference.view_batches import ViewCounts, mean_logits
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.training.step.train_step import LogitsFunction

# Windows that wait for the model: where hops are left out the newest alone, so that none is old.
_WAITING = 2
_NEWEST = 1


@dataclasses.dataclass(frozen=True, eq=False)
class StreamEvent:
    """A window that was classified, or the begin or end of a segment.

    Attributes:
      kind: "window" for each window that was classified; "opened" and "closed" for segments.
      start: the second of the stream at which the window or the segment starts.
      end: the second at which it ends; of a segment that was opened, the second that it reaches so far.
      label: the most probable class of the window, or that of the segment; "" if logits are NaN or infinite.
      probability: that of the class in the window, or the mean over the segment; 0.0 if logits are NaN or infinite.
      probabilities: of each class in the window; None for segments, and where logits are NaN or infinite.
      behind: seconds of the stream from `end` to the newest frame that had come when the event was made.
      dropped: windows that were left out until then, because the model was slower than the stream.
    """

    kind: Literal["window", "opened", "closed"]
    start: float
    end: float
    label: str
    probability: float
    probabilities: Float[np.ndarray, " classes"] | None
    behind: float
    dropped: int

    def to_dict(self) -> dict[str, object]:
        """Gives the event as JSON, without the probabilities of all classes."""
        return {
            "event": self.kind,
            "start": round(self.start, 6),
            "end": round(self.end, 6),
            "label": self.label,
            "probability": self.probability,
            "behind": round(self.behind, 3),
            "dropped": self.dropped,
        }

    def __str__(self) -> str:
        """Writes a line."""
        label = for_terminal(self.label, LONGEST_LABEL) if self.label else "its logits are NaN or infinite"
        left_out = f", {self.dropped} left out" if self.dropped else ""
        return (
            f"{self.start:9.2f} - {self.end:9.2f} s  {self.kind:6}  {100 * self.probability:5.1f} %  {label}  "
            f"({self.behind:.2f} s behind{left_out})"
        )


def stream_events(
    logits_of: LogitsFunction,
    variables: Any,
    config: ConfigDict,
    label_names: Sequence[str],
    source: FrameSource,
    *,
    windows: Windows,
    rules: SegmentRules,
    mesh: Mesh,
    clips: int | None = None,
    crops: int | None = None,
    drop: bool | None = None,
) -> Generator[StreamEvent, None, None]:
    """Classifies the windows of a stream as `label_video` does those of a file, and finds segments by the same rules.

    A thread reads frames and cuts windows; few windows wait for the model. Closing the generator ends the thread and
    the source.

    Args:
      logits_of: the model's logits, of `make_logits_function`.
      variables: the model's parameters and running statistics.
      config: the recipe that it was trained with.
      label_names: name of each class, in the order of the logits.
      source: gives frames; not opened yet.
      windows: their length and places.
      rules: where labels begin and end.
      mesh: devices that hold the variables.
      clips: clips spread over each window; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      drop: whether windows are left out where the model is slower than the stream; None for those of live sources.

    Returns:
      The events; the source is opened when the first is asked for.

    Raises:
      UserError: a number is out of range.
    """
    counts = ViewCounts.of(config, clips=clips, crops=crops, batch_size=None)
    reader = _Reader(source, clip_options(config), windows, counts)
    drop = source.is_live if drop is None else drop
    evidence = trained_evidence(config)

    def classified(views: np.ndarray) -> Float[np.ndarray, " classes"]:
        return mean_logits(logits_of, variables, [views], 1, mesh)[0]

    def events() -> Generator[StreamEvent, None, None]:
        # The first call compiles: frames that came meanwhile would be old.
        classified(np.zeros((counts.clips * counts.crops, *clip_options(config).shape), np.uint8))
        reading = reader.windows()
        ready = in_background(
            reading,
            ahead=_NEWEST if drop else _WAITING,
            left_out=reader.leave_out if drop else None,
            interrupt=source.interrupt,
        )
        smoothing, tracker = Smoothing(windows.hop, windows.start), SegmentTracker(label_names, rules)
        failure: UserError | None = None
        try:
            while failure is None:
                try:
                    window = next(ready, None)
                except UserError as error:
                    failure = error
                    break
                if window is None:
                    break
                probabilities = class_probabilities(classified(window.views), evidence)
                found = WindowProbabilities(window.start, window.end, probabilities)
                yield reader.window_event(found, label_names)
                for piece in smoothing.add(found):
                    yield from map(reader.segment_event, tracker.add(*piece))
            # What was found before a stream broke is not lost.
            for piece in smoothing.end():
                yield from map(reader.segment_event, tracker.add(*piece))
            yield from map(reader.segment_event, tracker.end())
            if failure is not None:
                raise failure
        finally:
            ready.close()
            reading.close()

    return events()


class _Reader:
    """Cuts the windows of a source in the thread that reads it, and knows how far it is."""

    def __init__(self, source: FrameSource, options: ClipOptions, windows: Windows, counts: ViewCounts) -> None:
        self._source, self._options, self._windows, self._counts = source, options, windows, counts
        self._newest = 0.0
        self._dropped = 0

    def leave_out(self, window: WindowViews) -> None:
        """Counts a window that nobody gets."""
        self._dropped += 1

    def windows(self) -> Generator[WindowViews, None, None]:
        """Reads frames and cuts windows."""
        settle_reader()
        with (
            unexpected_as_decode_error(self._source.name),
            contextlib.closing(self._source.frames(self._options.size)) as frames,
        ):
            yield from self._cut(frames)

    def _cut(self, frames: Iterator[TimedFrame]) -> Iterator[WindowViews]:
        cutter = self._cutter(self._windows)
        last: TimedFrame | None = None
        step = 0.0
        for frame in frames:
            if last is not None and frame.after_gap:
                # No window shows what came before a gap beside what came after it.
                yield from cutter.end(last.seconds + (last.duration or step))
                cutter = self._cutter(dataclasses.replace(self._windows, start=frame.seconds))
            elif last is not None:
                step = frame.seconds - last.seconds
            self._newest, last = frame.seconds, frame
            yield from cutter.add(frame.seconds, frame.picture)
            if cutter.done:
                return
        if last is None:
            raise VideoDecodeError(self._source.name, "it ended before its first picture")
        yield from cutter.end(last.seconds + (last.duration or step))

    def _cutter(self, windows: Windows) -> WindowStream:
        return WindowStream(
            self._source.name, self._options, windows, clips=self._counts.clips, crops=self._counts.crops
        )

    def window_event(self, window: WindowProbabilities, label_names: Sequence[str]) -> StreamEvent:
        """Makes the event of a window."""
        found = window.probabilities
        best = 0 if found is None else int(np.argmax(found))
        label, probability = ("", 0.0) if found is None else (label_names[best], float(found[best]))
        return self._event("window", window.start, window.end, label, probability, found)

    def segment_event(self, change: SegmentChange) -> StreamEvent:
        """Makes the event of a segment."""
        one = change.segment
        return self._event(change.kind, one.start, one.end, one.label, one.probability, None)

    def _event(
        self,
        kind: Literal["window", "opened", "closed"],
        start: float,
        end: float,
        label: str,
        probability: float,
        probabilities: Float[np.ndarray, " classes"] | None,
    ) -> StreamEvent:
        behind = max(0.0, self._newest - end)
        return StreamEvent(kind, start, end, label, probability, probabilities, behind, self._dropped)
