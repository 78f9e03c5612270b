"""Writes the segments of a video as subtitles, which players show beside it: SRT and WebVTT."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from motion_vit.outside_text import LONGEST_LABEL, for_subtitle, shortened

if TYPE_CHECKING:
    from motion_vit.training.inference.segments import Segment

SubtitleFormat = Literal["srt", "vtt"]


def subtitles(segments: "Sequence[Segment]", form: SubtitleFormat) -> str:
    """Writes subtitles.

    Args:
      segments: in order.
      form: SubRip or WebVTT.

    Returns:
      The text of the file. Seconds count from the first frame of the video, as players do.
    """
    cues = [_cue(number, segment, form) for number, segment in enumerate(segments, 1)]
    return "\n".join(["WEBVTT\n", *cues] if form == "vtt" else cues)


def _cue(number: int, segment: "Segment", form: SubtitleFormat) -> str:
    label = for_subtitle(shortened(segment.label, LONGEST_LABEL))
    times = f"{_time(segment.start, form)} --> {_time(segment.end, form)}"
    return f"{number}\n{times}\n{label} {100 * segment.probability:.0f} %\n"


def _time(seconds: float, form: SubtitleFormat) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    mark = "," if form == "srt" else "."
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
