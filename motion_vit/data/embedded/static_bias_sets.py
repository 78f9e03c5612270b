"""Renders the videos of a split again with other looks, to measure what a model owes to still pictures.

The renderer knows the exact mask of the object in every frame, so that its background can be exchanged without any
download. The sets are those of Li et al., "Mitigating and Evaluating Static Bias of Action Representations in the
Background and the Foreground" (arXiv 2211.12883): SCUBA, SCUFO and conflicts.
"""

import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.embedded.backdrops import BACKDROPS, BackdropName, draw_backdrop
from motion_vit.data.embedded.claimed_folder import claim_folder
from motion_vit.data.embedded.dataset_parameters import PARAMETERS_FILE, DatasetParameters, RenderedVideo
from motion_vit.data.embedded.motion_scenes import render_clip, render_object
from motion_vit.data.embedded.video_rendering import render_videos
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import writing
from motion_vit.files.csv_file import write_csv
from motion_vit.outside_text import for_terminal

SETS_FOLDER = "static_bias"
"""Where the sets lie, in the folder of the dataset."""

_NOTE = "static_bias.json"
# Goes up when the same dataset no longer gives the same sets.
_VERSION = 1
_RENDER = "`motion-vit render --out DIR --appearance-bias 0.95`"


@dataclasses.dataclass(frozen=True)
class StaticBiasSets:
    """The lists of the sets, each of the same videos in the same order.

    Attributes:
      scuba: kind of background -> list: the object alone, moving over a still picture.
      scufo: kind of background -> list: one frame of each of those, repeated; nothing moves.
      conflict: list: the videos with the look of another class.
      looks: that class, of each video of `conflict`.
    """

    scuba: Mapping[BackdropName, pathlib.Path]
    scufo: Mapping[BackdropName, pathlib.Path]
    conflict: pathlib.Path
    looks: tuple[str, ...]


def render_static_bias_sets(
    folder: pathlib.Path,
    clips: Sequence[tuple[str, str]],
    *,
    name: str,
    workers: int | None = None,
    progress: bool = True,
) -> StaticBiasSets:
    """Renders the sets of some videos of a dataset, and reuses those that are there already.

    They get into the folder `static_bias` of the dataset: videos, and a list for each set.

    Args:
      folder: of `render_dataset` with `appearance_bias`.
      clips: name and label of each video, as in a list of that dataset.
      name: what the names of the lists begin with.
      workers: as for `render_dataset`.
      progress: as for `render_dataset`.

    Returns:
      The sets.

    Raises:
      UserError: the folder is not that of a rendered dataset, its looks are not tied to classes or were exchanged, the
        videos are others or of one class, or the sets cannot be written.
    """
    parameters = _parameters(folder)
    videos = _find_videos(folder, parameters, clips)
    classes = sorted({video.label for video in videos})
    if len(classes) < 2:
        raise UserError(
            f"the videos are all of the class {classes[0]!r}, but a conflict takes the look of another class. Give "
            "videos of at least two classes."
        )
    target = folder / SETS_FOLDER
    with writing(target):
        claim_folder(target, _NOTE, {"version": _VERSION, "dataset": parameters.to_dict()})
    looks = tuple(_draw_other_look(video, classes) for video in videos)
    sets = {
        "conflict": {
            _place("conflict", video, f"-{look}"): functools.partial(_conflict, video, look, parameters.size)
            for video, look in zip(videos, looks, strict=True)
        }
    }
    for backdrop in BACKDROPS:
        for kind, render in (("scuba", _scuba), ("scufo", _scufo)):
            sets[f"{kind}-{backdrop}"] = {
                _place(f"{kind}-{backdrop}", video): functools.partial(render, video, backdrop, parameters.size)
                for video in videos
            }
    tasks = {target / place: render for each in sets.values() for place, render in each.items()}
    render_videos(tasks, workers=workers, progress=progress)
    lists = {each: target / f"{name}-{each}.csv" for each in sets}
    labels = [video.label for video in videos]
    for each, path in lists.items():
        write_csv(path, [("path", "label"), *zip(sets[each], labels, strict=True)])
    return StaticBiasSets(
        scuba={backdrop: lists[f"scuba-{backdrop}"] for backdrop in BACKDROPS},
        scufo={backdrop: lists[f"scufo-{backdrop}"] for backdrop in BACKDROPS},
        conflict=lists["conflict"],
        looks=looks,
    )


