"""The arithmetic of the models: functions from arrays to arrays, free of Flax and of configs.

In: arrays.
Out: arrays.
Imports: nothing of the library.
"""
