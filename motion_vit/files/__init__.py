"""Paths from outside: local ones and regular files only, one writer a folder.

In: paths that a person, a recipe or a file names.
Out: the same paths, checked; open files; locks.
Imports: nothing of the library but `errors`.
"""
