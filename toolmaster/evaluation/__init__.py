"""Measuring models on tasks.

`evaluate` runs a model on a task set and gives an `Evaluation`; `comparison.compare` pairs two of
them by task. `metrics`, `behaviour`, `analyses` and `familiarity` compute figures from any stored
trajectories, `intervals` says how sure they are, and `tables` shows them.
"""
