import dataclasses
import json
import pathlib
import sys

import input_pipeline
import numpy as np
import pytest

from motion_vit.data.video.encoding import write_video


def test_the_benchmark_times_decoding_and_the_pipeline_of_the_same_clips(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 4, 6, 3)).astype(np.uint8).repeat(16, 1).repeat(16, 2)
    write_video(tmp_path / "video.mp4", frames)
    monkeypatch.setattr(input_pipeline, "RECIPE", dataclasses.replace(input_pipeline.RECIPE, frames=4, size=64))
    arguments = ["--batch", "2", "--batches", "1", "--repeats", "1", "--threads", "1", "--only", "jpeg"]
    files = ["--video", str(tmp_path / "video.mp4"), "--json", str(tmp_path / "rows.json")]
    monkeypatch.setattr(sys, "argv", ["input_pipeline.py", *arguments, *files])
    input_pipeline.main()
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["pipeline_clips_per_second"] > 0
    assert row["ratio"] == pytest.approx(row["pipeline_clips_per_second"] / row["decode_clips_per_second"])
    assert (row["height"], row["width"]) == (100, 176)
    assert row["material"] in capsys.readouterr().out
