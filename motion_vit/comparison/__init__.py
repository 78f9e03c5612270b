"""Trains several recipes side by side: on the same data with the same seeds, or on several data sets and subsets.

In: recipes and seeds; data sets and sizes of subsets.
Out: tables, pictures and learning curves.
Imports: `models`, `data`, `training`.
"""
