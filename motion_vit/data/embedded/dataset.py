"""Renders the embedded dataset: scenes of `motion_scenes` as video files with list files, reproducible from a seed."""

import functools
import os
import pathlib
from collections.abc import Mapping

from motion_vit.data.embedded.claimed_folder import claim_folder
from motion_vit.data.embedded.dataset_parameters import PARAMETERS_FILE, DatasetParameters, Looks
from motion_vit.data.embedded.dataset_ranges import PROCESSES
from motion_vit.data.embedded.motion_scenes import render_clip
from motion_vit.data.embedded.video_rendering import render_videos
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import writing
from motion_vit.files.csv_file import write_csv
from motion_vit.files.local_path import local_path
from motion_vit.ranges import refusal

DEFAULT_SPLITS: Mapping[str, int] = {"train": 8000, "validation": 600}
"""Clips in each split unless told otherwise."""


def render_dataset(
    folder: str | os.PathLike[str],
    *,
    splits: Mapping[str, int] = DEFAULT_SPLITS,
    size: int = 64,
    frames: tuple[int, int] = (16, 24),
    seed: int = 0,
    appearance_bias: float | None = None,
    looks: Mapping[str, Looks] | None = None,
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
      appearance_bias: probability that the background of a clip has the texture and colours that stand for its class,
        else those of any other one; None ties no look to a class.
      looks: name of a split -> how its looks follow the labels: "biased", as all that are not named; "unbiased", each
        look as likely as each other; or "conflicting", never that of the label. It needs `appearance_bias`.
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
    parameters = DatasetParameters(splits, size, frames, seed, appearance_bias, looks or {})
    if workers is not None and not PROCESSES.holds(workers):
        raise UserError(f"{refusal('workers', workers, PROCESSES)}, or None for one on each core.")
    with writing(folder):
        claim_folder(folder, PARAMETERS_FILE, parameters.to_dict())
    videos = {split: parameters.videos(split) for split in splits}
    tasks = {
        folder / video.name: functools.partial(
            render_clip, video.label, video.seed, frames=video.frames, size=size, look=video.look
        )
        for split in splits
        for video in videos[split]
    }
    render_videos(tasks, workers=workers, progress=progress)
    lists = {split: folder / f"{split}.csv" for split in splits}
    for split, path in lists.items():
        write_csv(path, [("path", "label"), *((video.name, video.label) for video in videos[split])])
    return lists
