"""Writes and reads trained models: checkpoints of runs, and weights folders.

In: a training state, or the folder of a trained model.
Out: folders written atomically, and trained models.
Imports: `training.{parallel,logs,losses,recipe,inputs,step,inference}`.
"""
