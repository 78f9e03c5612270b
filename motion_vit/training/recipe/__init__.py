"""The recipe: every setting of a run, read from files and checked before anything is built.

In: recipe files, field values and names of models.
Out: a checked `ConfigDict`, and the clips and options that it names.
Imports: `training.{losses,masking}`.
"""
