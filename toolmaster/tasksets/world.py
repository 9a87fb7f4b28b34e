"""The embedded world as a task set: `world`, `world:calls` or `world:short`.

Its splits: "train" has services and behaviours for training; "test" has services, words and
behaviours that training never shows; "test_seen" has further tasks of the training services.
"""

from __future__ import annotations

import hashlib
import re
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
SOURCES = (
    'a source is "facts", a service or a folder of them in TOML, or an OpenAPI document (.json,'
    " .yaml) or a folder of them"
)


def world(
    level: Literal["full", "calls", "short"] = "full",
    *,
    source: str = "",
    families: str = "",
    behaviours: str = "",
) -> Taskset:
    """The embedded world: simulated services, some of which differ from their documentation.

    Args:
        level: "short" tasks have one message and few tools; "calls" one message and calls of many
            arguments; "full" ones are of any kind.
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
    services, name = _services(source), _name(source)
    loaded = World(services, level, name, chosen, own)
    splits = {split: Computed(COUNT, partial(loaded.id_of, split)) for split in loaded.names}

    def draw(task_id: str) -> Task:
        return loaded.draw(task_id).task

    async def oracle(task_id: str, *settings: object) -> object:
        from toolmaster.teacher.world import show  # noqa: PLC0415 - only for training

        return await show(loaded, task_id, *settings)  # type: ignore[arg-type]

    if source or families or behaviours:
        draw(next(iter(splits.values()))[0])  # refuses what can be drawn from nothing
    title = "world" if level == "full" else f"world:{level}"
    title = f"{title} {name.rpartition('-')[0] or name}" if source else title
    facts = getattr(services, "facts", {})
    options = {"version": loaded.version, "oracle": oracle, "facts": facts}
    return Taskset.drawn(title, splits, draw, split_of, **options)


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
    if place.is_dir() or place.suffix in openapi.SUFFIXES:
        return openapi.Documents(place)
    raise InputError(f"source {source!r}: unknown suffix {place.suffix!r}; {SOURCES}")


def _name(source: str) -> str:
    """Return what ids call a source: its name, and a hash where it is one's own.

    Of documents in a folder, the hash takes the names and sizes; of other files the content.
    """
    if source in ("", "facts"):
        return source
    place = Path(source).resolve()
    files = [place] if place.is_file() else sorted(place.rglob("*.*"))
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            whole = file == place or file.suffix == ".toml"
            digest.update(f"{file.relative_to(place)} {file.stat().st_size}\n".encode())
            digest.update(file.read_bytes() if whole else b"")
    name = place.name if place.is_dir() else place.stem
    return f"{re.sub('[^A-Za-z0-9._-]', '_', name)}-{digest.hexdigest()[:8]}"


def split_of(task_id: str) -> str:
    """Return the split of the id of a world task."""
    return task_id.split("/")[1]
