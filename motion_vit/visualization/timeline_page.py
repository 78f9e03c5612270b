"""A self-contained HTML page of a timeline: segments, probabilities over time, and the motion at chosen moments."""

import base64
import dataclasses
import io
import pathlib
from collections.abc import Sequence
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import write_text
from motion_vit.outside_text import visible
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.segments import WindowProbabilities
from motion_vit.training.inference.timeline import VideoTimeline
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.clips import clip_options
from motion_vit.visualization.clip_recording import Subject, record_clip
from motion_vit.visualization.clip_view import read_view
from motion_vit.visualization.flow_colors import flow_colors, wheel_picture
from motion_vit.visualization.layer_maps import ClipFrames, MotionMap
from motion_vit.visualization.motion_maps import motion_maps
from motion_vit.visualization.page_assembly import assemble_page
from motion_vit.visualization.token_grid import TokenGrid

MOST_MOMENTS = 24
"""Windows with pictures; each takes 20 to 105 kB of the page."""

_MOST_POINTS = 1500
_MOST_CURVES = 7
_NAMED_CLASSES = 5
_SHOWN_FRAMES = 4
# Pixels of the longer side, and JPEG's quality.
_MOTION_SIDE, _FRAME_SIDE, _QUALITY = 384, 176, 75
_WHEEL_PIXELS = 112
_OPACITY = 0.55
_SHORTEST_ARROW = 0.1
# Of the Okabe-Ito palette, without its yellow, which is hardly seen on white; labels take them in turn.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8a8a8a")


@dataclasses.dataclass(frozen=True, eq=False)
class _Moment:
    """A window with pictures: the frames that the model sees of it, and its motion fields by layer."""

    window: WindowProbabilities
    clip: ClipFrames
    motion: dict[str, MotionMap]


def write_timeline_page(
    trained: TrainedModel,
    timeline: VideoTimeline,
    path: pathlib.Path,
    *,
    most: int = MOST_MOMENTS,
    progress: bool = False,
) -> None:
    """Writes the page of a timeline.

    Args:
      trained: the model that has made it.
      timeline: of a video file, with the windows kept.
      path: the file; it is replaced where it exists.
      most: windows with pictures.
      progress: whether to show a progress bar on standard error.

    Raises:
      UserError: the timeline was made without its windows, or the file is the video itself.
      UnwritableError: the file cannot be written.
    """
    if path.exists() and path.samefile(timeline.path):
        raise UserError(f"{path} is the video itself, which is not written over; name another file.")
    write_text(path, timeline_page(trained, timeline, most=most, progress=progress))


