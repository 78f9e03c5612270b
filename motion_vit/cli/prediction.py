"""`motion-vit predict`."""

import argparse
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from motion_vit.cli.answers import FORMATS, AnswerFormat, Answers, open_answers
from motion_vit.cli.arguments import (
    FAILED_STATUS,
    add_checkpoint,
    add_command,
    add_segment_rules,
    add_views,
    refusal,
    seconds,
    segment_rules,
    whole,
)
from motion_vit.counts import counted
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from motion_vit.data.batches.window_views import Windows
    from motion_vit.data.sources.named_videos import NamedVideo
    from motion_vit.training.checkpoints.trained_model import TrainedModel
    from motion_vit.training.inference.prediction import Prediction
    from motion_vit.training.inference.timeline import VideoTimeline
    from motion_vit.training.inference.unknown_scores import Rejection

_DEFAULT_TOP = 5
# Written out, so that `--help` need not import what encodes; a test compares them with the library's.
_RENDERED = (".mp4", ".webm")
_PAGES = (".html", ".htm")
_SCORES = ("uncertainty", "max_softmax", "energy")
_STANDARD_INPUT = "-"


def add_predict(commands: Any) -> None:
    """Defines `motion-vit predict`."""
    details = "Exits with 1, after all others, if a video cannot be decoded, or its logits are NaN or infinite."
    parser = add_command(commands, "predict", _predict, "name the most probable classes of videos", details)
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="video file, folder of videos, folder of frames, list file (.csv), 'PATTERN', or - for a name a line on "
        "standard input",
    )
    add_checkpoint(parser)
    parser.add_argument("--top", type=_top, metavar="K", help="how many classes, or `all`; default: 5")
    parser.add_argument("--start", type=seconds, default=0.0, metavar="SECONDS", help="default: 0")
    parser.add_argument("--end", type=seconds, metavar="SECONDS", help="where to stop; default: the end of each video")
    add_views(parser)
    parser.add_argument(
        "--reject",
        metavar="THRESHOLD",
        help="call videos unknown whose score exceeds a number, or the threshold that an evaluation with --unknown has "
        "found: its folder",
    )
    parser.add_argument(
        "--reject-by",
        choices=_SCORES,
        metavar="SCORE",
        help="uncertainty, max_softmax (1 minus the largest softmax probability) or energy; default: uncertainty of "
        "models that were trained with evidence, else max_softmax",
    )
    _add_windows(parser)
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", dest="format", action="store_const", const="json", help="one document of JSON")
    formats.add_argument(
        "--jsonl", dest="format", action="store_const", const="jsonl", help="a line of JSON as soon as a video is done"
    )
    formats.add_argument(
        "--csv", dest="format", action="store_const", const="csv", help="a table with a row for each class"
    )
    formats.add_argument("--srt", dest="format", action="store_const", const="srt", help="subtitles of a timeline")
    formats.add_argument("--vtt", dest="format", action="store_const", const="vtt", help="the same as WebVTT")
    parser.add_argument(
        "--out",
        type=local_path,
        metavar="FILE",
        help="write to a file; its ending .json, .jsonl, .csv, .srt or .vtt chooses what, unless it is said",
    )


def _add_windows(parser: argparse.ArgumentParser) -> None:
    """Defines `--window` and what goes with it."""
    timelines = parser.add_argument_group("timelines", "What happens when in long videos, by overlapping windows.")
    timelines.add_argument("--window", type=seconds, metavar="SECONDS", help="length of a window, such as 2s")
    timelines.add_argument(
        "--hop", type=seconds, metavar="SECONDS", help="from a window to the next; default: a quarter of a window"
    )
    add_segment_rules(timelines)
    timelines.add_argument(
        "--html", type=local_path, metavar="FILE", help="write a page of the timeline to explore, .html"
    )
    timelines.add_argument(
        "--render", type=local_path, metavar="FILE", help="write the video with the timeline below it, .mp4 or .webm"
    )


