"""The processes of one training, as `torchrun` and `accelerate launch` start them."""

from __future__ import annotations

import os

from toolmaster.errors import ConfigError


def count() -> int:
    """Return the number of processes that share the training."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the index of this process among them."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Return whether this process writes files and shows progress."""
    return rank() == 0


def need_one(stage: str) -> None:
    """Refuse to run a stage in several processes that cannot share its work.

    Raises:
        ConfigError: several processes were started.
    """
    if count() > 1:
        raise ConfigError(
            f"`{stage}` runs in one process, not in {count()}; launch only `sft` and `grpo` with"
            " several, and the other stages plainly"
        )
