"""Trained models on disk: checkpoints of runs, weights folders, and reading both.

In: a training state, or the folder of a trained model.
Out: folders written whole, and trained models.
Imports: `training.{parallel,logs,losses,recipe,inputs,step}`.
"""
