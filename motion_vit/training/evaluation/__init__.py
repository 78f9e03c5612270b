"""Measures accuracy on videos, and predicts single ones.

In: a trained model and videos.
Out: accuracies, confusion matrices and ranked classes.
Imports: every package of `training` but `loop` and `ahead_of_time`.
"""
