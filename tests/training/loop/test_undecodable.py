import numpy as np
import pytest

from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.errors import UserError
from motion_vit.training.loop.undecodable import Undecodable

REASON = "the file is damaged or is not a video"


class TwentyVideos:
    """A source that may not be read: to name what failed, training must not wait for a video."""

    name = "train.csv"
    label_names = ("wave",)
    fingerprint = ""
    clips_of_class = (20,)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, row: int) -> StoredClip:
        raise AssertionError(f"video {row} was read between two steps")


@pytest.fixture
def broken() -> TwentyVideos:
    """Twenty files that are no videos."""
    return TwentyVideos()


def batch(failed: list[int], good: list[int]) -> dict[str, np.ndarray]:
    weight = np.array([0.0] * len(failed) + [1.0] * len(good), np.float32)
    told = [row >= 0 for row in failed] + [False] * len(good)
    return {
        "index": np.array(failed + good, np.int32),
        "weight": weight,
        "failed": np.array([f"{row}.mp4" if is_told else "" for row, is_told in zip(failed + good, told, strict=True)]),
        "reason": np.where(told, REASON, ""),
    }


def report(undecodable: Undecodable, arrived: dict[str, np.ndarray]) -> list[str]:
    undecodable.look_through(arrived)
    lines = undecodable.exchange()
    undecodable.check()
    return lines


def test_a_failed_video_is_named_once_with_its_reason(broken: TwentyVideos) -> None:
    undecodable = Undecodable(broken, 0.5)
    (line,) = report(undecodable, batch([3, 3], [4]))
    assert "3.mp4" in line
    assert "damaged or is not a video" in line
    assert report(undecodable, batch([3], [5])) == []
    assert undecodable.names == ("3.mp4",)


def test_padding_is_no_failed_video(broken: TwentyVideos) -> None:
    assert report(Undecodable(broken, 0.5), batch([-1, -1], [2])) == []


def test_more_failures_than_the_share_stop_with_the_list(broken: TwentyVideos) -> None:
    undecodable = Undecodable(broken, 0.1)  # two of twenty
    assert len(report(undecodable, batch([0, 1], [2]))) == 2
    with pytest.raises(UserError, match="3 of the 20 videos") as stopped:
        report(undecodable, batch([7], [2]))
    for text in ("0.mp4", "1.mp4", "7.mp4", "data.max_undecodable", "--skip-bad", "data check"):
        assert text in str(stopped.value)


def test_a_batch_without_a_single_good_video_stops_the_run(broken: TwentyVideos) -> None:
    with pytest.raises(UserError, match="and of the last batch not a single one"):
        report(Undecodable(broken, 0.5), batch([0, 1], []))


def test_what_was_found_in_several_batches_is_reported_together(broken: TwentyVideos) -> None:
    undecodable = Undecodable(broken, 0.5)
    undecodable.look_through(batch([3], [4]))
    assert undecodable.names == ()
    assert len(report(undecodable, batch([5, 3], [4]))) == 2
    assert len(undecodable.names) == 2
