"""Videos on disk to batches of uint8 clips; knows nothing of models.

In: videos, list files and downloads.
Out: batches of NumPy arrays.
Imports: `errors` and `files`; no JAX.
"""
