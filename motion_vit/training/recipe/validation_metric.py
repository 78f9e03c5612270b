"""The measures of validation that decide which checkpoint is the best, and when a run ends early."""

from typing import Literal

ValidationMetric = Literal["top1", "mean_class", "loss"]
"""Accuracy, the mean accuracy of the classes, or the cross entropy, of which less is better."""
