"""Writes a video with its timeline below it: the label that holds, and all segments with the place of the frame."""

import contextlib
import os
import pathlib
from collections.abc import Generator, Sequence

import av.video.frame
import cv2
import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from motion_vit.data.video.container import decode_packet, demux, open_video
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import RgbConverter
from motion_vit.data.video.encoding import video_writer
from motion_vit.data.video.timeline import read_timeline
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.outside_text import for_plot
from motion_vit.training.inference.segments import Segment
from motion_vit.training.inference.timeline import VideoTimeline

# Of the Okabe-Ito palette, which colour-blind readers tell apart; labels take them in turn.
_COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66))
_NO_LABEL = (70, 70, 70)
_BACKGROUND = (24, 24, 24)
_WHITE = (255, 255, 255)
# Pixels: small pictures are enlarged and large ones reduced, so that the text is as large as it should be.
_NARROWEST = 320
_LONGEST_SHORT_SIDE = 480
_TEXT_HEIGHT = 28
_STRIP_HEIGHT = 16
# Seconds, a tick of the clock of what is written. Of frames that are closer than this, the last is seen.
_CLOSEST = 1 / 90_000


def write_timeline_video(timeline: VideoTimeline, path: str | os.PathLike[str], *, progress: bool = False) -> None:
    """Writes the part of a video that was looked at, without its sound, and the timeline below the picture.

    Frames keep their times. A video that is broken is written up to there. The memory does not grow with the length of
    the video.

    Args:
      timeline: of a video file.
      path: the file to write, ending in `.mp4` or `.webm`; another than the video itself.
      progress: whether to show a progress bar on standard error.

    Raises:
      UserError: the name ends otherwise, or is that of the video itself.
      UnwritableError: the file cannot be written.
      VideoDecodeError: the video cannot be read any more.
    """
    target = pathlib.Path(path)
    if target.exists() and target.samefile(timeline.path):
        raise UserError(f"{target} is the video itself, which is not written over; name another file.")
    read = read_timeline(timeline.path)
    times = read.times or ()
    convert = RgbConverter(_LONGEST_SHORT_SIDE)
    first, stop = np.searchsorted(times, [timeline.start, timeline.end])
    height, width = _size(timeline.path)
    band = _Band(timeline, width)
    seen = np.diff(times[:stop], append=np.inf) >= _CLOSEST
    with (
        video_writer(target, height + _TEXT_HEIGHT + _STRIP_HEIGHT, width, fps=read.fps or 25.0, timed=True) as write,
        contextlib.closing(_decoded(timeline)) as frames,
        progress_bar(int(stop), "rendering", "frame", leave=False, shown=progress) as bar,
    ):
        for number, frame in zip(range(stop), frames, strict=False):
            if number >= first and seen[number]:
                picture = cv2.resize(convert(frame), (width, height), interpolation=cv2.INTER_AREA)
                write(np.concatenate([picture, band.at(times[number])]), times[number] - times[first])
            bar.update()


def _decoded(timeline: VideoTimeline) -> Generator[av.video.frame.VideoFrame, None, None]:
    """Decodes a video, as far as it can be: a window may go on beyond its last frame that is looked at."""
    try:
        with open_video(timeline.path) as (container, stream):
            for packet in demux(container, stream):
                yield from decode_packet(packet)
    except VideoDecodeError:
        if not timeline.error:
            raise


def _size(video: str) -> tuple[int, int]:
    """Returns the even height and width that frames of a video are drawn in."""
    convert = RgbConverter(_LONGEST_SHORT_SIDE)
    with open_video(video) as (container, stream):
        shapes = (convert(frame).shape for packet in demux(container, stream) for frame in decode_packet(packet))
        height, width, _ = next(shapes)
    scale = max(1.0, _NARROWEST / width)
    return round(height * scale / 2) * 2, round(width * scale / 2) * 2


class _Band:
    """Draws what stands below the picture; texts are drawn once for each segment."""

    def __init__(self, timeline: VideoTimeline, width: int) -> None:
        self._timeline, self._width = timeline, width
        labels = dict.fromkeys(segment.label for segment in timeline.segments)
        self._colors = {label: _COLORS[number % len(_COLORS)] for number, label in enumerate(labels)}
        self._strip = self._draw_strip(timeline.segments)
        font = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
        self._font = ImageFont.truetype(font, _TEXT_HEIGHT * 6 // 10)
        self._drawn: tuple[Segment | None, UInt8[np.ndarray, "h w 3"]] = (None, self._draw_text(None))
        self._next = 0

    def at(self, seconds: float) -> UInt8[np.ndarray, "h w 3"]:
        """Draws the band of a frame; frames come in order."""
        segments = self._timeline.segments
        while self._next < len(segments) and segments[self._next].end <= seconds:
            self._next += 1
        held = segments[self._next] if self._next < len(segments) else None
        if held is not None and held.start > seconds:
            held = None
        if held is not self._drawn[0]:
            self._drawn = (held, self._draw_text(held))
        strip = self._strip.copy()
        place = min(self._column(seconds), self._width - 2)
        strip[:, place : place + 2] = _WHITE
        return np.concatenate([self._drawn[1], strip])

    def _column(self, seconds: float) -> int:
        length = max(self._timeline.end - self._timeline.start, 1e-9)
        return round((seconds - self._timeline.start) / length * self._width)

    def _draw_strip(self, segments: Sequence[Segment]) -> UInt8[np.ndarray, "h w 3"]:
        strip = np.full((_STRIP_HEIGHT, self._width, 3), _NO_LABEL, np.uint8)
        for segment in segments:
            left = self._column(segment.start)
            strip[:, left : max(left + 1, self._column(segment.end))] = self._colors[segment.label]
        return strip

    def _draw_text(self, segment: Segment | None) -> UInt8[np.ndarray, "h w 3"]:
        picture = Image.new("RGB", (self._width, _TEXT_HEIGHT), _BACKGROUND)
        if segment is not None:
            draw = ImageDraw.Draw(picture)
            middle = _TEXT_HEIGHT // 2
            draw.rectangle((0, 0, _STRIP_HEIGHT // 2, _TEXT_HEIGHT), fill=self._colors[segment.label])
            text = f"{for_plot(segment.label)}  {100 * segment.probability:.0f} %"
            draw.text((_STRIP_HEIGHT, middle), text, fill=_WHITE, font=self._font, anchor="lm")
        return np.asarray(picture)
