"""Scripts that run an export as its users do: nothing of this library is imported for a program, JAX's or another's.

`python check.py RUNNER FOLDER` runs one of them, in a process of its own.
"""
