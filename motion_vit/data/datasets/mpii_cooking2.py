"""MPII Cooking 2: fine-grained activities in a kitchen, cut out of 273 long videos of one static camera.

Rohrbach et al., "Recognizing Fine-Grained and Composite Activities Using Hand-Centric Features and Script Data", IJCV
2016. What the files hold is taken from their README (annos.mat-README.txt) and from programs that read them: the class
names and the lists of the splits from the code of Chen et al., "Motion meets Attention: Video Motion Prompts", ACML
2024.
"""

import dataclasses
import importlib
import pathlib
import re
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    absolute_path,
    check_clips,
    check_folder,
    find_file,
    first_existing,
    read_lines,
    shown,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import videos_by_stem

_ANNOTATIONS = "attributesAnnotations_MPII-Cooking-2.mat"
_ANNOTATION_FOLDERS = ("", "annos", "annotations")
_SPLIT_FOLDERS = ("experimentalSetup", "experimentalSetup/experimentalSetup", "annotations/experimentalSetup", "")
# "Attr" are all the sequences to learn activities from; the other training list is for learning whole dishes.
_SPLIT_FILES = {"train": "sequencesTrainAttr.txt", "validation": "sequencesVal.txt", "test": "sequencesTest.txt"}
_OBTAIN = "docs/datasets/mpii_cooking2.md says where to get it"
_CAMERA = "-cam-002"
_OFFICIAL = OfficialCounts(67, {})
_OFFICIAL_INTERVALS = 14_105
_SHOWN_SEQUENCES = 5


@dataclasses.dataclass(frozen=True)
class _Interval:
    """An annotated interval: the video's name, the activity, and its first and last frame, both counted from 1."""

    video: str
    activity: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class _Annotations:
    """The annotation file: its intervals in order, the names of all attributes, and the frames per second."""

    intervals: tuple[_Interval, ...]
    attributes: tuple[str, ...]
    fps: float


def _paths(folders: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}".lstrip("/") for folder in folders)


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of MPII Cooking 2, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    own_names = (*_paths(_ANNOTATION_FOLDERS, _ANNOTATIONS), *_paths(_SPLIT_FOLDERS, _SPLIT_FILES["train"]))
    return first_existing(source, own_names) is not None


def _import_h5py(path: pathlib.Path) -> ModuleType:
    try:
        return importlib.import_module("h5py")
    except ImportError:
        raise AnnotationError(
            f"{path} is a MATLAB 7.3 file, which the package h5py reads, and h5py is not installed: "
            'pip install "motion_vit[mpii]"'
        ) from None


def _read_annotations(path: pathlib.Path) -> _Annotations:
    """Reads the MATLAB 7.3 file, which is HDF5: cells are arrays of references to arrays of UTF-16 characters."""
    h5py = _import_h5py(path)
    try:
        with h5py.File(path, "r") as file:

            def texts(name: str) -> list[str]:
                cells = [file[reference] for reference in file[f"annos/{name}"][()].ravel()]
                # An empty text is stored as its size.
                empty = [bool(cell.attrs.get("MATLAB_empty", 0)) for cell in cells]
                return [
                    "" if none else cell[()].ravel().astype("<u2").tobytes().decode("utf-16-le")
                    for cell, none in zip(cells, empty, strict=True)
                ]

            def numbers(name: str) -> list[float]:
                return [float(number) for number in file[f"annos/{name}"][()].ravel()]

            columns: list[Sequence[Any]] = [texts("fileName"), texts("activity"), numbers("startFrame")]
            rows = zip(*columns, numbers("endFrame"), strict=True)
            intervals = tuple(
                _Interval(video, activity, int(first), int(last)) for video, activity, first, last in rows
            )
            return _Annotations(intervals, tuple(texts("attributeMap")), numbers("frameRate")[0])
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise AnnotationError(
            f"{path} is not the MATLAB file that was published ({error}); download it again"
        ) from None


def _check_intervals(path: pathlib.Path, annotations: _Annotations) -> None:
    for number, interval in enumerate(annotations.intervals, 1):
        named = re.fullmatch(r"s[0-9]+-d[0-9]+-cam-[0-9]+", interval.video, re.ASCII)
        if named is None or not 1 <= interval.first <= interval.last:
            raise AnnotationError(
                f"{path}, interval {number}: expected a video such as s07-d72-cam-002 and its first and last frame, "
                f"found {shown(interval.video)}, {interval.first} and {interval.last}"
            )
    if not 1 <= annotations.fps <= 1000:
        raise AnnotationError(f"{path}: expected frameRate to be 29.4, found {annotations.fps}")


