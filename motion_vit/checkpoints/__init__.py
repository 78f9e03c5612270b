"""Trained models that are installed with the library: weights folders for `--checkpoint NAME`.

In: nothing.
Out: files of weights folders.
Imports: nothing of the library.
"""
