"""The embedded world as a task set: `world` or `world:short`.

The split "train" has the domains and hidden behaviours of training, "test" has others, and
"test_seen" has further tasks of the training domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from toolmaster.errors import ConfigError, did_you_mean
from toolmaster.tasksets.order import Computed
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import TEST, TRAIN, Taskset

HELD_OUT = 90_000_000
"""Task numbers of at least this are never used for training."""
END = 100_000_000
TEST_SEEN = "test_seen"


def world(
    level: Literal["full", "short"] = "full",
    *,
    families: str = "plain,loud,silent,irreversible",
    domains: str = "",
    builtin: bool = True,
) -> Taskset:
    """The embedded world: tools over a small state, some of which differ from their documentation.

    Args:
        level: "short" tasks take one call and have documented tools; "full" ones have any length.
        families: families of hidden behaviours, separated by commas.
        domains: folders of further domains, each with a `domain.py`, separated by commas.
        builtin: whether to include the built-in domains.

    Raises:
        ConfigError: an unknown family.
        DomainError: a folder that is not a domain, or two domains of one name.
    """
    from toolmaster.world.quirks import FAMILIES  # noqa: PLC0415
    from toolmaster.world.tasks import LEVELS, World  # noqa: PLC0415 - the largest part of it all

    folders = [Path(folder.strip()) for folder in domains.split(",") if folder.strip()]
    loaded = World(folders, builtin=builtin, level=level)
    chosen = tuple(family.strip() for family in families.split(","))
    for family in chosen:
        if family not in FAMILIES:
            hint, allowed = did_you_mean(family, FAMILIES), ", ".join(FAMILIES)
            raise ConfigError(f"unknown family {family!r}{hint}; allowed: {allowed}")

    def ids(split: str, start: int, end: int) -> Sequence[str]:
        def make(index: int) -> str:
            number, family = divmod(index, len(chosen))
            return loaded.id_of(split, chosen[family], start + number)

        return Computed((end - start) * len(chosen), make)

    splits = {
        TRAIN: ("seen", 0, HELD_OUT),
        TEST: ("unseen", HELD_OUT, END),
        TEST_SEEN: ("seen", HELD_OUT, END),
    }
    present = {domain.split for domain in loaded.domains.values()}
    made = {name: ids(*place) for name, place in splits.items() if place[0] in present}

    def draw(task_id: str) -> Task:
        return loaded.draw(task_id).task

    async def oracle(task_id: str, *settings: object) -> object:
        from toolmaster.teacher.world import show  # noqa: PLC0415 - only for training

        return await show(loaded, task_id, *settings)  # type: ignore[arg-type]

    name = "world" if level == "full" else f"world:{level}"
    return Taskset.drawn(name, made, draw, split_of, version=LEVELS[level], oracle=oracle)


def split_of(task_id: str) -> str:
    """Return the split of the id of a world task."""
    _, split, _, _, number, *_ = task_id.split("/")
    if int(number) < HELD_OUT:
        return TRAIN if split == "seen" else TEST
    return TEST if split == "unseen" else TEST_SEEN
