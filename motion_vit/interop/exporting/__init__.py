"""Exports trained models: weights, graphs and programs for other runtimes.

In: a trained model.
Out: files, checked against JAX in another process.
Imports: `interop.{files,families}`; scripts of `runners` by their path.
"""
