"""Settings of the embedded world, spelt the same wherever its tasks are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.world.tasks import World

Seed = Annotated[int, Field(ge=0, lt=400)]
"""Which tasks a run trains on: 100,000 of each kind to a seed. Above 399 they are held-out ones."""


class WorldSettings(Settings):
    """Which tasks there are."""

    builtin: bool = True
    """Whether the built-in domains take part."""
    domains: tuple[Path, ...] = ()
    """Folders of further domains, each with a `domain.py`."""
    level: Literal["full", "short"] = "full"
    """Short tasks take one call, with documented tools; full ones are of any length."""
    families: tuple[str, ...] = ("plain", "loud", "silent", "irreversible")

    def load(self) -> World:
        """Import the domains."""
        return World(self.domains, builtin=self.builtin, level=self.level)
