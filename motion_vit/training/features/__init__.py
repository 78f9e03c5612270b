"""Computes the tokens of a frozen encoder of frames once, for trainings of what follows it.

In: a trained model and videos; or a recipe and the folder that was made of them.
Out: a folder of features; the same folder, checked against the recipe and the weights of a run.
Imports: `training.{checkpoints,evaluation,inputs,parallel,recipe,step}`.
"""
