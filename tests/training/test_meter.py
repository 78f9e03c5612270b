import pytest

from motion_vit.training.meter import Meter
from motion_vit.training.progress import duration


def test_means_are_over_the_examples_that_count() -> None:
    meter = Meter()
    for loss, weight in ((1.0, 6.0), (4.0, 2.0)):
        meter.add_batch(8, waited=0.0)
        meter.add_metrics({"loss": loss, "top1": 0.5, "grad_norm": loss, "learning_rate": loss / 10, "weight": weight})
    summary = meter.summary()
    assert summary["loss"] == pytest.approx((6 * 1 + 2 * 4) / 8)
    assert summary["grad_norm"] == pytest.approx(2.5)
    assert summary["learning_rate"] == pytest.approx(0.4)
    assert summary["clips_per_second"] > 0
    assert summary["waiting_for_data"] == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (99, "99 s"), (700, "12 min"), (12_000, "3 h 20 min"), (7_170, "2 h 0 min")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
