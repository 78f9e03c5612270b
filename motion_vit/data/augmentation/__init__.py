"""Augmentations of uint8 clips on the host: one draw for all frames of a clip.

In: a clip and a random generator.
Out: a clip.
Imports: no other package of `data`.
"""
