"""The training loop: a run from its first step, or its latest checkpoint, to its last.

In: a recipe and the folder of the run.
Out: checkpoints, logs, and the run's result.
Imports: every package of `training` but `ahead_of_time`.
"""
