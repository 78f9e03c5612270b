"""Renders videos into files, in several processes, and leaves out those that are there already."""

import concurrent.futures
import multiprocessing
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.video.encoding import write_video
from motion_vit.data.workers.cores import available_cores
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.files.atomic_file import make_folder

Render = Callable[[], UInt8[np.ndarray, "t h w 3"]]
"""Makes the frames of a video; for several processes it must be picklable, as a `functools.partial` is."""

# Clips that a process takes at a time: enough to hide the handing over, few enough for a smooth progress bar.
_CHUNK = 8


def render_videos(videos: Mapping[pathlib.Path, Render], *, workers: int | None, progress: bool) -> None:
    """Renders the videos that are missing.

    Args:
      videos: file -> what makes its frames.
      workers: processes; None takes one for each core.
      progress: show a progress bar with the time left.

    Raises:
      UserError: a file cannot be written.
    """
    for folder in {path.parent for path in videos}:
        make_folder(folder)
    missing = [(path, render) for path, render in videos.items() if not path.exists()]
    rendering = _render(missing, workers or available_cores())
    with progress_bar(len(missing), "rendering videos", "clip", shown=progress and bool(missing)) as bar:
        for _ in rendering:
            bar.update()


def _render_video(task: tuple[pathlib.Path, Render]) -> None:
    path, render = task
    write_video(path, render())


def _render(tasks: list[tuple[pathlib.Path, Render]], workers: int) -> Iterator[None]:
    """Renders in `workers` processes, or in this one for few videos; yields once per video."""
    if workers == 1 or len(tasks) <= _CHUNK:
        yield from map(_render_video, tasks)
        return
    # Spawned, not forked: a fork of a process in which JAX already runs its threads may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_render_video, tasks, chunksize=_CHUNK)
