"""Other frameworks: weights that come in, and models that go out.

In: foreign weights or a trained model.
Out: a weights folder, or an export in one of several formats.
Imports: `ops`, `modules`, `models`, `data`, `training`.
"""
