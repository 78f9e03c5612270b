import json
import pathlib

import cv2
import numpy as np
import pytest

from motion_vit.data.sources.source_check import check_source
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.data.video.probing import check_video


@pytest.mark.parametrize("workers", [1, 2])
def test_a_check_sums_up_the_good_clips_and_names_the_bad_ones(video_folder: pathlib.Path, workers: int) -> None:
    result = check_source(read_video_list(video_folder / "all.csv"), workers=workers, progress=False)
    assert result.clips_of_class == {"clap": 4, "wave": 3}
    assert result.frames == (5, 14, 23)
    assert result.sizes == {"40 x 32": 7}
    assert result.rates == {"12.0": 7}
    assert result.codecs == {"h264": 7}
    (bad,) = result.bad
    assert bad.id == "broken.mp4"
    assert "not a video" in bad.reason
    summary = result.summary()
    assert "7 clips of 2 classes, 1 bad" in summary
    assert "broken.mp4" in summary
    assert json.loads(json.dumps(result.to_dict()))["clips_of_class"] == {"clap": 4, "wave": 3}


def test_classes_without_clips_are_named(video_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels.txt").write_text("clap\njump\nwave\n")
    (tmp_path / "one.csv").write_text(f"path,label\n{video_folder / 'v0.mp4'},clap\n")
    summary = check_source(read_video_list(tmp_path / "one.csv"), workers=1, progress=False).summary()
    assert "classes without a clip: 2: jump, wave" in summary


def test_a_part_that_its_video_does_not_have_is_bad(video_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "part.csv").write_text(f"path,label,start,end\n{video_folder / 'v0.mp4'},clap,30,40\n")
    result = check_source(read_video_list(tmp_path / "part.csv"), workers=1, progress=False)
    assert len(result.bad) == 1


def test_a_video_is_decoded_once_for_all_its_parts(
    video_folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{video_folder / 'v6.mp4'},clap,{n / 10},{n / 10 + 0.5}\n" for n in range(10))
    (tmp_path / "parts.csv").write_text("path,label,start,end\n" + rows)
    decoded = []
    monkeypatch.setattr(
        "motion_vit.data.sources.source_check.check_video", lambda video: decoded.append(video) or check_video(video)
    )
    result = check_source(read_video_list(tmp_path / "parts.csv"), workers=1, progress=False)
    assert (result.clips_of_class, len(decoded)) == ({"clap": 10}, 1)


def test_gaps_in_the_numbers_of_frames_are_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in (1, 2, 4):
        cv2.imwrite(str(tmp_path / "frames" / f"img_{number}.PNG"), np.full((8, 8, 3), 20 * number, np.uint8))
    (tmp_path / "list.csv").write_text("path,label\nframes,wave\n")
    result = check_source(read_video_list(tmp_path / "list.csv"), progress=False)
    gap = "frames are missing: img_2.PNG is followed by img_4.PNG"
    assert (result.bad, result.doubtful) == ((), {"frames": (gap,)})
    assert f"doubtful: frames: {gap}" in result.summary()
