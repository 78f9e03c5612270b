"""Means of a run's numbers between two log lines, and its throughput."""

import time

import numpy as np


class Meter:
    """Collects steps and sums them up."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forgets everything and starts the clock."""
        self._start = time.perf_counter()
        self._metrics: list[dict[str, float]] = []
        self._clips = 0
        self._waited = 0.0

    def add_batch(self, clips: int, waited: float) -> None:
        """Counts a batch.

        Args:
          clips: clips in it.
          waited: seconds that the devices had nothing to do before it came.
        """
        self._clips += clips
        self._waited += waited

    def add_metrics(self, metrics: dict[str, float]) -> None:
        """Takes the metrics of a step.

        Args:
          metrics: of `step.make_train_step`.
        """
        self._metrics.append(metrics)

    def summary(self) -> dict[str, float]:
        """Sums up the steps since the last `restart`.

        Returns:
          `loss` and `top1` as means over the examples that count, `grad_norm` as mean, the latest `learning_rate`,
          `clips_per_second`, and `waiting_for_data`, the share of the time that the devices waited.
        """
        seconds = max(time.perf_counter() - self._start, 1e-9)
        weights = np.array([metrics["weight"] for metrics in self._metrics])
        total = max(float(weights.sum()), 1.0)
        means = {
            name: float(np.dot(weights, [metrics[name] for metrics in self._metrics])) / total
            for name in ("loss", "top1")
        }
        return {
            **means,
            "grad_norm": float(np.mean([metrics["grad_norm"] for metrics in self._metrics])),
            "learning_rate": self._metrics[-1]["learning_rate"],
            "clips_per_second": self._clips / seconds,
            "waiting_for_data": min(self._waited / seconds, 1.0),
        }