def _parameters(folder: pathlib.Path) -> DatasetParameters:
    """Reads the parameters of a dataset whose looks are tied to classes."""
    if not (folder / PARAMETERS_FILE).exists():
        raise UserError(
            f"there is no {PARAMETERS_FILE} in {folder}, so that the masks of the videos are not known. Static bias is "
            f"measured on videos that {_RENDER} has rendered: give one of its lists, such as DIR/validation.csv."
        )
    parameters = DatasetParameters.read(folder)
    if parameters.appearance_bias is None:
        raise UserError(
            f"the dataset in {folder} was rendered without --appearance-bias: no look is tied to a class, so that "
            f"there is no static bias to measure. Render a biased one with {_RENDER}, and train on it."
        )
    return parameters


def _find_videos(
    folder: pathlib.Path, parameters: DatasetParameters, clips: Sequence[tuple[str, str]]
) -> list[RenderedVideo]:
    """Finds the videos of a list among those that the parameters decide."""
    splits = [split for split in parameters.splits if any(name.startswith(f"videos/{split}/") for name, _ in clips)]
    if exchanged := [split for split in splits if parameters.looks.get(split, "biased") != "biased"]:
        raise UserError(
            f"the split {exchanged[0]!r} of {folder} has {parameters.looks[exchanged[0]]} looks, but the accuracy that "
            "others are compared with (IID) is that on looks as in training. Render it with --validation-looks biased; "
            "conflicting looks are made from it."
        )
    known = {video.name: video for split in splits for video in parameters.videos(split)}
    for name, label in clips:
        if name not in known or known[name].label != label:
            raise UserError(
                f"the dataset in {folder} has no video {for_terminal(name)} of the class {for_terminal(label)}. Give a "
                "list that `motion-vit render` wrote there, or lines of it."
            )
    return [known[name] for name, _ in clips]


def _place(kind: str, video: RenderedVideo, mark: str = "") -> str:
    """Names the file of a video of a set, below the folder of the sets; it ends as that of the dataset."""
    place = pathlib.PurePosixPath(video.name)
    return f"videos/{kind}/{place.parent.name}/{place.stem}{mark}{place.suffix}"


def _draws(video: RenderedVideo, purpose: str) -> np.random.Generator:
    """Makes a source of draws for a video that is apart from those of its scene."""
    seed = video.seed
    key = (*seed.spawn_key, zlib.crc32(purpose.encode()))
    return np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=key))


def _draw_other_look(video: RenderedVideo, classes: Sequence[str]) -> str:
    others = [name for name in classes if name != video.label]
    return others[_draws(video, "conflict").integers(len(others))]


def _conflict(video: RenderedVideo, look: str, size: int) -> UInt8[np.ndarray, "t h w 3"]:
    return render_clip(video.label, video.seed, frames=video.frames, size=size, look=look)


def _scuba(video: RenderedVideo, backdrop: BackdropName, size: int) -> UInt8[np.ndarray, "t h w 3"]:
    picture = draw_backdrop(backdrop, _draws(video, backdrop), size)
    return render_object(video.label, video.seed, picture, frames=video.frames)


def _scufo(video: RenderedVideo, backdrop: BackdropName, size: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Repeats one frame, drawn at random, of what `_scuba` renders."""
    picture = draw_backdrop(backdrop, _draws(video, backdrop), size)
    number = int(_draws(video, f"{backdrop} frame").integers(video.frames))
    frame = render_object(video.label, video.seed, picture, frames=video.frames, shown=(number,))
    return frame.repeat(video.frames, axis=0)