def _top(text: str) -> int | Literal["all"]:
    """Reads the number of classes."""
    if text == "all":
        return "all"
    try:
        return whole(1, 1_000_000)(text)
    except argparse.ArgumentTypeError:
        raise refusal(text, "a whole number from 1 to 1000000, or `all`") from None


def _predict(options: argparse.Namespace) -> int:
    from motion_vit.data.sources.named_videos import find_videos
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.parallel.mesh import data_mesh
    from motion_vit.training.recipe.evidence import trained_evidence
    from motion_vit.zoo.load import load

    form = _format(options)
    _check_together(options, form)
    found = find_videos(_names(options.videos), start=options.start, end=options.end)
    if len(found) > 1:
        _check_one_video(options, form, len(found))
    for written in filter(None, [options.out, options.render, options.html]):
        _check_spared(written, [*options.videos, *(video.path for video in found)])
    if options.window is not None:
        # Wrong numbers are told before a model is loaded and a file begun.
        _windows(options)
        segment_rules(options)
    enable_compilation_cache()
    mesh = data_mesh()
    trained = load(options.checkpoint, which=options.which, ema=options.ema, mesh=mesh)
    rejection = _rejection(options, trained)
    with_unknown = form == "csv" and options.window is None
    with_unknown = with_unknown and (rejection is not None or trained_evidence(trained.config) is not None)
    with open_answers(options.out, form, unknown=with_unknown) as answers:
        failed: Sequence[Prediction | VideoTimeline]
        timelines: list[VideoTimeline] = []
        if options.window is None:
            failed = _classify(options, trained, found, answers, form, mesh, rejection)
        else:
            timelines = _label(options, trained, found, answers, mesh)
            failed = [timeline for timeline in timelines if timeline.failure]
    if options.out is not None:
        print(options.out)
    # Behind the answers, which must not be lost to a video that cannot be written.
    if options.render is not None and timelines[0].windows:
        from motion_vit.visualization.timeline_video import write_timeline_video

        write_timeline_video(timelines[0], options.render, progress=True)
        if form == "text" or options.out is not None:  # nothing may follow a document
            print(options.render)
    if options.html is not None and timelines[0].windows:
        from motion_vit.visualization.timeline_page import write_timeline_page

        write_timeline_page(trained, timelines[0], options.html, progress=True)
        if form == "text" or options.out is not None:
            print(options.html)
    if failed:
        reasons = "\n".join(f"  {one.title}: {one.failure}" for one in failed)
        count = f"{len(failed)} of {counted(len(found), 'video')}"
        print(f"motion-vit: {count} not classified:\n{reasons}", file=sys.stderr)
    return FAILED_STATUS if failed else 0


def _classify(
    options: argparse.Namespace,
    trained: "TrainedModel",
    found: "Sequence[NamedVideo]",
    answers: Answers,
    form: AnswerFormat,
    mesh: "Mesh",
    rejection: "Rejection | None",
) -> "list[Prediction]":
    """Writes the classes of each video; returns the predictions without any."""
    from motion_vit.data.workers.progress_bar import progress_bar

    predictions = trained.predict_each(
        found,
        top=options.top or _DEFAULT_TOP,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
        mesh=mesh,
        rejection=rejection,
    )
    failed = []
    # On a terminal, answers that appear one by one show the progress themselves.
    shown = options.out is not None or form == "json" or not sys.stdout.isatty()
    with progress_bar(len(found), "predicting", "video", leave=False, shown=shown) as bar:
        for prediction in predictions:
            answers.add_prediction(prediction)
            if prediction.failure:
                failed.append(prediction)
            bar.update()
    return failed


def _rejection(options: argparse.Namespace, trained: "TrainedModel") -> "Rejection | None":
    """Reads which videos are called unknown."""
    from motion_vit.training.evaluation.open_set import read_rejection
    from motion_vit.training.inference.unknown_scores import check_score, known_scores
    from motion_vit.training.recipe.evidence import trained_evidence

    if options.reject is None:
        return None
    evidence = trained_evidence(trained.config)
    score = options.reject_by or known_scores(evidence)[0]
    check_score(score, evidence)
    return read_rejection(options.reject, score, trained.variables)


