"""Functions from arrays to arrays: the arithmetic of the models, free of Flax and of configs.

In: arrays.
Out: arrays.
Imports: nothing of the library.
"""
