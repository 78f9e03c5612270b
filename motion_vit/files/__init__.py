"""Paths from outside: local ones only, one writer a folder.

In: paths that a person, a recipe or a file names.
Out: the same paths, checked; locks.
Imports: nothing of the library.
"""
