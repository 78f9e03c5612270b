"""Decodes every clip of a source and summarizes frames, sizes, rates, codecs and bad clips."""

import collections
import concurrent.futures
import dataclasses
import functools
import math
import multiprocessing
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import ClipSource, clip_frames, clip_name
from motion_vit.data.sources.frame_rates import FAR, is_far, median_rate
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.jpeg_frames import frame_doubts
from motion_vit.data.video.probing import VideoInfo, check_video
from motion_vit.data.workers.cores import available_cores
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.outside_text import LONGEST_LABEL, for_terminal, visible

# A worker process takes about a second to start: fewer clips are checked in this one.
_CLIPS_A_WORKER = 200
_CLIPS_A_TASK = 8
_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class CheckedClip:
    """A decoded clip.

    Attributes:
      id: its name.
      label: its class.
      frames: length of the clip, which may be a part of its video.
      video: size, rate and codec of the whole video.
      doubts: what the names of its frames say is missing or doubtful, as clauses.
    """

    id: str
    label: int
    frames: int
    video: VideoInfo
    doubts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class BadClip:
    """A clip that cannot be used.

    Attributes:
      id: its name.
      reason: what is wrong with it.
    """

    id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class SourceCheck:
    """The result of `check_source`.

    Attributes:
      name: of the source, in messages.
      clips_of_class: label -> clips that decode, in the order of the labels; 0 for an empty class.
      frames: least, median and greatest number of frames of a clip.
      sizes: "width x height" -> clips, the most frequent first.
      rates: frames per second, rounded to a tenth -> clips, the most frequent first.
      codecs: codec -> clips, the most frequent first.
      bad: the clips that cannot be decoded.
      doubtful: name of a clip -> what the names of its frames say is missing or doubtful, as clauses.
      far_rates: name of a clip -> its frames per second, where these are far from the median, see `frame_rates.FAR`.
    """

    name: str
    clips_of_class: dict[str, int]
    frames: tuple[int, float, int]
    sizes: dict[str, int]
    rates: dict[str, int]
    codecs: dict[str, int]
    bad: tuple[BadClip, ...]
    doubtful: dict[str, tuple[str, ...]]
    far_rates: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """Returns the result as text: a few lines, and one for each class."""
        good = sum(self.clips_of_class.values())
        empty = [name for name, count in self.clips_of_class.items() if not count]
        labels = {name: for_terminal(name, LONGEST_LABEL) for name in self.clips_of_class}
        lines = [f"  {labels[name]:<40} {count:6d}" for name, count in self.clips_of_class.items()]
        clips = f"{counted(good, 'clip')} of {counted(len(self.clips_of_class), 'class')}"
        lines.append(f"{for_terminal(self.name)}: {clips}, {len(self.bad)} bad")
        if good:
            lines.append(f"frames of a clip: {self.frames[0]} to {self.frames[2]}, median {self.frames[1]:g}")
            for title, counts in (("sizes", self.sizes), ("frames a second", self.rates), ("codecs", self.codecs)):
                lines.append(f"{title}: {_listed([f'{what} ({count})' for what, count in counts.items()])}")
        if self.far_rates:
            some = _listed([f"{for_terminal(name)}: {rate:.4g}" for name, rate in self.far_rates.items()])
            lines.append(
                f"{counted(len(self.far_rates), 'clip')} with a frame rate more than {FAR:g} times above or below the "
                f"median; dense sampling counts frames unless data.fps is set: {some}"
            )
        if empty:
            shown = ", ".join(labels[name] for name in empty[:_SHOWN]) + (", ..." if len(empty) > _SHOWN else "")
            lines.append(f"classes without a clip: {len(empty)}: {shown}")
        lines += [
            f"doubtful: {for_terminal(name)}: {visible('; '.join(doubts))}" for name, doubts in self.doubtful.items()
        ]
        lines += [f"bad: {for_terminal(clip.id)}: {visible(clip.reason)}" for clip in self.bad]
        return "\n".join(lines)


