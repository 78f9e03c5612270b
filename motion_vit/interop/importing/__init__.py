"""Imports weights of other frameworks.

In: a weights file and a model.
Out: a weights folder and a report.
Imports: `interop.{files,families}`.
"""
