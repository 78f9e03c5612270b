"""Checks a list of videos by decoding every one of them, before a run spends hours on them."""

import collections
import concurrent.futures
import csv
import dataclasses
import hashlib
import io
import json
import math
import multiprocessing
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

import tqdm

from motion_vit.data.decoding import VideoDecodeError, VideoInfo, check_video
from motion_vit.data.video_list import LABELS_FILE, ListFileError, VideoList, read_label_names, read_video_list
from motion_vit.errors import UserError

# A worker process takes about a second to start: shorter lists are checked in this one.
_VIDEOS_A_WORKER = 200
_VIDEOS_A_TASK = 8
_SHOWN_BAD = 10


@dataclasses.dataclass(frozen=True)
class BadVideo:
    """A video that cannot be used.

    Attributes:
      path: The file.
      reason: What is wrong with it.
    """

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class PreparationReport:
    """What `prepare_list` found and wrote.

    Attributes:
      list_file: The written list: `path,label,frames,fps,width,height`.
      labels_file: The names of the classes, one a line.
      report_file: This report as JSON.
      videos: Videos in the written list.
      frames: Frames of all these videos together.
      seconds: Their duration together.
      videos_of_class: Label -> videos, in the order of the labels, with 0 for a class without any.
      bad: The videos that were left out.
      fingerprint: SHA-256 over label, size and frames of every video: equal for the same data in another place.
    """

    list_file: pathlib.Path
    labels_file: pathlib.Path
    report_file: pathlib.Path
    videos: int
    frames: int
    seconds: float
    videos_of_class: dict[str, int]
    bad: tuple[BadVideo, ...]
    fingerprint: str


def _check(path: str) -> VideoInfo | BadVideo:
    """Decodes one video; runs in a worker process, from which a value comes back more safely than an exception."""
    try:
        return check_video(path)
    except VideoDecodeError as error:
        return BadVideo(path, error.reason)


def _check_all(paths: Sequence[str], workers: int | None) -> Iterator[VideoInfo | BadVideo]:
    """Checks videos in parallel and yields the results in the order of the paths."""
    if workers is None:
        workers = min(os.cpu_count() or 1, math.ceil(len(paths) / _VIDEOS_A_WORKER))
    if workers <= 1:
        yield from map(_check, paths)
        return
    # A fork of a process in which JAX or FFmpeg have started threads can hang: fresh processes cannot.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_check, paths, chunksize=_VIDEOS_A_TASK)


def _check_with_progress(paths: Sequence[str], workers: int | None, progress: bool) -> list[VideoInfo | BadVideo]:
    results = []
    bad = 0
    with tqdm.tqdm(total=len(paths), desc="checking videos", unit="video", disable=not progress) as bar:
        for result in _check_all(paths, workers):
            results.append(result)
            if isinstance(result, BadVideo):
                bad += 1
                bar.set_postfix(bad=bad)
            bar.update()
    return results


def _write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a file under another name first: whoever reads it finds the old or the new one, never a part."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _written_path(path: str, out_dir: pathlib.Path) -> str:
    """Relative for videos beside or below the output folder, so that both can be moved together; else absolute."""
    if pathlib.Path(path).is_relative_to(out_dir.parent):
        return os.path.relpath(path, out_dir)
    return path


def _list_text(videos: VideoList, good: dict[int, VideoInfo], out_dir: pathlib.Path) -> str:
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "frames", "fps", "width", "height"])
    for row, info in good.items():
        name = videos.label_names[videos.labels[row]]
        path = _written_path(videos.paths[row], out_dir)
        writer.writerow([path, name, info.frames, f"{info.fps:.6g}", info.width, info.height])
    return table.getvalue()


def _fingerprint(videos: VideoList, good: dict[int, VideoInfo]) -> str:
    digest = hashlib.sha256()
    for row, info in good.items():
        name = videos.label_names[videos.labels[row]]
        size = os.path.getsize(videos.paths[row])
        digest.update(f"{name}\t{size}\t{info.frames}\t{info.width}\t{info.height}\n".encode())
    return digest.hexdigest()


