"""Hidden behaviours of tools, each in one class, one module a family.

* `loud`: a wrong call is refused and the error tells what is expected.
* `silent`: nothing tells; calling the documented example reveals it.
* `irreversible`: a write that does something else than it seems to; reading back reveals it.

A `Quirk` stands between a canonical tool and what the policy sees. It works both ways: `run` is
what the tool really does with the arguments it receives, `send` and `accept` are how one who knows
it calls the tool and reads its result. Kinds used for training (`seen`) and kinds kept for
evaluation (`unseen`) are disjoint: `KINDS` is the one list.
"""

from __future__ import annotations

from toolmaster.world.quirks import irreversible, loud, silent
from toolmaster.world.quirks.base import Quirk

KINDS: tuple[type[Quirk], ...] = (Quirk, *loud.KINDS, *silent.KINDS, *irreversible.KINDS)
FAMILIES = ("plain", "loud", "silent", "irreversible")

__all__ = ["FAMILIES", "KINDS", "Quirk"]
