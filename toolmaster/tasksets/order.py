"""Task ids that are computed one by one, and the order of ids for a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

STEP = 400_000
"""How far apart two seeds start in ids that are computed on demand."""


@dataclass(frozen=True, slots=True)
class Computed(Sequence[str]):
    """Task ids that are computed one by one, in an order that is random already."""

    length: int
    make: Callable[[int], str]
    """Makes the id of a number from 0 to the length."""
    start: int = 0
    """The number of the first id; after the last number comes 0."""

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return tuple(self[index] for index in range(*key.indices(self.length)))
        index = key + self.length if key < 0 else key
        if not 0 <= index < self.length:
            raise IndexError(f"no position {key} in {self.length} task ids")
        return self.make((self.start + index) % self.length)


def reorder(ids: Sequence[str], seed: int) -> Sequence[str]:
    """Return the same ids in another order, which depends on the seed alone.

    Ids that are computed on demand are already in random order: another seed starts at another
    position in them.
    """
    if isinstance(ids, Computed):
        return Computed(ids.length, ids.make, seed * STEP)
    return tuple(random.Random(f"shuffle/{seed}").sample(ids, len(ids)))
