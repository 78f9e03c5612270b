"""What a model sees: attention, cost volumes, motion fields and class activation, brought back to the video.

In: a trained model and a video.
Out: pictures, animations and a page.
Imports: `ops`, `modules`, `models`, `data`, `training`.
"""
