"""Features of videos that were computed once and lie in a folder.

In: tokens of frames, and what they were computed from; or such a folder.
Out: the folder, written whole and resumable; tokens by number of video and view.
Imports: `data.sources`.
"""
