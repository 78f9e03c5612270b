"""Masks of pretraining: which tubelets of a clip the encoder sees, and which are predicted.

In: keys, and pixels for masks that follow motion.
Out: numbers of places.
Imports: no other package of `training`.
"""
