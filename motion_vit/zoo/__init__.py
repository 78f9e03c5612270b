"""Finds published weights by name, downloads them and makes trained models of them.

`models.toml` is the table of known weights, `labels` has the names of classes; `load` is what `motion_vit.load` is.

In: the name of a row, of a repository on the Hugging Face hub, or of a folder.
Out: trained models.
Imports: `data.workers`, `training.{parallel,checkpoints}`, `interop.{files,families,importing}`.
"""
