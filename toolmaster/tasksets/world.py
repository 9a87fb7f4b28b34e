"""The embedded world as a task set: `world` or `world:short`.

Its splits: "train" has services and behaviours for training; "test" has services, words and
behaviours that training never shows; "test_seen" has further tasks of the training services.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toolmaster.errors import InputError
from toolmaster.tasksets.order import Computed
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset

if TYPE_CHECKING:
    from toolmaster.world.tasks import Source

COUNT = 100_000_000
"""Number of tasks of each split."""
HASHED_FILES = 100
"""Ids of a source of more files tell their names and sizes only, not their contents."""
SUFFIXES = (".toml", ".json", ".yaml", ".yml")
SOURCES = (
    'a source is "facts", a service or a folder of them in TOML, or an OpenAPI document (.json,'
    " .yaml) or a folder of them"
)


def world(
    level: Literal["full", "short"] = "full",
    *,
    source: str = "",
    families: str = "",
    behaviours: str = "",
) -> Taskset:
    """The embedded world: simulated services, some of which differ from their documentation.

    Args:
        level: "short" tasks have one message and few tools; "full" ones are of any kind.
        source: what takes the place of the built-in services: "facts" for facts and formulas; a
            TOML file of a service, as in `toolmaster.world.spec`, or a folder of them; or an
            OpenAPI document or a folder of them.
        families: families of hidden behaviours, separated by commas; "" for all.
        behaviours: further kinds of hidden behaviours, as `module:NAME` or `file.py:NAME` of
            subclasses of `toolmaster.world.behaviours.Behaviour`, separated by commas.

    Raises:
        ConfigError: an unknown family, or something that is no kind of behaviour.
        InputError: a source that is not there or cannot be simulated.
    """
    from toolmaster.world.behaviours import FAMILIES, kinds_named  # noqa: PLC0415
    from toolmaster.world.tasks import World  # noqa: PLC0415 - the largest part of it all

    chosen = [one.strip() for one in families.split(",")] if families else list(FAMILIES)
    own = kinds_named(behaviours)
    services, named = _services(source), _named(source)
    loaded = World(services, level, named, chosen, own)
    splits = {split: Computed(COUNT, partial(loaded.id_of, split)) for split in loaded.names}

    def draw(task_id: str) -> Task:
        return loaded.draw(task_id).task

    async def oracle(task_id: str, *settings: object) -> object:
        from toolmaster.teacher.world import show  # noqa: PLC0415 - only for training

        return await show(loaded, task_id, *settings)  # type: ignore[arg-type]

    name = "world" if level == "full" else f"world:{level}"
    name = f"{name} {named.rpartition('-')[0] or named}" if named else name
    return Taskset.drawn(name, splits, draw, split_of, version=loaded.version, oracle=oracle)


def _services(source: str) -> Source | None:
    """Return where the services of a source come from; None for the built-in ones."""
    from toolmaster.world import facts, openapi, spec  # noqa: PLC0415

    if source in ("", "facts"):
        return facts.Facts() if source else None
    place = Path(source)
    if not place.exists():
        raise InputError(f"source {source!r}: there is no such file or folder; {SOURCES}")
    if place.suffix == ".toml" or (place.is_dir() and any(place.glob("*.toml"))):
        return spec.Specs(place)
    if place.is_dir() or place.suffix in SUFFIXES:
        return openapi.Documents(place)
    raise InputError(f"source {source!r}: unknown suffix {place.suffix!r}; {SOURCES}")


def _named(source: str) -> str:
    """Return what ids call a source: one's own has a hash of what it holds in its name."""
    if source in ("", "facts"):
        return source
    place = Path(source).resolve()
    files = [place]
    if place.is_dir():
        files = sorted(one for one in place.rglob("*") if one.suffix in SUFFIXES)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(place)} {file.stat().st_size} ".encode())
        if len(files) <= HASHED_FILES:
            digest.update(file.read_bytes())
    return f"{place.name if place.is_dir() else place.stem}-{digest.hexdigest()[:8]}"


def split_of(task_id: str) -> str:
    """Return the split of the id of a world task."""
    return task_id.split("/")[1]
