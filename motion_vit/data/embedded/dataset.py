"""Renders the embedded dataset: scenes of `motion_scenes` as video files with list files, reproducible from a seed."""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from motion_vit.data.embedded.dataset_ranges import CLIP_FRAMES, PROCESSES, SCENE_SIZE, SPLIT_CLIPS
from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES, render_clip
from motion_vit.data.video.encoding import VIDEO_SUFFIXES, write_video
from motion_vit.data.workers.cores import available_cores
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import make_folder, write_text, writing
from motion_vit.files.csv_file import write_csv
from motion_vit.files.json_file import read_json
from motion_vit.files.local_path import local_path
from motion_vit.ranges import Items, refusal

DEFAULT_SPLITS: Mapping[str, int] = {"train": 8000, "validation": 600}
"""Clips in each split unless told otherwise."""

_PARAMETERS_FILE = "dataset.json"
# Goes up when the same seed no longer gives the same videos, so that older folders are not taken for today's.
_RENDERER_VERSION = 1
# Clips that a process takes at a time: enough to hide the handing over, few enough for a smooth progress bar.
_CHUNK = 8


@dataclasses.dataclass(frozen=True)
class _Video:
    """One video of the dataset, before it is rendered.

    Attributes:
      name: its path below the dataset's folder, with forward slashes.
      label: its class.
      frames: its length.
      seed: source of its scene.
    """

    name: str
    label: str
    frames: int
    seed: np.random.SeedSequence


def _videos_of_split(split: str, clips: int, frames: tuple[int, int], seed: int) -> list[_Video]:
    """Decides everything about a split but the pixels."""
    # The split's name is part of every seed below it, so that no two splits share one.
    root = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(split.encode()),))
    # Child 0 orders the classes, the children after it are the clips: a clip's own seed must not decide its class.
    order, *scenes = root.spawn(clips + 1)
    classes = np.random.default_rng(order).permutation(np.arange(clips) % len(MOTION_CLASSES))
    digits = max(5, len(str(clips)))
    videos = []
    for number, (position, scene) in enumerate(zip(classes, scenes, strict=True), start=1):
        # Length and container are drawn apart from the class too, or they would give it away.
        form, content = scene.spawn(2)
        random = np.random.default_rng(form)
        length = int(random.integers(frames[0], frames[1], endpoint=True))
        suffix = VIDEO_SUFFIXES[random.integers(len(VIDEO_SUFFIXES))]
        name = f"videos/{split}/{number:0{digits}d}{suffix}"
        videos.append(_Video(name, MOTION_CLASSES[position], length, content))
    return videos


def _render_video(task: tuple[pathlib.Path, _Video, int]) -> None:
    folder, video, size = task
    write_video(folder / video.name, render_clip(video.label, video.seed, frames=video.frames, size=size))


def _render_videos(tasks: list[tuple[pathlib.Path, _Video, int]], workers: int) -> Iterator[None]:
    """Renders in `workers` processes, or in this one for few videos; yields once per video."""
    if workers == 1 or len(tasks) <= _CHUNK:
        yield from map(_render_video, tasks)
        return
    # Spawned, not forked: a fork of a process in which JAX already runs its threads may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_render_video, tasks, chunksize=_CHUNK)


def _check_arguments(splits: Mapping[str, int], size: int, frames: tuple[int, int], workers: int | None) -> None:
    for name, clips in splits.items():
        if not name.isidentifier():
            raise UserError(f"a split is named by letters, digits and underscores, as in 'train'; given {name!r}")
        if not SPLIT_CLIPS.holds(clips):
            raise UserError(f"{refusal(f'the number of clips of the split {name!r}', clips, SPLIT_CLIPS)}.")
    if not splits:
        raise UserError("a dataset needs at least one split, as in splits={'train': 3000}; given none")
    if not SCENE_SIZE.holds(size) or size % 2:
        raise UserError(f"{refusal('size', size, SCENE_SIZE)} and even: videos of motion scenes have such sizes.")
    lengths = Items(CLIP_FRAMES, 2, 2, purpose="the least and the greatest length of a clip", order="not falling")
    if not lengths.holds(frames):
        raise UserError(f"{refusal('frames', frames, lengths)}.")
    if workers is not None and not PROCESSES.holds(workers):
        raise UserError(f"{refusal('workers', workers, PROCESSES)}, or None for one on each core.")


def _claim_folder(folder: pathlib.Path, parameters: Mapping[str, object]) -> None:
    """Writes the parameters into an empty folder, or checks that they are those of an earlier call."""
    note = folder / _PARAMETERS_FILE
    if note.exists():
        try:
            found = read_json(note)
        except (OSError, ValueError) as error:
            raise UserError(f"{note} is damaged; delete the folder {folder} and render it again") from error
        if found != parameters:
            raise UserError(
                f"the folder {folder} holds a dataset with other parameters: {json.dumps(found)}, "
                f"asked for: {json.dumps(parameters)}; choose another folder or delete this one"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder and holds no dataset of motion scenes; choose another folder")
    make_folder(folder)
    write_text(note, json.dumps(parameters, indent=2) + "\n")


def _write_list(path: pathlib.Path, videos: Iterable[_Video]) -> None:
    write_csv(path, [("path", "label"), *((video.name, video.label) for video in videos)])


def render_dataset(
    folder: str | os.PathLike[str],
    *,
    splits: Mapping[str, int] = DEFAULT_SPLITS,
    size: int = 64,
    frames: tuple[int, int] = (16, 24),
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, pathlib.Path]:
    """Renders the embedded motion dataset into a folder; completes or reuses an earlier rendering.

    A split `train` becomes the videos `videos/train/00001.mp4` (or `.webm`, at random) and so on, and the list file
    `train.csv` with the header `path,label`, paths relative to it. Classes are as even as the number of clips allows.
    The same arguments give the same videos at any number of workers; a split does not depend on the others beside it.

    Args:
      folder: created if it does not exist.
      splits: name -> number of clips.
      size: height and width in pixels.
      frames: least and greatest length of a clip.
      seed: source of all randomness.
      workers: processes; None takes one for each core. A script that asks for more than one needs the usual
        `if __name__ == "__main__":` guard.
      progress: show a progress bar with the time left.

    Returns:
      Name of the split -> its list file.

    Raises:
      UserError: an argument is out of range, or the folder holds something else: other files, or a dataset with other
        parameters; or it cannot be written.
    """
    folder = local_path(folder)
    _check_arguments(splits, size, frames, workers)
    parameters = {
        "renderer_version": _RENDERER_VERSION,
        "splits": dict(splits),
        "size": size,
        "frames": list(frames),
        "seed": seed,
    }
    with writing(folder):
        _claim_folder(folder, parameters)
    videos = {split: _videos_of_split(split, clips, frames, seed) for split, clips in splits.items()}
    for split in splits:
        make_folder(folder / "videos" / split)
    missing = [video for split in splits for video in videos[split] if not (folder / video.name).exists()]
    tasks = [(folder, video, size) for video in missing]
    rendering = _render_videos(tasks, workers or available_cores())
    with progress_bar(len(tasks), "rendering videos", "clip", shown=progress and bool(tasks)) as bar:
        for _ in rendering:
            bar.update()
    lists = {split: folder / f"{split}.csv" for split in splits}
    for split, path in lists.items():
        _write_list(path, videos[split])
    return lists
