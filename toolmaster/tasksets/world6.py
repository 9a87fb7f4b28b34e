"""The embedded world as a task set: `world6` or `world6:short`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from toolmaster.tasksets.order import drawn
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import TEST, TRAIN, Taskset

COUNT = 10_000_000


def world6(
    level: Literal["full", "short"] = "full", *, source: str = "", families: str = ""
) -> Taskset:
    """Make the task set of the embedded world.

    Args:
        level: "short" tasks have one message and few tools; "full" ones are of any kind.
        source: what takes the place of the built-in services: "facts" for facts and formulas, or
            an OpenAPI document or a folder of them.
        families: families of hidden behaviours, separated by commas; "" for all.

    Raises:
        InputError: an unknown family, or a source that is not there or cannot be simulated.
    """
    from toolmaster.world6.behaviours import FAMILIES  # noqa: PLC0415
    from toolmaster.world6.facts import Facts  # noqa: PLC0415
    from toolmaster.world6.openapi import Documents  # noqa: PLC0415
    from toolmaster.world6.tasks import World  # noqa: PLC0415 - the largest part of it

    made = Facts() if source == "facts" else Documents(Path(source)) if source else None
    chosen = [one.strip() for one in families.split(",")] if families else FAMILIES
    loaded = World(made, level, Path(source).stem, chosen)
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
    name = f"{name} {Path(source).stem}" if source else name
    return Taskset.drawn(name, splits, draw, split_of, version=loaded.version, oracle=oracle)


def split_of(task_id: str) -> str:
    """The split of a world task's id."""
    return task_id.split("/")[1]
