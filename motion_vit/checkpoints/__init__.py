"""Trained models that are installed with the library: weights folders that `--checkpoint NAME` takes by name.

In: nothing.
Out: files of weights folders.
Imports: nothing of the library.
"""
