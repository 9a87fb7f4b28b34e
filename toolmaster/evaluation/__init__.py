"""What finished trajectories say: success with its uncertainty, effort, errors and recovery.

`metrics` computes, `tables` shows. Nothing here runs a model, a tool or a session, so any stored
trajectory file can be judged again at any time.
"""

from toolmaster.evaluation.metrics import (
    Interval,
    Summary,
    bootstrap,
    by_label,
    paired_difference,
    recoveries,
    summarize,
    useful_trials,
)
from toolmaster.evaluation.tables import compare_table, family_table, main_table

__all__ = [
    "Interval",
    "Summary",
    "bootstrap",
    "by_label",
    "compare_table",
    "family_table",
    "main_table",
    "paired_difference",
    "recoveries",
    "summarize",
    "useful_trials",
]
