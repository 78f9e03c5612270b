"""Trains several recipes on the same data with the same seeds, side by side.

In: recipes and seeds.
Out: a table, a picture and learning curves.
Imports: `models`, `data`, `training`.
"""
