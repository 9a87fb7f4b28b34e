"""The embedded world as a task set: `world` or `world:short`.

Its splits: "train" has services and behaviours for training; "test" has services, words and
behaviours that training never shows; "test_seen" has further tasks of the training services.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from toolmaster.tasksets.order import drawn
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import TEST, TRAIN, Taskset

TEST_SEEN = "test_seen"

COUNT = 10_000_000


def world(
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
    from toolmaster.world.behaviours import FAMILIES  # noqa: PLC0415
    from toolmaster.world.facts import Facts  # noqa: PLC0415
    from toolmaster.world.openapi import Documents  # noqa: PLC0415
    from toolmaster.world.tasks import World  # noqa: PLC0415 - the largest part of it

    made = Facts() if source == "facts" else Documents(Path(source)) if source else None
    chosen = [one.strip() for one in families.split(",")] if families else FAMILIES
    loaded = World(made, level, Path(source).stem, chosen)
    splits = {
        name: drawn(COUNT, lambda number, split=name: loaded.id_of(split, number))
        for name in (TRAIN, TEST, TEST_SEEN)
    }

    def draw(task_id: str) -> Task:
        return loaded.draw(task_id).task

    async def oracle(task_id: str, *settings: object) -> object:
        from toolmaster.teacher.world import show  # noqa: PLC0415 - only for training

        return await show(loaded, task_id, *settings)  # type: ignore[arg-type]

    name = "world" if level == "full" else f"world:{level}"
    name = f"{name} {Path(source).stem}" if source else name
    return Taskset.drawn(name, splits, draw, split_of, version=loaded.version, oracle=oracle)


def split_of(task_id: str) -> str:
    """The split of a world task's id."""
    return task_id.split("/")[1]
