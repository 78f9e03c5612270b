import json

import jax
import pytest

from motion_vit.training.logs import meter as meters
from motion_vit.training.logs.meter import Meter
from motion_vit.training.logs.throughput import Throughput

THROUGHPUT = Throughput(flops_per_clip=3 * 10**12, devices=4, peak=10e12)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the meter's clock shows; a test sets it."""
    now = [100.0]
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])
    return now


def metrics(loss: float, weight: float) -> dict[str, float]:
    return {"loss": loss, "top1": 0.5, "grad_norm": loss, "learning_rate": loss / 10, "weight": weight}


def test_means_are_over_the_examples_that_count() -> None:
    meter = Meter(THROUGHPUT, jax.local_devices())
    for loss, weight in ((1.0, 6.0), (4.0, 2.0)):
        meter.add_step(metrics(loss, weight), clips=8, waited=0.0)
    summary = meter.summary()
    assert summary["loss"] == pytest.approx((6 * 1 + 2 * 4) / 8)
    assert summary["grad_norm"] == pytest.approx(2.5)
    assert summary["learning_rate"] == pytest.approx(0.4)
    assert "weight" not in summary


def test_numbers_of_the_model_are_the_latest() -> None:
    meter = Meter(THROUGHPUT, jax.local_devices())
    for slope in (9.0, 8.0):
        meter.add_step({**metrics(1.0, 8.0), "prompt/slope": slope}, clips=8, waited=0.0)
    assert meter.summary()["prompt/slope"] == 8.0


def test_rates_count_the_time_since_the_last_line(clock: list[float]) -> None:
    meter = Meter(THROUGHPUT, jax.local_devices())
    meter.add_step(metrics(1.0, 8.0), clips=1000, waited=50.0)
    clock[0] += 60
    meter.restart()
    for waited in (0.0, 1.0, 0.5):
        meter.add_step(metrics(1.0, 8.0), clips=8, waited=waited)
    clock[0] += 6
    summary = meter.summary()
    assert summary["clips_per_second"] == pytest.approx(4.0)
    assert summary["clips_per_second_per_device"] == pytest.approx(1.0)
    assert summary["seconds_per_step"] == pytest.approx(2.0)
    assert summary["waiting_for_data"] == pytest.approx(0.25)
    assert summary["model_tflops_per_second"] == pytest.approx(12.0)
    assert summary["model_flops_utilization"] == pytest.approx(0.3)


def test_a_summary_says_what_memory_is_used_and_is_strict_json() -> None:
    meter = Meter(THROUGHPUT, jax.local_devices())
    meter.add_step(metrics(1.0, 0.0), clips=8, waited=0.0)
    summary = meter.summary()
    assert 0.01 < summary["process_peak_memory_gb"] < 1000
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
