"""Labels that differ only in their Unicode form, blanks or case are warned about, wherever data is read."""

import ast
import logging
import pathlib
import random
import unicodedata

import pytest

from motion_vit.data.datasets.own_videos import read
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.label_likeness import describe_lookalikes, lookalike
from motion_vit.data.sources.list_file import ListFileError
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.sources.video_list import read_video_list

LABELS = ["café au lait", "öffnen", "pick up", "Straße", "한국어", "ぷ", "Å", "turn"]
CHANGES = {
    "composed": lambda label, _: unicodedata.normalize("NFC", label),
    "decomposed": lambda label, _: unicodedata.normalize("NFD", label),
    "compatible": lambda label, _: unicodedata.normalize("NFKD", label),
    "upper": lambda label, _: label.upper(),
    "title": lambda label, _: label.title(),
    "wide": lambda label, _: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in label),
    **{
        f"blank {ord(blank):04X}": lambda label, at, blank=blank: label[:at] + blank + label[at:]
        for blank in " \t\xa0\u2009\u3000\u200b\ufeff\xad"
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_spellings_of_a_label_are_named_so_that_one_sees_how_they_differ(change) -> None:
    draw = random.Random(0)
    for label in LABELS:
        other = change(label, draw.randrange(1, len(label) + 1))
        if other == label:
            continue
        said = describe_lookalikes(["another", label, other, "yet another"])
        shown = said.partition("classes: ")[2].partition(". ")[0]
        assert ast.literal_eval(shown.partition(" and ")[0]) == label
        assert len({*shown.split(" and ")}) == 2
        assert shown.isprintable()
        assert "differ only in their Unicode form, blanks or case" in lookalike(other, [label])


def test_labels_that_say_different_things_are_not_named() -> None:
    different = ["turn left", "turn right", "turn_left", "resume", "résumé", "1", "10", "a-b", "ab"]
    assert describe_lookalikes(different) == ""
    assert lookalike("turn left", different[1:]) == ""


def _list(folder: pathlib.Path, *labels: str) -> pathlib.Path:
    rows = [f"{number}.mp4,{label}" for number, label in enumerate(labels)]
    (folder / "list.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    return folder / "list.csv"


def test_a_list_is_read_with_a_warning(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    source = read_video_list(_list(tmp_path, "Walk", "walk", "run"), check_files=False)
    assert source.label_names == ("Walk", "run", "walk")
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "'Walk' and 'walk'" in warning.getMessage()


def test_a_label_that_a_class_looks_like_is_told_apart_from_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels.txt").write_text("caf\xe9\ntea\n", encoding="utf-8")
    source = _list(tmp_path, "cafe\u0301")
    with pytest.raises(
        ListFileError, match=r"'cafe\\u0301' and the class 'caf\\xe9' differ only in their Unicode form"
    ):
        read_video_list(source, check_files=False)


def test_class_folders_are_prepared_and_opened_with_a_warning(
    tmp_path: pathlib.Path, write_video, numbered, caplog: pytest.LogCaptureFixture
) -> None:
    for label in ("caf\xe9", "cafe\u0301"):
        (tmp_path / "videos" / label).mkdir(parents=True)
        write_video(tmp_path / "videos" / label / "one.mp4", numbered(3, 16, 16))
    source = read(tmp_path / "videos", validation_share=0)
    named = r"'cafe\u0301' and 'caf\xe9'"
    assert any(named in doubt for doubt in source.mismatches)
    report = prepare_dataset(source, tmp_path / "out", progress=False)
    assert any(named in doubt for doubt in report.manifest.mismatches)
    open_source(tmp_path / "out", default_split="train")
    assert [named in record.getMessage() for record in caplog.records] == [True]