def _read_sequences(path: pathlib.Path, read_before: dict[str, pathlib.Path]) -> list[str]:
    """Reads lines `s07-d72`, the subject and the dish; adds them to `read_before`."""
    sequences = []
    for line in read_lines(path):
        sequence = line.text.split()[0]
        if re.fullmatch(r"s[0-9]+-d[0-9]+", sequence, re.ASCII) is None:
            raise AnnotationError(f"{line.where}: expected a sequence such as s07-d72, found {shown(line.text)}")
        if sequence in read_before:
            raise AnnotationError(
                f"{line.where}: the sequence {shown(sequence)} was named before, in {read_before[sequence]}"
            )
        read_before[sequence] = path
        sequences.append(sequence)
    return sequences


def _clips_by_video(
    annotations: _Annotations, names: Sequence[str], videos: dict[str, str], folder: pathlib.Path
) -> dict[str, list[SourceClip]]:
    """Collects the intervals of each video that show one of the classes."""
    clips: dict[str, list[SourceClip]] = {}
    position: Counter[str] = Counter()
    for interval in annotations.intervals:
        # The number counts all intervals of the video, as `idxInFile` of the file does.
        position[interval.video] += 1
        if interval.activity not in names:
            continue
        path = videos.get(interval.video, absolute_path(folder, f"{interval.video}.avi"))
        # Half a frame before the first and after the last, so that no rounding of times can take another frame.
        start = max(0.0, (interval.first - 1.5) / annotations.fps)
        end = (interval.last - 0.5) / annotations.fps
        clip_id = f"{interval.video}_{position[interval.video]:04d}"
        clip = SourceClip(clip_id, path, interval.activity, round(start, 4), round(end, 4))
        clips.setdefault(interval.video, []).append(clip)
    return clips


def read(source: pathlib.Path) -> SourceDataset:
    """Reads a download of MPII Cooking 2. Its annotation file is read with the package h5py.

    The classes are, as the README of the annotations says, the activities that are also in the map of attributes: 67
    of 87; intervals with another activity are left out. Frames are numbered from 1 at 29.4 a second, and an interval
    includes its last frame.

    Args:
      source: the folder with the long videos, `videos/s07-d72-cam-002.avi`, the file
        `attributesAnnotations_MPII-Cooking-2.mat`, and the lists of the splits in `experimentalSetup`.

    Returns:
      67 classes sorted by name, named as in the file ("addV", "cut diceV"), and the splits `train`
      (sequencesTrainAttr.txt), `validation` and `test`, which divide the videos. The authors publish no number of
      intervals for each, so only the number of all intervals, 14,105, and of classes is compared.

    Raises:
      AnnotationError: a file is missing or malformed, h5py is not installed, or a sequence is in two splits.
    """
    source = check_folder(source, "MPII Cooking 2")
    path = find_file(source, _paths(_ANNOTATION_FOLDERS, _ANNOTATIONS), f"it holds the annotations; {_OBTAIN}")
    read_before: dict[str, pathlib.Path] = {}
    sequences_of = {
        split: _read_sequences(
            find_file(source, _paths(_SPLIT_FOLDERS, name), f"it lists the videos of the {split} split; {_OBTAIN}"),
            read_before,
        )
        for split, name in _SPLIT_FILES.items()
    }
    annotations = _read_annotations(path)
    _check_intervals(path, annotations)
    names = tuple(sorted({interval.activity for interval in annotations.intervals} & set(annotations.attributes)))
    folder = source / "videos" if (source / "videos").is_dir() else source
    clips_of = _clips_by_video(annotations, names, videos_by_stem(folder), folder)
    splits = {}
    unannotated = []
    for split, sequences in sequences_of.items():
        clips = [clip for sequence in sequences for clip in clips_of.get(sequence + _CAMERA, [])]
        unannotated += [sequence for sequence in sequences if sequence + _CAMERA not in clips_of]
        splits[split] = check_clips([(str(path), clip) for clip in clips], names)
    found = []
    if len(annotations.intervals) != _OFFICIAL_INTERVALS:
        found.append(
            f"{len(annotations.intervals):,} annotated intervals, the official file has {_OFFICIAL_INTERVALS:,}"
        )
    if unannotated:
        more = ", ..." if len(unannotated) > _SHOWN_SEQUENCES else ""
        found.append(
            f"{len(unannotated)} sequences of the splits have no interval: "
            f"{', '.join(unannotated[:_SHOWN_SEQUENCES])}{more}"
        )
    return SourceDataset("mpii_cooking2", names, splits, (*found, *_OFFICIAL.mismatches(names, splits)))