def timeline_page(
    trained: TrainedModel, timeline: VideoTimeline, *, most: int = MOST_MOMENTS, progress: bool = False
) -> str:
    """Makes the page of a timeline. Its size depends on the number of moments, and not on the length of the video.

    Args:
      trained: the model that has made it.
      timeline: of a video file, with the windows kept.
      most: windows with pictures.
      progress: whether to show a progress bar on standard error.

    Returns:
      The text of the file.

    Raises:
      UserError: the timeline was made without its windows.
    """
    if timeline.windows and not timeline.found:
        raise UserError("this timeline was made without its windows; make it with keep=True.")
    chosen = _choose(timeline, most)
    moments, notes = _look(trained, timeline, chosen, progress)
    layer = _clearest(moments)
    greatest = max((one.motion[layer].greatest for one in moments if layer in one.motion), default=1.0)
    if len(moments) < timeline.windows:
        notes.insert(0, f"Pictures are of {counted(len(moments), 'moment')} of {counted(timeline.windows, 'window')}.")
    labels = list(dict.fromkeys(segment.label for segment in timeline.segments))
    shown = _shown_classes(timeline, trained.label_names, labels)
    colors = {name: _COLORS[place % len(_COLORS)] for place, name in enumerate(dict.fromkeys([*labels, *shown]))}
    stride = -(-len(timeline.found) // _MOST_POINTS) or 1
    if stride > 1:
        notes.append(f"The curves show every {stride}th window.")
    if len(shown) < len(trained.label_names):
        notes.append(f"Curves are of the {len(shown)} most probable of {counted(len(trained.label_names), 'class')}.")
    points = timeline.found[::stride]
    content: dict[str, Any] = {
        "title": visible(pathlib.Path(timeline.path).name),
        "subtitle": visible(
            f"{trained.config.model.name}, step {trained.step}: {counted(len(timeline.segments), 'segment')} in "
            f"{counted(timeline.windows, 'window')}, {timeline.start:.2f} to {timeline.end:.2f} s"
        ),
        "start": timeline.start,
        "end": timeline.end,
        "step": _step(timeline),
        "segments": [
            dataclasses.asdict(one) | {"label": visible(one.label), "color": colors[one.label]}
            for one in timeline.segments
        ],
        "times": [round((one.start + one.end) / 2, 3) for one in points],
        "curves": [
            {"label": visible(name), "color": colors[name], "values": [_value(one, number) for one in points]}
            for name, number in shown.items()
        ],
        "moments": [_entry(one, layer, greatest, trained.label_names) for one in moments],
        "layer": visible(layer),
        "wheel": _png(wheel_picture(_WHEEL_PIXELS)) if layer else "",
        "wheelText": f"The edge is {greatest:.3g} pixels of the video between the two frames.",
        "notes": [visible(note) for note in (*notes, *filter(None, [_broken(timeline), timeline.note]))],
    }
    return assemble_page(
        "timeline.html", ["style.css", "timeline.css"], ["timeline.js"], title=content["title"], content=content
    )


def _broken(timeline: VideoTimeline) -> str:
    return timeline.failure and f"Not all of the video is classified: {timeline.failure}"


def _step(timeline: VideoTimeline) -> float:
    """Returns the seconds that a key of the slider goes: to the next window."""
    starts = [one.start for one in timeline.found[:2]]
    return round(starts[1] - starts[0], 6) if len(starts) == 2 else 0.1


def _choose(timeline: VideoTimeline, most: int) -> list[WindowProbabilities]:
    """Chooses the windows with pictures: one in the middle of each segment, the longest first, and others evenly."""
    found = timeline.found
    if len(found) <= most:
        return list(found)
    middles = np.array([(one.start + one.end) / 2 for one in found])
    chosen: dict[int, None] = {}
    by_length = sorted(timeline.segments, key=lambda one: -one.seconds)
    for segment in by_length[:most]:
        chosen[int(np.argmin(np.abs(middles - (segment.start + segment.end) / 2)))] = None
    for place in np.linspace(0, len(found) - 1, most).round().astype(int).tolist():
        if len(chosen) < most:
            chosen[place] = None
    return [found[place] for place in sorted(chosen)]


def _look(
    trained: TrainedModel, timeline: VideoTimeline, chosen: Sequence[WindowProbabilities], progress: bool
) -> tuple[list[_Moment], list[str]]:
    """Records the motion fields of windows; also returns notes about what could not be shown."""
    moments = []
    notes: dict[str, None] = {}
    with progress_bar(len(chosen), "drawing", "moment", leave=False, shown=progress) as bar:
        for window in chosen:
            try:
                moment, note = _moment(trained, timeline.path, window)
            except VideoDecodeError as error:
                notes[f"Not every moment has pictures: {error.reason}."] = None
            except UserError as error:  # a window of a single frame
                notes[f"Not every moment has pictures: {error}."] = None
            else:
                moments.append(moment)
                notes |= dict.fromkeys(filter(None, [note]))
            bar.update()
    return moments, list(notes)


def _moment(trained: TrainedModel, video: str, window: WindowProbabilities) -> tuple[_Moment, str]:
    stored = StoredClip(id=video, label=0, video=video, start=window.start, end=window.end)
    view, pixels = read_view(stored, clip_options(trained.config))
    inputs = normalization(trained.config)(jnp.asarray(pixels)[None])
    subject = Subject(trained.model, trained.variables, inputs, view, trained.label_names)
    clip = ClipFrames(decode_frames(video, view.frame_numbers, short_side=_MOTION_SIDE), view)
    try:
        maps = motion_maps(subject, record_clip(subject, ("motion",), asked=True))
    except UserError as error:
        return _Moment(window, clip, {}), f"There is no motion field, and frames are shown alone: {error}"
    # Affinities are not drawn, and are the largest part.
    forward = [dataclasses.replace(one, volume=None) for one in maps if one.field.frame_offset > 0]
    return _Moment(window, clip, {one.layer: one for one in forward}), ""


def _clearest(moments: Sequence[_Moment]) -> str:
    """Chooses the layer that is surest of its motion; "" if there is none."""
    confidence: dict[str, float] = {}
    for moment in moments:
        for name, motion in moment.motion.items():
            confidence[name] = confidence.get(name, 0.0) + float(np.nanmean(np.asarray(motion.field.confidence[0])))
    return max(confidence, key=lambda name: confidence[name], default="")


def _shown_classes(timeline: VideoTimeline, names: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """Chooses the classes that have curves: those of segments, then the most probable ones of any window."""
    known = [one.probabilities for one in timeline.found if one.probabilities is not None]
    if not known:
        return {}
    highest = np.max(known, axis=0)
    order = {label: place for place, label in enumerate(labels)}
    numbers = sorted(range(len(names)), key=lambda number: (order.get(names[number], len(order)), -highest[number]))
    return {names[number]: number for number in numbers[:_MOST_CURVES]}


def _value(window: WindowProbabilities, number: int) -> float | None:
    return None if window.probabilities is None else round(float(window.probabilities[number]), 3)


def _entry(moment: _Moment, layer: str, greatest: float, names: Sequence[str]) -> dict[str, Any]:
    """Converts a moment for JSON."""
    times = moment.clip.view.times or tuple(range(len(moment.clip.frames)))
    shown = np.unique(np.linspace(0, len(times) - 1, _SHOWN_FRAMES).round().astype(int)).tolist()
    found = moment.window.probabilities
    classes: list[tuple[str, float]] = []
    if found is not None:
        ranking = np.argsort(-found, kind="stable")[:_NAMED_CLASSES].tolist()
        classes = [(visible(names[number]), round(float(found[number]), 4)) for number in ranking]
    entry: dict[str, Any] = {
        "start": moment.window.start,
        "end": moment.window.end,
        "frames": [
            {"second": times[frame], "picture": _jpeg(_fitted(moment.clip.frames[frame], _FRAME_SIDE))}
            for frame in shown
        ],
        "motion": None,
        "classes": classes,
    }
    if layer in moment.motion:
        motion = moment.motion[layer]
        pair = len(motion.pairs) // 2
        first, second = motion.pairs[pair]
        frame = _fitted(moment.clip.frames[first], _MOTION_SIDE, enlarge=True)
        picture = _overlaid(frame, moment.clip.view.video_size, motion.grid, motion.flow[0, pair], greatest)
        entry |= {"motion": _jpeg(picture), "pair": (times[first], times[second])}
    return entry


def _overlaid(
    frame: UInt8[np.ndarray, "h w 3"],
    video_size: tuple[int, int],
    grid: TokenGrid,
    flow: Float[np.ndarray, "rows columns 2"],
    greatest: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws a motion field over a frame: colours of the wheel, and arrows."""
    scale = np.array(frame.shape[:2]) / video_size
    places, inside = [], []
    for length, factor, edges in zip(frame.shape[:2], scale, grid.edges, strict=True):
        pixels = (np.arange(length) + 0.5) / factor
        places.append(np.clip(np.searchsorted(edges, pixels, side="right") - 1, 0, len(edges) - 2))
        inside.append((pixels >= edges[0]) & (pixels <= edges[-1]))
    known = np.isfinite(flow).all(axis=-1)
    colors = flow_colors(flow, greatest)[places[0]][:, places[1]]
    covered = (inside[0][:, None] & inside[1] & known[places[0]][:, places[1]])[..., None]
    mixed = np.where(covered, (1 - _OPACITY) * frame + _OPACITY * colors, frame).astype(np.uint8)
    picture = np.ascontiguousarray(mixed)
    for row, column in zip(*np.nonzero(known), strict=True):
        if np.hypot(*flow[row, column]) < _SHORTEST_ARROW * greatest:
            continue
        y, x = grid.centre(row, column)
        ends = [(float(x), float(y)), (float(x + flow[row, column, 0]), float(y + flow[row, column, 1]))]
        tail, head = ((round(right * scale[1]), round(down * scale[0])) for right, down in ends)
        for color, width in (((255, 255, 255), 3), ((0, 0, 0), 1)):
            cv2.arrowedLine(picture, tail, head, color, width, cv2.LINE_AA, tipLength=0.35)
    return picture


def _fitted(frame: UInt8[np.ndarray, "h w 3"], side: int, *, enlarge: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    """Scales a frame down to a longer side, or also up."""
    height, width, _ = frame.shape
    scale = side / max(height, width)
    if scale >= 1 and not enlarge:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _jpeg(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _png(picture: UInt8[np.ndarray, "h w 4"]) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
