"""The embedded world: domains, the quirks that hide in their tools, and an endless supply of tasks.

`domain` is what a domain author uses; `quirks` are the hidden behaviours; `surface` dresses tools
in names and documentation nobody has seen; `tasks` puts them together from a task id.
"""

from toolmaster.world.domain import Amount, Domain, Kind, Name, Plan, Position, Word
from toolmaster.world.tasks import World, WorldTask

__all__ = ["Amount", "Domain", "Kind", "Name", "Plan", "Position", "Word", "World", "WorldTask"]
