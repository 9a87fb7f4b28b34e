"""What models do on tasks, and what their trajectories say of it.

`evaluate` runs a model on tasks. `metrics` and `analyses` compute from any stored trajectories, and
`tables` shows what they say.
"""
