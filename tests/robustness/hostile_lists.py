"""Makes hostile and damaged lists of videos, and files of class names."""

import json
import pathlib
import random

from good_inputs import VIDEOS
from hostile_values import EXTREMES
from text_mutations import mutated

_CELLS = (
    *(
        "../videos/x.mp4",
        "/dev/zero",
        "/etc/passwd",
        "~/x.mp4",
        "",
        " ",
        ".",
        "..",
        "v0.mp4\0",
        '"a,b.mp4"',
        '"',
        "v0.mp4/",
    ),
    *("1e308", "-1e308", "nan", "-nan", "inf", "-inf", "1e-320", "-0.0", "1_000", "0x10", "\u0661", "9" * 400, "1,5"),
    *(
        "=cmd|' /C calc'!A0",
        "\u202egnp.4pm",
        "\x1b[2J",
        "x" * 140_000,
        "-1",
        "99999999999999999999",
        "3.5",
        "1e5",
        "2;3",
    ),
)


def hostile_list(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a list with a hostile cell, of an unusual form, or damaged, beside four good videos.

    Args:
      rng: fixes everything.
      folder: for list and videos.
      good: of `write_good_inputs`.

    Returns:
      The list.
    """
    video = (good / VIDEOS / "clip.mp4").read_bytes()
    for number in range(4):
        (folder / f"v{number}.mp4").write_bytes(video)
    columns = ["path", "label", *rng.sample(["frames", "start", "end", "split"], rng.randint(0, 4))]
    values = {"frames": "8", "start": "0.1", "end": "0.6", "split": "train"}
    rows = [[f"v{number}.mp4", f"class {number % 2}", *(values[name] for name in columns[2:])] for number in range(4)]
    if rng.random() < 0.6:
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = str(rng.choice((*_CELLS, *EXTREMES)))
    if rng.random() < 0.2:
        rows += rng.choice([rows[:1], [[]], [["v0.mp4"]], [["v0.mp4", "class 0", *["1"] * 9]]])
    delimiter = rng.choice([",", ",", ",", ";", "\t", "|", " "])
    end = rng.choice(["\n", "\n", "\r\n", "\r", "\n\n", "\u2028"])
    text = end.join(delimiter.join(row) for row in [columns, *rows]) + rng.choice([end, ""])
    data = text.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"]), "surrogatepass")
    if rng.random() < 0.4:
        data = mutated(data, rng.randrange(2**31))
    if rng.random() < 0.2:
        names = rng.choice(
            [b"class 0\nclass 1\n", b"class 1\n", b"", b"\xff\xfe", b"class 0\0\n", b"class 0\nclass 0\n"]
        )
        (folder / "labels.txt").write_bytes(names)
    path = folder / rng.choice(["list.csv", "list.csv", "train.csv", "list.tsv", "list.txt"])
    path.write_bytes(data)
    return path


def hostile_labels(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a file of class names, as `motion-vit import --labels` takes it.

    Args:
      rng: fixes everything.
      folder: for the file.
      good: unused.

    Returns:
      The file.
    """
    names = [f"class {number}" for number in range(10)]
    if rng.random() < 0.5:
        content: object = rng.choice([names, dict(zip(names, range(10), strict=True)), dict(enumerate(names))])
        text, ending = json.dumps(content).encode(), "json"
        if rng.random() < 0.3:
            text = json.dumps(rng.choice([[rng.choice(EXTREMES)], {"a": rng.choice(EXTREMES)}])).encode()
    else:
        numbered = rng.random() < 0.5
        lines = [f"{name}\t{number}" if numbered else name for number, name in enumerate(names)]
        text, ending = "\n".join(lines).encode(), "txt"
    path = folder / f"labels.{ending}"
    path.write_bytes(rng.choice([mutated(text, rng.randrange(2**31)), text, b"[" * 100_000, b"9" * 10_000]))
    return path
