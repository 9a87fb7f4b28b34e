"""Measuring models on tasks.

`evaluate` runs a model on a task set and returns an `Evaluation`; `comparison.compare` pairs two of
them by task. `metrics` and `behaviour` compute figures from stored trajectories, `intervals` says
how sure they are, and `tables` shows them.
"""
