"""Measures how accurate a model remains when videos are corrupted, with and without adaptation.

In: a trained model, videos, and corruptions with their severities.
Out: accuracies by corruption and severity, as a table and a picture.
Imports: `training.adaptation` and what that may import.
"""
