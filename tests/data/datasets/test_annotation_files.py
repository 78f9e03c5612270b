import json
import pathlib

import pytest

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    Line,
    Row,
    check_clips,
    check_folder,
    find_file,
    parse_index,
    parse_number,
    read_json,
    read_lines,
    read_names,
    read_records,
    read_table,
    split_line,
)
from motion_vit.data.datasets.source_dataset import SourceClip


def _write(folder: pathlib.Path, text: str | bytes) -> pathlib.Path:
    path = folder / "labels"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_table_is_read_whatever_its_line_ends_and_byte_order_mark(tmp_path):
    path = _write(tmp_path, '\ufefflabel,youtube_id\r\n"air, drumming", abc\r\n\r\n')
    [row] = read_table(path, ["youtube_id", "label"])
    assert dict(row.cells) == {"label": "air, drumming", "youtube_id": "abc"}
    assert row.where == f"{path}, line 2"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: expected a header"),
        ("label,time\nrun,3\n", "line 1: expected a header with the columns label,youtube_id, found 'label,time'"),
        ("label,youtube_id\n", "a header and no rows"),
        ("label,youtube_id\nrun\n", "line 2: 1 cell where the header has 2"),
        ('label,youtube_id\nrun,"never closed\n', "not a CSV table"),
        ("label,youtube_id\nrun," + "x" * 200_000 + "\n", "not a CSV table"),
        ("label,youtube_id\nrun,\0\n", "NUL"),
        (b"label,youtube_id\nr\xe9n,a\n", "not UTF-8"),
    ],
)
def test_a_malformed_table_is_refused_with_the_line(tmp_path, text, complaint):
    path = _write(tmp_path, text)
    with pytest.raises(AnnotationError, match=complaint) as error:
        read_table(path, ["label", "youtube_id"])
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[1, 2", "line 1, column 6: not JSON"),
        ("[" * 100_000, "recursion"),
        ("1" * 5000, "not JSON that can be used"),
        ('"\\ud800"', "surrogates"),
        ('"\\u0000"', "NUL"),
    ],
)
def test_json_that_cannot_be_used_is_refused(tmp_path, text, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        read_json(_write(tmp_path, text))


def test_json_with_escaped_characters_is_read(tmp_path):
    assert read_json(_write(tmp_path, '"\\ud83d\\ude00 \\u00e9"')) == "\U0001f600 é"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({}, "expected a list of objects"),
        ([], "expected a list of objects"),
        (["x"], "entry 1: expected a list of objects"),
        ([{"id": "1", "label": "a"}, {"id": "2"}], "entry 2: expected the member 'label' .* found None"),
        ([{"id": True, "label": "a"}], "entry 1: expected the member 'id'"),
        ([{"id": "", "label": "a"}], "entry 1: expected the member 'id'"),
    ],
)
def test_malformed_records_are_refused_with_the_entry(tmp_path, data, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        read_records(_write(tmp_path, json.dumps(data)), ["id", "label"])


def test_records_give_numbers_as_text(tmp_path):
    [row] = read_records(_write(tmp_path, '[{"id": "a", "label": 3, "other": []}]'), ["id", "label"])
    assert dict(row.cells) == {"id": "a", "label": "3"}


def test_lines_keep_their_numbers_when_empty_ones_are_passed(tmp_path):
    path = _write(tmp_path, "one\n\n  \r\nfour\x85still four")
    assert read_lines(path) == [Line(f"{path}, line 1", "one"), Line(f"{path}, line 4", "four\x85still four")]


def test_a_name_that_comes_twice_is_refused_with_the_line(tmp_path):
    with pytest.raises(AnnotationError, match="line 3: the class 'run' comes a second time"):
        read_names(_write(tmp_path, "run\njump\nrun\n"))


def test_a_delimiter_may_be_part_of_the_first_cell():
    row = split_line(Line("file, line 1", "my videos/one two 40 7"), ("path", "frames", "label"), " ")
    assert dict(row.cells) == {"path": "my videos/one two", "frames": "40", "label": "7"}
    with pytest.raises(AnnotationError, match="file, line 1: expected id;label, found '17;'"):
        split_line(Line("file, line 1", "17;"), ("id", "label"), ";")


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e9", "", "9" * 400, "٣", "1.2.3"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(AnnotationError, match="here: expected start to be a number from 0 on"):
        parse_number(Row("here", {"start": text}), "start")


@pytest.mark.parametrize("text", ["2", "-1", "one", "0.5", "1" * 5000])
def test_what_is_no_class_number_is_refused(text):
    with pytest.raises(AnnotationError, match="here: expected label to be a class number from 0 to 1"):
        parse_index(Row("here", {"label": text}), "label", ["run", "jump"])


def test_an_unknown_label_is_refused_with_the_nearest_class():
    with pytest.raises(AnnotationError, match=r"line 4: unknown label 'jmup'; did you mean jump\?"):
        check_clips([("line 4", SourceClip("1", "/1.mp4", "jmup"))], ["run", "jump"])


def test_an_id_that_comes_twice_is_refused_with_both_places():
    clips = [("line 1", SourceClip("7", "/7.mp4", "run")), ("line 9", SourceClip("7", "/7.mp4", "run"))]
    with pytest.raises(AnnotationError, match="line 9: the clip '7' was named before, in line 1"):
        check_clips(clips, ["run"])


def test_a_source_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"missing does not exist; give the folder that Jester was downloaded to"):
        check_folder(tmp_path / "missing", "Jester")
    with pytest.raises(AnnotationError, match="is not a folder"):
        check_folder(_write(tmp_path, "x"), "Jester")


def test_a_missing_file_is_refused_with_the_names_that_were_looked_for(tmp_path):
    with pytest.raises(AnnotationError, match=r"has no file a\.csv or b\.csv: it lists the clips"):
        find_file(tmp_path, ["a.csv", "b.csv"], "it lists the clips")
