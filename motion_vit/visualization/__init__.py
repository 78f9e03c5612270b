"""Shows attention, cost volumes, motion fields and class activation of a model in the places of the video.

In: a trained model and a video.
Out: pictures, animations and a page.
Imports: `ops`, `modules`, `models`, `data`, `training`.
"""
