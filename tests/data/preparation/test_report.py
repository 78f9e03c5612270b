import pathlib

from motion_vit.data.preparation.report import PreparationReport
from motion_vit.data.sources.manifest import Manifest, SplitManifest


def report(**clips_of_class: int) -> PreparationReport:
    split = SplitManifest(sum(clips_of_class.values()), True, 10, 1.0, "f" * 64, clips_of_class, (), ())
    splits = {"train": split, "validation": split}
    manifest = Manifest("list", "copy", "video", True, tuple(clips_of_class), (), splits)
    return PreparationReport(pathlib.Path("out"), manifest, (), 0, 1.0)


def test_very_unequal_classes_are_warned_of_once_with_their_counts() -> None:
    summary = report(clap=300, wave=4).summary()
    assert summary.count("warning: classes are very unequal, from 4 clips of 'wave' to 300 of 'clap'") == 1
    assert "warning" not in report(clap=30, wave=4).summary()