def _listed(entries: Sequence[str]) -> str:
    shown = ", ".join(entries[:_SHOWN])
    return shown + (f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else "")


@functools.lru_cache(maxsize=1)
def _check_file(path: str) -> VideoInfo:
    """Decodes a file once for consecutive clips that are parts of it."""
    return check_video(path)


def _check_clip(source: ClipSource, row: int) -> CheckedClip | BadClip:
    """Decodes one clip and returns errors as values, which leave a worker process more safely than exceptions."""
    try:
        with unexpected_as_decode_error(f"clip {row}"):
            clip = source[row]
            info = _check_file(clip.video) if isinstance(clip.video, str) else check_video(clip.video)
            first, frames = clip_frames(clip)
            doubts = frame_doubts(clip.video)
    except VideoDecodeError as error:
        return BadClip(clip_name(source, row), error.reason)
    except UserError as error:
        return BadClip(clip_name(source, row), str(error))
    if first + frames > info.frames:
        wanted = (
            f"frames {first} to {first + frames - 1} make the clip, and the video has {counted(info.frames, 'frame')}"
        )
        return BadClip(clip.id, wanted)
    return CheckedClip(clip.id, clip.label, frames, info, doubts)


_source_of_worker: ClipSource


def _start_worker(source: ClipSource) -> None:
    global _source_of_worker
    _source_of_worker = source


def _check_row(row: int) -> CheckedClip | BadClip:
    return _check_clip(_source_of_worker, row)


def _check_all(source: ClipSource, workers: int) -> Iterator[CheckedClip | BadClip]:
    rows = range(len(source))
    if workers <= 1:
        yield from (_check_clip(source, row) for row in rows)
        return
    # A fork of a process in which JAX or FFmpeg have started threads can hang: fresh processes cannot.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(source,)
    ) as pool:
        yield from pool.map(_check_row, rows, chunksize=_CLIPS_A_TASK)


def check_source(source: ClipSource, *, workers: int | None = None, progress: bool = True) -> SourceCheck:
    """Decodes every frame of every clip.

    Args:
      source: list or prepared split.
      workers: processes; None for as many as cores, fewer for a short list.
      progress: whether to show a progress bar with the time left on stderr.

    Returns:
      The statistics, including bad clips.
    """
    if workers is None:
        workers = min(available_cores(), math.ceil(len(source) / _CLIPS_A_WORKER))
    good: list[CheckedClip] = []
    bad: list[BadClip] = []
    with progress_bar(len(source), "checking clips", "clip", shown=progress) as bar:
        for result in _check_all(source, workers):
            if isinstance(result, BadClip):
                bad.append(result)
                bar.set_postfix(bad=len(bad), refresh=False)
            else:
                good.append(result)
            bar.update()
    return _sum_up(source, good, bad)


def _sum_up(source: ClipSource, good: list[CheckedClip], bad: list[BadClip]) -> SourceCheck:
    counts = collections.Counter(clip.label for clip in good)
    frames = sorted(clip.frames for clip in good) or [0]
    usual = median_rate(clip.video.fps for clip in good)
    return SourceCheck(
        name=source.name,
        clips_of_class={name: counts[number] for number, name in enumerate(source.label_names)},
        frames=(frames[0], statistics.median(frames), frames[-1]),
        sizes=_frequencies(f"{clip.video.width} x {clip.video.height}" for clip in good),
        rates=_frequencies(f"{clip.video.fps:.1f}" if clip.video.fps else "unknown" for clip in good),
        codecs=_frequencies(clip.video.codec for clip in good),
        bad=tuple(bad),
        doubtful={clip.id: clip.doubts for clip in good if clip.doubts},
        far_rates={clip.id: clip.video.fps for clip in good if is_far(clip.video.fps, usual)},
    )


def _frequencies(values: Iterator[str]) -> dict[str, int]:
    return dict(collections.Counter(values).most_common())
