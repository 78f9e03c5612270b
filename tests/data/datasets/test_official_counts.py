from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip

_CLIP = SourceClip("1", "/1.mp4", "run")


def test_a_download_with_the_official_counts_has_no_mismatch():
    official = OfficialCounts(classes=2, clips={"train": 1, "validation": 2})
    assert official.mismatches(["run", "jump"], {"train": [_CLIP], "validation": [_CLIP, _CLIP], "test": []}) == ()


def test_every_difference_is_said_with_both_numbers():
    official = OfficialCounts(classes=174, clips={"train": 168_913, "validation": 1, "test": 10_960})
    assert official.mismatches(["run"], {"train": [_CLIP] * 3, "validation": [_CLIP]}) == (
        "classes: 1, the official list has 174",
        "train: 3 clips, the official list has 168,913",
        "test: no such split, the official list has 10,960 clips",
    )
