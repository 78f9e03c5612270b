"""Answers requests over HTTP with one trained model: classes and timelines of videos that are sent.

In: a trained model, and the numbers that bound what requests may take.
Out: a server with a page, predictions as JSON, health and metrics.
Imports: `data`, `training`.
"""
