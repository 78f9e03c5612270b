"""Reads files of other frameworks without executing or trusting anything in them.

In: files of PyTorch, NumPy, Flax and safetensors.
Out: tensors by name.
Imports: no other package of `interop`.
"""
