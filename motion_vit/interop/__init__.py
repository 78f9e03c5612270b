"""Imports weights from other frameworks and exports models to them.

In: foreign weights or a trained model.
Out: a weights folder, or an export in one of several formats.
Imports: `ops`, `modules`, `models`, `data`, `training`.
"""
