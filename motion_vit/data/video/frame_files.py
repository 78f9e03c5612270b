"""The order of the picture files of a frame folder, and what their names say is missing or doubtful.

One rule for every reader: files are in the order of the last number in their names, so that `frame2.jpg` comes before
`frame10.jpg`. Where the last number repeats, as in `part1_001.jpg` and `part2_001.jpg`, the numbers before it count
first. Where no file has a number, the order is that of the names.
"""

import dataclasses
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

FRAME_ENDINGS = (".jpg", ".jpeg", ".png")
"""Endings of files that are frames, in small or capital letters."""

FRAME_PATTERNS = ", ".join(f"*{ending}" for ending in FRAME_ENDINGS)
"""`FRAME_ENDINGS`, for messages."""

# Pictures that no reader of frames takes.
_OTHER_PICTURES = (".avif", ".bmp", ".gif", ".heic", ".jp2", ".ppm", ".tga", ".tif", ".tiff", ".webp")
_NUMBER = re.compile(r"[0-9]+")
_SHOWN = 3


class FrameOrderError(Exception):
    """Error of files whose order cannot be told; its message says which, and what to do."""


@dataclasses.dataclass(frozen=True)
class FrameFiles:
    """The frames of a folder.

    Attributes:
      names: file names in display order.
      doubts: gaps in the numbering, names of several patterns, and files that were left out, as clauses.
    """

    names: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def is_frame(name: str) -> bool:
    """Tells if a file is a frame, by its name. Hidden files, such as macOS's `._00001.jpg`, are not."""
    return not name.startswith(".") and name.lower().endswith(FRAME_ENDINGS)


def order_frames(names: Iterable[str]) -> FrameFiles:
    """Puts the frames of a folder in display order.

    Args:
      names: names of the files in the folder.

    Returns:
      The frames; none if the folder has none.

    Raises:
      FrameOrderError: two frames have the same number.
    """
    listed = list(names)
    frames = sorted(filter(is_frame, listed))
    others = sorted(name for name in listed if name.lower().endswith(_OTHER_PICTURES) and not name.startswith("."))
    doubts = [f"left out, for frames are {FRAME_PATTERNS}: {_some(others)}"] if others else []
    numbers = {name: tuple(map(int, _NUMBER.findall(_stem(name)))) for name in frames}
    numbered = [name for name in frames if numbers[name]]
    if not numbered:
        return FrameFiles(tuple(frames), tuple(doubts))
    if len(numbered) < len(frames):
        doubts.append(f"left out, for want of a number: {_some([name for name in frames if not numbers[name]])}")
    patterns = Counter(map(_pattern, numbered))
    if len({numbers[name][-1] for name in numbered}) == len(numbered):
        runs = [sorted(numbered, key=lambda name: numbers[name][-1])]
    else:
        _check_all_differ(numbered, numbers, patterns)
        by_number = defaultdict(list)
        for name in sorted(numbered, key=lambda name: numbers[name]):
            by_number[numbers[name][:-1]].append(name)
        runs = list(by_number.values())
        doubts.append(
            f"the last numbers repeat, so that those before them count first: {_some(runs[0][-1:] + runs[1])}"
        )
    if len(patterns) > 1:
        kinds = [f"{pattern} ({count})" for pattern, count in patterns.most_common()]
        doubts.append(f"file names of {len(patterns)} patterns, in the order of their last numbers: {_some(kinds)}")
    doubts += [gaps for run in runs if (gaps := _gaps(run, [numbers[name][-1] for name in run]))]
    return FrameFiles(tuple(itertools.chain.from_iterable(runs)), tuple(doubts))


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _pattern(name: str) -> str:
    """Returns a file name with `#` in the place of each number."""
    stem, _, ending = name.rpartition(".")
    return f"{_NUMBER.sub('#', stem)}.{ending.lower()}"


def _check_all_differ(names: Sequence[str], numbers: dict[str, tuple[int, ...]], patterns: Counter[str]) -> None:
    """Checks that files with equal last numbers can be ordered by the numbers before them."""
    first_with: dict[tuple[int, ...], str] = {}
    for name in names:
        # Numbers before the last are comparable only in names that are otherwise the same.
        key = numbers[name] if len(patterns) == 1 else numbers[name][-1:]
        if key in first_with:
            raise FrameOrderError(
                f"{first_with[key]} and {name} have the same number, so that the order of the frames is not known; "
                "leave one file for each frame in the folder"
            )
        first_with[key] = name


def _gaps(names: Sequence[str], numbers: Sequence[int]) -> str:
    """Describes where numbers are missing; "" where all have the same distance, or follow no regular one."""
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    if not steps or max(steps) < 2 * min(steps):
        return ""
    gaps = [
        f"{before} is followed by {after}"
        for (before, after), step in zip(itertools.pairwise(names), steps, strict=True)
        if step >= 2 * min(steps)
    ]
    return f"frames are missing: {_some(gaps)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
