"""Kinetics-400, 600 and 700: clips of ten seconds from YouTube, each showing one human action.

Kay et al., "The Kinetics Human Action Video Dataset", 2017; Carreira et al., "A Short Note about Kinetics-600", 2018,
and "A Short Note on the Kinetics-700 Human Action Dataset", 2019; Smaira et al. on Kinetics-700-2020, 2020.
"""

import os
import pathlib
import re
from collections.abc import Sequence

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    Row,
    absolute_path,
    check_clips,
    check_folder,
    find_file,
    first_existing,
    parse_index,
    parse_number,
    read_lines,
    read_names,
    read_table,
    split_line,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import find_folder, holds_any, videos_by_stem
from motion_vit.files.regular_file import open_regular_file

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_OBTAIN = "docs/datasets/kinetics.md says where to get it"
_LABEL_FOLDERS = ("", "annotations")
_SPLIT_WORDS = {"train": ("train",), "validation": ("val", "validation", "validate")}
_REPLACEMENTS = "replacement/replacement_for_corrupted_k400"
_YOUTUBE_ID_LENGTH = 11

# The lists of a release shrink as videos vanish from YouTube. The first of each is that of the archives of the Common
# Visual Data Foundation (CVDF), the others are DeepMind's; as counted in the documentation of FiftyOne's dataset zoo.
_OFFICIAL = {
    400: (
        OfficialCounts(400, {"train": 246_534, "validation": 19_906}),
        OfficialCounts(400, {"train": 219_782, "validation": 18_035}),
    ),
    600: (
        OfficialCounts(600, {"train": 427_549, "validation": 29_793}),
        OfficialCounts(600, {"train": 370_582, "validation": 28_313}),
    ),
    700: (
        OfficialCounts(700, {"train": 534_073, "validation": 33_914}),
        OfficialCounts(700, {"train": 542_352, "validation": 34_125}),
        OfficialCounts(700, {"train": 529_046, "validation": 33_925}),
    ),
}


def _list_files(split: str) -> tuple[str, ...]:
    """Lists the file names of a split's lists: DeepMind's and CVDF's, then those of mmaction2."""
    stems = [stem for word in _SPLIT_WORDS[split] for stem in (word, f"kinetics_{word}")]
    stems += [f"kinetics{classes}_{_SPLIT_WORDS[split][0]}_list_videos" for classes in _OFFICIAL]
    return tuple(
        f"{folder}/{stem}{ending}".lstrip("/")
        for folder in _LABEL_FOLDERS
        for stem in stems
        for ending in (".csv", ".txt")
    )


def _is_official(path: pathlib.Path) -> bool:
    """Tells DeepMind's table from a list `path,number` or another dataset's; never raises."""
    try:
        with open_regular_file(path) as file:
            return b"youtube_id" in file.readline(1000)
    except OSError:
        return False


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of one of the Kinetics datasets.

    Args:
      source: the folder.

    Returns:
      Whether one of its lists has the column `youtube_id`, as those of no other dataset do.
    """
    lists = [first_existing(source, _list_files(split)) for split in _SPLIT_WORDS]
    return any(path is not None and _is_official(path) for path in lists)


def _check_classes(names: Sequence[str], classes: int, source: pathlib.Path) -> None:
    if len(names) != classes and len(names) in _OFFICIAL:
        raise AnnotationError(
            f"{source} has {len(names)} classes, so it looks like Kinetics-{len(names)}: run "
            f"`motion-vit prepare kinetics{len(names)} ...`, or give the folder of Kinetics-{classes}"
        )


def _split_folder(source: pathlib.Path, split: str) -> pathlib.Path:
    names = [name for word in _SPLIT_WORDS[split] for name in (word, f"videos_{word}", f"videos/{word}")]
    return find_folder(source, names, f"it holds the videos of the split {split}, together or in a folder per class")


def _locate(row: Row, videos: dict[str, str], replacements: dict[str, str], folder: pathlib.Path) -> SourceClip:
    """Finds the video of a row: the trimmed file, else the full-length one, else where the trimmed file should be."""
    youtube_id, label = row.cells["youtube_id"], row.cells["label"]
    start, end = parse_number(row, "time_start"), parse_number(row, "time_end")
    if start >= end:
        raise AnnotationError(f"{row.where}: expected time_start before time_end, found {start:g} and {end:g}")
    # DeepMind's and CVDF's crawlers name a trimmed video by its id and the whole seconds.
    stem = f"{youtube_id}_{int(start):06d}_{int(end):06d}"
    # One clip can show, and be listed under, two actions; the class makes the two different clips.
    clip_id = f"{label}/{stem}"
    trimmed = replacements.get(youtube_id[:_YOUTUBE_ID_LENGTH]) or videos.get(stem)
    if trimmed is None and youtube_id in videos:
        return SourceClip(clip_id, videos[youtube_id], label, start, end)
    return SourceClip(clip_id, trimmed or absolute_path(folder, f"{label}/{stem}.mp4"), label)


def _read_official(
    source: pathlib.Path, lists: dict[str, pathlib.Path], classes: int
) -> tuple[tuple[str, ...], dict[str, tuple[SourceClip, ...]], tuple[str, ...]]:
    """Reads DeepMind's tables; returns the classes, the clips of each split, and what was left out of them."""
    rows = {split: read_table(path, _COLUMNS) for split, path in lists.items()}
    names = tuple(sorted({row.cells["label"] for split_rows in rows.values() for row in split_rows}))
    _check_classes(names, classes, source)
    splits, left_out = {}, []
    for split, split_rows in rows.items():
        folder = _split_folder(source, split)
        videos = videos_by_stem(folder)
        replacements = {}
        if split == "train" and (source / _REPLACEMENTS).is_dir():
            replaced = videos_by_stem(source / _REPLACEMENTS)
            replacements = {stem[:_YOUTUBE_ID_LENGTH]: path for stem, path in replaced.items()}
        clips: dict[str, SourceClip] = {}
        for row in split_rows:
            for column in _COLUMNS:
                if not row.cells[column]:
                    raise AnnotationError(f"{row.where}: the {column} is empty")
            clip = _locate(row, videos, replacements, folder)
            clips.setdefault(clip.id, clip)
        if len(clips) < len(split_rows):
            left_out.append(f"{split}: {len(split_rows) - len(clips):,} rows repeat an earlier row and are left out")
        splits[split] = tuple(clips.values())
    return names, splits, tuple(left_out)


