"""Predictions for video files: views, logits and ranked classes.

In: a model, its variables, a recipe and videos.
Out: predictions.
Imports: `training.{parallel,losses,recipe,inputs,step}` and `data`.
"""
