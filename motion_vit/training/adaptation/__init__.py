"""Adapts a trained model to shifted videos while it classifies them, one after the other.

In: a trained model, statistics of its source data, and videos.
Out: accuracies with and without adaptation.
Imports: `training.evaluation` and what that may import.
"""