def _read_categories(source: pathlib.Path) -> tuple[str, ...]:
    """Reads the names of numbered classes: one a line, or name and number with a tab between them as UniFormer's."""
    path = find_file(
        source,
        [
            f"{folder}/{name}".lstrip("/")
            for folder in _LABEL_FOLDERS
            # The second name is spelled as UniFormer's repository spells it.
            for name in ("labels.txt", "kinetics_400_categroies.txt", "label_map.txt", "category.txt")
        ],
        "the lists number the classes, and it names them, one a line in the order of the numbers",
    )
    lines = read_lines(path)
    if not all("\t" in line.text for line in lines):
        return read_names(path)
    named: dict[str, str] = {}
    for line in lines:
        row = split_line(line, ("name", "number"), "\t")
        named[row.cells["number"]] = row.cells["name"]
    missing = [str(number) for number in range(len(lines)) if str(number) not in named]
    if missing or len(set(named.values())) < len(lines):
        raise AnnotationError(f"{path}: expected each name once, with the numbers 0 to {len(lines) - 1} after a tab")
    return tuple(named[str(number)] for number in range(len(lines)))


def _read_author_lists(
    source: pathlib.Path, lists: dict[str, pathlib.Path], classes: int
) -> tuple[tuple[str, ...], dict[str, tuple[SourceClip, ...]]]:
    """Reads lists `path,number` (UniFormer, PySlowFast) or `path number` (mmaction2)."""
    names = _read_categories(source)
    _check_classes(names, classes, source)
    splits = {}
    for split, path in lists.items():
        lines = read_lines(path)
        delimiter = "," if re.search(r",\s*\d+$", lines[0].text) else " "
        rows = [split_line(line, ("path", "label"), delimiter) for line in lines]
        paths = [row.cells["path"] for row in rows]
        folder = source if holds_any(source, paths) else _split_folder(source, split)
        clips = []
        for row in rows:
            clip_id = os.path.splitext(row.cells["path"])[0]
            video = absolute_path(folder, row.cells["path"])
            clips.append((row.where, SourceClip(clip_id, video, parse_index(row, "label", names))))
        splits[split] = check_clips(clips, names)
    return names, splits


def read(source: pathlib.Path, classes: int = 400) -> SourceDataset:
    """Reads a download of Kinetics.

    The lists are DeepMind's tables `label,youtube_id,time_start,time_end,split`, or lists `path,number` or
    `path number` with the names of the classes in a file beside them. Videos are looked for by name in the folder of
    the split (`train`, `val`, `videos_train` and so on) and in the folders in it, whatever these are called. A file
    `<youtube_id>_<start>_<end>.mp4` is trimmed and used whole, and so is every file of a list `path,number`; a file
    `<youtube_id>.mp4` under DeepMind's tables is the full-length video and is cut. CVDF's replacements for the
    corrupted files of Kinetics-400 are used where they are.

    Args:
      source: the folder with the lists (or with them in `annotations`) and the folders of the splits.
      classes: 400, 600 or 700.

    Returns:
      The classes sorted by name, which is the convention of the field (there is no official order), or in the order of
      their numbers; and the splits `train` and `validation`. A video that is not there, as is usual for videos from
      YouTube, stays in its split, with the path at which it should be. The test split is left out.

    Raises:
      AnnotationError: a list or a folder is missing, a list is malformed, or it is that of another Kinetics dataset.
    """
    source = check_folder(source, f"Kinetics-{classes}")
    lists = {
        split: find_file(source, _list_files(split), f"it lists the {split} clips; {_OBTAIN}") for split in _SPLIT_WORDS
    }
    official = {split: _is_official(path) for split, path in lists.items()}
    if len(set(official.values())) > 1:
        raise AnnotationError(
            f"{lists['train']} and {lists['validation']} are of two kinds: expected in both the header "
            f"{','.join(_COLUMNS)},split, or in both lines `path,number`"
        )
    left_out: tuple[str, ...] = ()
    if official["train"]:
        names, splits, left_out = _read_official(source, lists, classes)
    else:
        names, splits = _read_author_lists(source, lists, classes)
    mismatches = min((release.mismatches(names, splits) for release in _OFFICIAL[classes]), key=len)
    return SourceDataset(f"kinetics{classes}", names, splits, left_out + mismatches)
