import pathlib

import numpy as np
import pytest

from motion_vit.data.video.encoding import write_video
from motion_vit.data.video_list import VideoList, read_video_list
from motion_vit.errors import UserError
from motion_vit.training.undecodable import Undecodable


@pytest.fixture
def broken(tmp_path: pathlib.Path) -> VideoList:
    """Twenty files that are no videos."""
    for number in range(20):
        (tmp_path / f"{number}.mp4").write_bytes(b"not a video" * 20)
    rows = "".join(f"{number}.mp4,wave\n" for number in range(20))
    (tmp_path / "train.csv").write_text("path,label\n" + rows)
    return read_video_list(tmp_path / "train.csv")


def batch(failed: list[int], good: list[int]) -> dict[str, np.ndarray]:
    weight = np.array([0.0] * len(failed) + [1.0] * len(good), np.float32)
    return {"index": np.array(failed + good, np.int32), "weight": weight}


def report(undecodable: Undecodable, arrived: dict[str, np.ndarray]) -> list[str]:
    lines: list[str] = []
    undecodable.look_through(arrived)
    undecodable.report(lines.append)
    return lines


def test_a_failed_video_is_named_once_with_its_reason(broken: VideoList) -> None:
    undecodable = Undecodable(broken, 0.5)
    (line,) = report(undecodable, batch([3, 3], [4]))
    assert "3.mp4" in line
    assert "damaged or is not a video" in line
    assert report(undecodable, batch([3], [5])) == []
    assert [pathlib.Path(name).name for name in undecodable.names] == ["3.mp4"]


def test_padding_is_no_failed_video(broken: VideoList) -> None:
    assert report(Undecodable(broken, 0.5), batch([-1, -1], [2])) == []


def test_more_failures_than_the_share_stop_with_the_list(broken: VideoList) -> None:
    undecodable = Undecodable(broken, 0.1)  # two of twenty
    assert len(report(undecodable, batch([0, 1], [2]))) == 2
    with pytest.raises(UserError, match="3 of the 20 videos") as stopped:
        report(undecodable, batch([7], [2]))
    for text in ("0.mp4", "1.mp4", "7.mp4", "data.max_undecodable", "--skip-bad", "data check"):
        assert text in str(stopped.value)


def test_a_batch_without_a_single_good_video_stops_the_run(broken: VideoList) -> None:
    with pytest.raises(UserError, match="and of the last batch not a single one"):
        report(Undecodable(broken, 0.5), batch([0, 1], []))


def test_the_reason_is_that_of_the_part_of_the_video(tmp_path: pathlib.Path) -> None:
    write_video(tmp_path / "short.mp4", np.zeros((10, 16, 16, 3), np.uint8))
    (tmp_path / "parts.csv").write_text("path,label,start,end\nshort.mp4,wave,100,110\n")
    undecodable = Undecodable(read_video_list(tmp_path / "parts.csv"), 1.0)
    (line,) = report(undecodable, batch([0], [0]))
    assert "no frame from 100 s to 110 s" in line


def test_what_was_found_in_several_batches_is_reported_together(broken: VideoList) -> None:
    undecodable = Undecodable(broken, 0.5)
    undecodable.look_through(batch([3], [4]))
    assert undecodable.names == ()
    assert len(report(undecodable, batch([5, 3], [4]))) == 2
    assert len(undecodable.names) == 2
