"""Label files after random accidents are read or refused with a message; nothing else ever comes out of them."""

import json
import pathlib
import random
from collections.abc import Callable

import pytest

from motion_vit.data.datasets import diving48, jester, kinetics, something_something_v1, something_something_v2
from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    parse_number,
    read_lines,
    read_names,
    read_records,
    read_table,
    split_line,
)


def _damaged(data: bytes, seed: int) -> bytes:
    """A label file after a few random accidents: bytes changed, cut off, doubled, delimiters swapped."""
    draw = random.Random(seed)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        data = draw.choice(
            [
                data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :],
                data[:at],
                data[:at] + data[at:] * 2,
                data.replace(*draw.sample([b",", b";", b"\n", b'"', b" ", b"[", b"{"], 2)),
                data[:at] + draw.choice([b"\0", b'"', b"\xff\xfe", b"\\ud800", b"\\u0000", b"9" * 5000]) + data[at:],
            ]
        )
    return data


def _is_read_or_refused(read: Callable[[], object], source: pathlib.Path) -> None:
    refusal = ""
    try:
        text = str(read())
    except AnnotationError as error:
        text = refusal = str(error)
    assert not refusal or str(source) in refusal, "the message names no file"
    text.encode()  # neither an id nor a message holds what cannot be written


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_read_or_refused(tmp_path, seed):
    table = tmp_path / "table.csv"
    table.write_bytes(_damaged(b'label,youtube_id,time_start\nrun,abc,4\n"jump, high",def,5\n', seed))
    records = tmp_path / "records.json"
    records.write_bytes(_damaged(b'[{"id": "1", "label": "run \\u00e9"}, {"id": "2", "label": 3}]', seed))
    columns = ["label", "youtube_id", "time_start"]
    _is_read_or_refused(lambda: [parse_number(row, "time_start") for row in read_table(table, columns)], tmp_path)
    _is_read_or_refused(lambda: [split_line(line, ("path", "label"), ",") for line in read_lines(table)], tmp_path)
    _is_read_or_refused(lambda: read_names(table), tmp_path)
    _is_read_or_refused(lambda: read_records(records, ["id", "label"]), tmp_path)


_FRAME_FOLDERS = {"labels.csv": "Swiping Left\nNo gesture\n", "train.csv": "1;Swiping Left\n2;No gesture\n"}
_KINETICS = "label,youtube_id,time_start,time_end,split\nzumba,abc,5,15,train\n"
_DOWNLOADS = {
    jester: ("20bn-jester-v1", _FRAME_FOLDERS | {"validation.csv": "3;No gesture\n"}),
    something_something_v1: (
        "20bn-something-something-v1",
        {
            "category.txt": "Holding something\nClosing something\n",
            "train_videofolder.txt": "1 42 0\n2 40 1\n",
            "val_videofolder.txt": "3 42 1\n",
        },
    ),
    something_something_v2: (
        "20bn-something-something-v2",
        {
            "labels.json": json.dumps({"Holding something": "0", "Closing something": "1"}),
            "train.json": json.dumps([{"id": "1", "template": "Holding [something]"}]),
            "validation.json": json.dumps([{"id": "2", "template": "Closing [something]"}]),
        },
    ),
    kinetics: ("train", {"train.csv": _KINETICS, "val.csv": _KINETICS}),
    diving48: (
        "rgb",
        {
            "Diving48_vocab.json": json.dumps([["Back", "15som", "05Twis", "FREE"]]),
            "Diving48_V2_train.json": json.dumps([{"vid_name": "a", "label": 0}]),
            "Diving48_V2_test.json": json.dumps([{"vid_name": "b", "label": 0}]),
        },
    ),
}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("layout", _DOWNLOADS, ids=lambda layout: layout.__name__.rpartition(".")[2])
def test_a_download_with_a_damaged_file_is_read_or_refused(tmp_path, layout, seed):
    folder, files = _DOWNLOADS[layout]
    (tmp_path / folder).mkdir()
    (tmp_path / "val").mkdir()
    damaged = random.Random(seed).choice(sorted(files))
    for name, text in files.items():
        (tmp_path / name).write_bytes(_damaged(text.encode(), seed) if name == damaged else text.encode())
    layout.looks_like(tmp_path)
    _is_read_or_refused(lambda: layout.read(tmp_path), tmp_path)
