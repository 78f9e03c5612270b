"""Corruptions of uint8 clips on the host, as cameras, weather and codecs make them: to test how robust a model is.

In: a clip, a severity, and numbers that fix the draws.
Out: a clip.
Imports: no other package of `data`.
"""
