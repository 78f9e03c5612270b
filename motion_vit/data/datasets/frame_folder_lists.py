"""The layout that Something-Something V1 and Jester share: a folder of JPEG files a clip, and lists `id;label`."""

import dataclasses
import pathlib

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
    split_line,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import find_folder

# Where people keep the label files: beside the frames, where the download unpacks them, where mmaction2 and TSM look.
LABEL_FOLDERS = ("", "labels", "annotations", "label")
_CATEGORIES = "category.txt"


@dataclasses.dataclass(frozen=True)
class FrameFolderLayout:
    """The names by which datasets of this layout differ.

    Attributes:
      name: the dataset's name in `motion-vit prepare NAME`.
      title: its name in messages.
      label_stem: the official label files are called `<label_stem>-labels.csv` and so on.
      frame_folder: the folder that the official archives unpack into.
      author_lists: split -> names of the lists `path frames number` that authors of methods publish.
      obtain: a clause that says where to get it.
      official: the authors' counts of classes and clips.
    """

    name: str
    title: str
    label_stem: str
    frame_folder: str
    author_lists: dict[str, tuple[str, ...]]
    obtain: str
    official: OfficialCounts


def label_file_names(stem: str, part: str, ending: str) -> tuple[str, ...]:
    """Lists the paths of a 20BN label file.

    Args:
      stem: the beginning of the name in the older downloads, such as `jester-v1`.
      part: `labels`, `train` or `validation`, which is the whole name in the newer downloads.
      ending: `.csv` or `.json`.

    Returns:
      Paths below the folder of the download.
    """
    long_names = tuple(f"{folder}/{stem}-{part}{ending}".lstrip("/") for folder in LABEL_FOLDERS)
    return (*long_names, *(f"{folder}/{part}{ending}".lstrip("/") for folder in LABEL_FOLDERS))


def template_name(template: str) -> str:
    """Returns the class that a template of the Something-Something datasets stands for.

    Args:
      template: the template, with or without brackets round its placeholders.

    Returns:
      The template without brackets, as the official lists of classes write it.
    """
    return template.replace("[", "").replace("]", "")


def looks_like(source: pathlib.Path, layout: FrameFolderLayout) -> bool:
    """Tells if a folder holds a download of the dataset, by the names of its files.

    Args:
      source: the folder.
      layout: the dataset.

    Returns:
      True if it has a file name that only this dataset has.
    """
    own_names = [layout.frame_folder]
    own_names += [f"{folder}/{layout.label_stem}-train.csv".lstrip("/") for folder in LABEL_FOLDERS]
    return first_existing(source, own_names) is not None


def _read_official(
    source: pathlib.Path, layout: FrameFolderLayout
) -> tuple[tuple[str, ...], dict[str, list[Row]]] | None:
    """Reads the csv files; returns the classes and the rows `id;label` of each split, or None where none is there."""
    files = {part: label_file_names(layout.label_stem, part, ".csv") for part in ("labels", "train", "validation")}
    if all(first_existing(source, names) is None for names in files.values()):
        return None
    names = read_names(find_file(source, files["labels"], f"it lists the classes; {layout.obtain}"))
    rows = {}
    for split in ("train", "validation"):
        path = find_file(source, files[split], f"it lists the clips `id;label`; {layout.obtain}")
        # The label files of 20BN quote nothing, and some labels hold commas: this is no CSV that the module csv reads.
        rows[split] = [split_line(line, ("id", "label"), ";") for line in read_lines(path)]
    return tuple(map(template_name, names)), rows


def _read_author_lists(
    source: pathlib.Path, layout: FrameFolderLayout
) -> tuple[tuple[str, ...], dict[str, list[Row]]] | None:
    """As `_read_official`, from the lists `path frames number` and the classes in category.txt."""
    paths: dict[str, pathlib.Path] = {}
    for split, list_names in layout.author_lists.items():
        path = first_existing(
            source, [f"{folder}/{name}".lstrip("/") for folder in LABEL_FOLDERS for name in list_names]
        )
        if path is not None:
            paths[split] = path
    if not paths:
        return None
    for split, list_names in layout.author_lists.items():
        if split not in paths:
            raise AnnotationError(
                f"{source} has no file {' or '.join(list_names)}: it lists the {split} clips as `path frames number`, "
                "as the list of the other split that is there does"
            )
    names_file = find_file(
        source,
        [f"{folder}/{_CATEGORIES}".lstrip("/") for folder in LABEL_FOLDERS],
        "it names the classes that the lists number, one a line; it is published beside the lists",
    )
    names = tuple(map(template_name, read_names(names_file)))
    rows: dict[str, list[Row]] = {}
    for split, path in paths.items():
        rows[split] = []
        for line in read_lines(path):
            row = split_line(line, ("path", "frames", "label"), " ")
            parse_number(row, "frames")
            clip = row.cells["path"].rstrip("/").rpartition("/")[2]
            rows[split].append(Row(row.where, {"id": clip, "label": parse_index(row, "label", names)}))
    return names, rows


def read(source: pathlib.Path, layout: FrameFolderLayout) -> SourceDataset:
    """Reads a download.

    The official csv files are used where they are, else the lists `path frames number` of TSM and UniFormer with their
    category.txt; of these only the last part of the path is used, since the rest is their authors' disk.

    Args:
      source: the folder that the dataset was downloaded to.
      layout: the dataset.

    Returns:
      The splits `train` and `validation`. The test split is published without labels and is left out.

    Raises:
      AnnotationError: a file or the frames are missing, or a file is malformed.
    """
    source = check_folder(source, layout.title)
    lists = _read_official(source, layout) or _read_author_lists(source, layout)
    if lists is None:
        raise AnnotationError(
            f"{source} has no label files: expected {layout.label_stem}-labels.csv, {layout.label_stem}-train.csv and "
            f"{layout.label_stem}-validation.csv in it or in its folder labels; {layout.obtain}"
        )
    names, rows = lists
    frames = find_folder(
        source,
        (layout.frame_folder, "rawframes", "frames", "img"),
        "it holds a folder of JPEG files for each clip; unpack the archives with "
        f"`cat {layout.frame_folder}-?? | tar zx`",
    )
    splits = {}
    for split, split_rows in rows.items():
        clips = [
            (
                row.where,
                SourceClip(row.cells["id"], absolute_path(frames, row.cells["id"]), template_name(row.cells["label"])),
            )
            for row in split_rows
        ]
        splits[split] = check_clips(clips, names)
    return SourceDataset(layout.name, names, splits, layout.official.mismatches(names, splits))
