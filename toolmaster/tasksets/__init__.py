"""Task sets: named, versioned collections of tasks.

The embedded world, the benchmarks, tasks for a user's own tools and mixtures of these are each a
`Taskset`; `taskset("one line")` opens any of them, see `loading`.
"""

from toolmaster.tasksets.loading import taskset
from toolmaster.tasksets.mixture import mix
from toolmaster.tasksets.task import Calls, FollowUp, Isolation, Task, as_tool_set
from toolmaster.tasksets.taskset import LeftOut, Taskset

__all__ = [
    "Calls",
    "FollowUp",
    "Isolation",
    "LeftOut",
    "Task",
    "Taskset",
    "as_tool_set",
    "mix",
    "taskset",
]
