"""Epic-Kitchens-100: verbs and their times, in a miniature of the published tables."""

import pathlib

import pytest

from motion_vit.data.datasets import epic_kitchens100
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.errors import UserError

_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
_FILES = {
    "EPIC_100_verb_classes.csv": "id,key,instances,category\n0,take,\"['get', 'grab']\",fetch\n1,put,['lay'],leave\n",
    "EPIC_100_train.csv": (
        f"{_HEADER}"
        "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,take plate,take,0,plate,2,['plate'],[2]\n"
        'P28_101_7,P28,P28_101,01:02:03.000,01:02:03.10,01:02:04.05,9,99,"put, down",put-down,1,pan,3,'
        "\"['pan', 'lid']\",\"[3, 4]\"\n"
    ),
    "EPIC_100_validation.csv": (
        f"{_HEADER}P01_11_0,P01,P01_11,00:00:00.560,00:00:00.00,00:00:01.89,1,113,get,get,0,plate,2,['plate'],[2]\n"
    ),
}


def _download(source: pathlib.Path, labels: str = ".", videos: tuple[str, ...] = ()) -> pathlib.Path:
    (source / labels).mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (source / labels / name).write_text(text)
    for name in videos:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    return source


_OFFICIAL_LAYOUT = ("EPIC-KITCHENS/P01/videos/P01_01.MP4", "EPIC-KITCHENS/P28/videos/P28_101.MP4")
_INNER_LAYOUT = ("P01/videos/P01_01.MP4", "P28/videos/P28_101.MP4")
_FLAT_LAYOUT = ("videos/P01_01.mp4", "videos/P28_101.mp4")


@pytest.mark.parametrize(
    ("labels", "videos"),
    [(".", _OFFICIAL_LAYOUT), ("epic-kitchens-100-annotations", _INNER_LAYOUT), ("annotations", _FLAT_LAYOUT)],
)
def test_actions_are_cut_at_their_timestamps_in_the_layouts_of_real_downloads(tmp_path, labels, videos):
    dataset = epic_kitchens100.read(_download(tmp_path, labels, videos))
    assert dataset.label_names == ("take", "put")
    first, second = (str(tmp_path / name) for name in videos)
    assert dataset.splits["train"] == (
        SourceClip("P01_01_0", first, "take", 0.14, 3.37),
        SourceClip("P28_101_7", second, "put", 3723.1, 3724.05),
    )
    assert [(clip.id, clip.start, clip.end) for clip in dataset.splits["validation"]] == [("P01_11_0", 0.0, 1.89)]
    assert dataset.mismatches == (
        "classes: 2, the official list has 97",
        "train: 2 clips, the official list has 67,217",
        "validation: 1 clip, the official list has 9,668",
    )


def test_a_missing_video_has_the_path_of_the_official_layout(tmp_path):
    dataset = epic_kitchens100.read(_download(tmp_path, videos=_OFFICIAL_LAYOUT))
    assert dataset.splits["validation"][0].path == str(tmp_path / "EPIC-KITCHENS/P01/videos/P01_11.MP4")


def test_an_action_without_duration_is_left_out_and_counted(tmp_path):
    path = _download(tmp_path) / "EPIC_100_train.csv"
    path.write_text(path.read_text().replace("00:00:03.37", "00:00:00.14"))
    dataset = epic_kitchens100.read(tmp_path)
    assert [clip.id for clip in dataset.splits["train"]] == ["P28_101_7"]
    assert dataset.mismatches[0] == "train: left out 1 actions that end before they start"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("EPIC_100_train.csv", "00:00:03.37", "3.37", r"train\.csv, line 2: expected stop_timestamp .* HH:MM:SS\.ss"),
        ("EPIC_100_train.csv", "00:00:03.37", "00:00:75.00", r"stop_timestamp to be a time"),
        ("EPIC_100_train.csv", "take,0,", "take,97,", r"line 2: expected verb_class to be a class number from 0 to 1"),
        ("EPIC_100_train.csv", ",P01_01,", ",../x,", r"line 2: expected a participant such as P01 .* found"),
        ("EPIC_100_train.csv", "verb_class", "verbs", r"line 1: expected a header with the columns"),
        ("EPIC_100_train.csv", "P28_101_7", "P01_01_0", r"line 3: the clip 'P01_01_0' was named before"),
        ("EPIC_100_verb_classes.csv", "1,put", "2,put", r"line 3: expected the id 1 and the key of a new class"),
        ("EPIC_100_verb_classes.csv", "1,put", "1,take", r"line 3: expected the id 1 and the key of a new class"),
    ],
)
def test_malformed_tables_are_refused_with_their_line(tmp_path, name, old, new, message):
    path = _download(tmp_path) / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        epic_kitchens100.read(tmp_path)


def test_a_missing_table_is_named_with_where_to_get_it(tmp_path):
    (_download(tmp_path) / "EPIC_100_validation.csv").unlink()
    with pytest.raises(UserError, match=r"EPIC_100_validation\.csv.*docs/datasets/epic_kitchens100\.md"):
        epic_kitchens100.read(tmp_path)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert epic_kitchens100.looks_like(_download(tmp_path / "one", "annotations"))
    (tmp_path / "other/videos").mkdir(parents=True)
    assert not epic_kitchens100.looks_like(tmp_path / "other")