def _label(
    options: argparse.Namespace, trained: "TrainedModel", found: "Sequence[NamedVideo]", answers: Answers, mesh: "Mesh"
) -> "list[VideoTimeline]":
    """Writes the timeline of each video, and returns them."""
    timelines = []
    for video in found:
        timeline = trained.timeline_of(
            video,
            window=options.window,
            hop=_windows(options).hop,
            rules=segment_rules(options),
            clips=options.clips,
            crops=options.crops,
            batch_size=options.batch_size,
            mesh=mesh,
            keep=options.html is not None,
            progress=True,
        )
        answers.add_timeline(timeline)
        timelines.append(timeline)
    return timelines


def _windows(options: argparse.Namespace) -> "Windows":
    """Makes the windows that all videos have whose list says nothing else."""
    from motion_vit.data.batches.window_views import Windows

    return Windows.of(options.window, options.hop, options.start, options.end)


def _check_spared(written: pathlib.Path, read: Iterable[str]) -> None:
    """Checks that a file to write is neither a video nor a list that is read."""
    for name in read:
        if _is_file(written, name):
            raise UserError(f"{written} is read, and so not written over; name another file.")


def _is_file(path: pathlib.Path, name: str) -> bool:
    try:
        return os.path.samefile(path, name)
    except (OSError, ValueError):  # one of them does not exist, or can be no name
        return False


def _check_one_video(options: argparse.Namespace, form: AnswerFormat, videos: int) -> None:
    """Checks that several videos need not be written into one file that takes one."""
    if form in ("srt", "vtt"):
        raise UserError(f"subtitles are of one video, and {videos} are given; --csv and --json take several.")
    if options.render is not None:
        raise UserError(f"--render takes one video, and {videos} are given.")
    if options.html is not None:
        raise UserError(f"--html takes one video, and {videos} are given.")


def _check_together(options: argparse.Namespace, form: AnswerFormat) -> None:
    """Checks that options of timelines and of single predictions are not mixed."""
    if options.reject_by is not None and options.reject is None:
        raise UserError("--reject-by says which score --reject compares; give --reject, too.")
    if options.window is None:
        given = [
            name
            for name in ("hop", "enter", "leave", "min_length", "render", "html")
            if getattr(options, name) is not None
        ]
        given += [form] if form in ("srt", "vtt") else []
        if given:
            raise UserError(
                f"--{given[0].replace('_', '-')} is for timelines; give --window, too, such as --window 2s."
            )
        return
    if options.reject is not None:
        raise UserError("--reject is for whole videos, not for the windows of a timeline, which --window asks for.")
    if options.top is not None:
        raise UserError("--top is for whole videos; a timeline, which --window asks for, has one label at a time.")
    if options.render is not None and options.render.suffix not in _RENDERED:
        raise UserError(f"--render {options.render}: a video ends in {' or '.join(_RENDERED)}.")
    if options.html is not None and options.html.suffix not in _PAGES:
        raise UserError(f"--html {options.html}: a page ends in {' or '.join(_PAGES)}.")


def _format(options: argparse.Namespace) -> AnswerFormat:
    """Chooses how answers are written: as is said, else by the ending of the file."""
    ending = "" if options.out is None else options.out.suffix.lower().removeprefix(".")
    return next((form for form in FORMATS if form == (options.format or ending)), "text")


def _names(given: Sequence[str]) -> Iterator[str]:
    """Yields the names of videos, with those of standard input in the place of `-`."""
    for name in given:
        if name != _STANDARD_INPUT:
            yield name
            continue
        # File names are bytes, and need not be text.
        given_lines = b"" if sys.stdin is None else sys.stdin.buffer.read()  # None where it is closed
        lines = [line for line in given_lines.splitlines() if line.strip()]
        if not lines:
            raise UserError("- stands for names of videos on standard input, one a line, and there are none.")
        yield from map(os.fsdecode, lines)
