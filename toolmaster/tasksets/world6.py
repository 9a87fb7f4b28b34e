"""The embedded world as a task set: `world6` or `world6:short`."""

from __future__ import annotations

from typing import Literal

from toolmaster.tasksets.order import drawn
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import TEST, TRAIN, Taskset

COUNT = 10_000_000


def world6(level: Literal["full", "short"] = "full") -> Taskset:
    """Make the task set of the embedded world.

    Args:
        level: "short" tasks have one message and few tools; "full" ones are of any kind.
    """
    from toolmaster.world6.tasks import VERSIONS, World  # noqa: PLC0415 - the largest part of it

    loaded = World(level=level)
    splits = {
        name: drawn(COUNT, lambda number, split=name: loaded.id_of(split, number))
        for name in (TRAIN, TEST)
    }

    def draw(task_id: str) -> Task:
        return loaded.draw(task_id).task

    async def oracle(task_id: str, *settings: object) -> object:
        from toolmaster.world6.demonstrate import show  # noqa: PLC0415 - only for training

        return await show(loaded, task_id, *settings)  # type: ignore[arg-type]

    name = "world6" if level == "full" else f"world6:{level}"
    return Taskset.drawn(name, splits, draw, split_of, version=VERSIONS[level], oracle=oracle)


def split_of(task_id: str) -> str:
    """The split of a world task's id."""
    return task_id.split("/")[1]
