"""Scripts that run an export as its users do; for programs, they import nothing of this library.

`python check.py RUNNER FOLDER` runs one of them in a separate process.

In: the folder of an export, and clips.
Out: logits, as a file.
Imports: `interop.importing` and `training.checkpoints`, for exports that hold weights alone.
"""
