"""Scripts that run an export as its users do: nothing of this library is imported for a program, JAX's or another's.

`python check.py RUNNER FOLDER` runs one of them, in a process of its own.

In: the folder of an export, and clips.
Out: logits, as a file.
Imports: `interop.importing` and `training.checkpoints`, for exports that hold weights alone.
"""
