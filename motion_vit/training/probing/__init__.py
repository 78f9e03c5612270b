"""Measures what the features of a model are worth, without training it: nearest neighbours and linear probes.

In: a trained model and labelled videos.
Out: the accuracy of classifiers of its frozen features.
Imports: every package of `training` but `loop` and `ahead_of_time`.
"""
