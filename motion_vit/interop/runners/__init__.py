"""Scripts that run an export as its users do; for programs, they import nothing of this library.

`python check.py RUNNER FOLDER` runs one of them in a separate process; `example.py` classifies videos with one.

In: the folder of an export, and clips or videos.
Out: logits or classes.
Imports: `interop.importing` and `training.checkpoints`, for exports that hold weights alone.
"""
