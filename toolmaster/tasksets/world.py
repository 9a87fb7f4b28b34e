"""The embedded world as a task set: `world` or `world:short`.

Its splits: "train" has services and behaviours for training; "test" has services, words and
behaviours that training never shows; "test_seen" has further tasks of the training services.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from toolmaster.errors import ConfigError, did_you_mean
from toolmaster.tasksets.order import Computed
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import TEST, TRAIN, Taskset

TEST_SEEN = "test_seen"
COUNT = 100_000_000
"""Number of tasks of each split."""


def world(
    level: Literal["full", "short"] = "full", *, source: str = "", families: str = ""
) -> Taskset:
    """The embedded world: simulated services, some of which differ from their documentation.

    Args:
        level: "short" tasks have one message and few tools; "full" ones are of any kind.
        source: what takes the place of the built-in services: "facts" for facts and formulas, or
            an OpenAPI document or a folder of them.
        families: families of hidden behaviours, separated by commas; "" for all.

    Raises:
        ConfigError: an unknown family.
        InputError: a source that is not there or cannot be simulated.
    """
    from toolmaster.world.behaviours import FAMILIES  # noqa: PLC0415
    from toolmaster.world.facts import Facts  # noqa: PLC0415
    from toolmaster.world.openapi import Documents  # noqa: PLC0415
    from toolmaster.world.tasks import World  # noqa: PLC0415 - the largest part of it all

    chosen = [one.strip() for one in families.split(",")] if families else list(FAMILIES)
    for family in chosen:
        if family not in FAMILIES:
            hint, allowed = did_you_mean(family, FAMILIES), ", ".join(FAMILIES)
            raise ConfigError(f"unknown family {family!r}{hint}; allowed: {allowed}")
    services = Facts() if source == "facts" else Documents(Path(source)) if source else None
    loaded = World(services, level, Path(source).stem, chosen)
    splits = {
        split: Computed(COUNT, partial(loaded.id_of, split))
        for split in (TRAIN, TEST, TEST_SEEN)
        if loaded.names(split)
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
    """Return the split of the id of a world task."""
    return task_id.split("/")[1]
