"""The processes of one run, as `torchrun` and `accelerate launch` start them; no torch needed."""

from __future__ import annotations

import os

from toolmaster.errors import ConfigError


def count() -> int:
    """How many processes share the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The index of this process among them."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return rank() == 0


def need_one(stage: str) -> None:
    """Refuse to run a stage that does not share its work among processes.

    Raises:
        ConfigError: several processes were started.
    """
    if count() > 1:
        raise ConfigError(
            f"`{stage}` runs in one process, not in {count()}; launch only `sft` and `grpo` with"
            " several, and the other stages plainly"
        )