def _read_source(source: pathlib.Path, out_dir: pathlib.Path) -> VideoList:
    """Reads the list with the labels beside it, else those of an earlier list in the output folder, else its own."""
    earlier = out_dir / LABELS_FILE
    if (source.parent / LABELS_FILE).is_file() or not earlier.is_file():
        return read_video_list(source, check_files=False)
    try:
        return read_video_list(source, label_names=read_label_names(earlier), check_files=False)
    except ListFileError as error:
        raise ListFileError(
            f"{error}\nThe labels are those of {earlier}, written when another list was prepared into this folder; "
            "prepare the training list first, or into another folder"
        ) from error


def _report(
    videos: VideoList, good: dict[int, VideoInfo], bad: Sequence[BadVideo], out_dir: pathlib.Path
) -> PreparationReport:
    counts = collections.Counter(videos.label_names[videos.labels[row]] for row in good)
    return PreparationReport(
        list_file=out_dir / f"{videos.source.stem}.csv",
        labels_file=out_dir / LABELS_FILE,
        report_file=out_dir / f"{videos.source.stem}_report.json",
        videos=len(good),
        frames=sum(info.frames for info in good.values()),
        seconds=round(sum(info.duration for info in good.values()), 3),
        videos_of_class={name: counts[name] for name in videos.label_names},
        bad=tuple(bad),
        fingerprint=_fingerprint(videos, good),
    )


def _bad_videos_message(report: PreparationReport, total: int) -> str:
    lines = [f"  {video.path}: {video.reason}" for video in report.bad[:_SHOWN_BAD]]
    if len(report.bad) > _SHOWN_BAD:
        lines.append(f"  and {len(report.bad) - _SHOWN_BAD} more")
    return (
        f"{len(report.bad)} of {total} videos cannot be used:\n"
        + "\n".join(lines)
        + f"\nAll of them are named in {report.report_file}. Repair or remove them, or leave them out with --skip-bad."
    )


def prepare_list(
    source_csv: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    workers: int | None = None,
    progress: bool = True,
    skip_bad: bool = False,
) -> PreparationReport:
    """Decodes every video of a list and writes a list that training reads without opening a file.

    Writes into `out_dir`: `<stem>.csv` (a list with the number of frames of each video), `labels.txt`, and
    `<stem>_report.json`. Several lists, training first, can be prepared into one folder and then share its labels.

    Args:
      source_csv: The list, see `video_list.read_video_list`.
      out_dir: Where to write; made where missing. Not the folder of the list itself.
      workers: Processes that decode; None for as many as cores, fewer for a short list.
      progress: Whether to show a progress bar with the time left on stderr.
      skip_bad: Leave out videos that cannot be decoded instead of raising.

    Returns:
      What was found and written.

    Raises:
      ListFileError: The list itself cannot be used.
      UserError: Videos cannot be decoded and `skip_bad` is off (the report is written, the list is not); none can be
        decoded; or the list would overwrite its source.
    """
    source, out = pathlib.Path(source_csv), pathlib.Path(out_dir).resolve()
    if source.resolve() == out / f"{source.stem}.csv":
        raise UserError(f"preparing {source} into its own folder would overwrite it; give another output folder")
    videos = _read_source(source, out)
    results = _check_with_progress(videos.paths, workers, progress)
    good = {row: result for row, result in enumerate(results) if isinstance(result, VideoInfo)}
    bad = [result for result in results if isinstance(result, BadVideo)]
    report = _report(videos, good, bad, out)
    out.mkdir(parents=True, exist_ok=True)
    _write_atomically(report.report_file, json.dumps(dataclasses.asdict(report), indent=2, default=str) + "\n")
    if bad and (not skip_bad or not good):
        raise UserError(_bad_videos_message(report, len(videos)))
    _write_atomically(report.labels_file, "\n".join(videos.label_names) + "\n")
    _write_atomically(report.list_file, _list_text(videos, good, out))
    return report
