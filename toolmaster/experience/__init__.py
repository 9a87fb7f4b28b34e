"""Experience that lasts: what was learned of a tool is kept and handed to later tasks.

`hand` before a task, `learn` after it; an `ExperienceStore` keeps the cards in between.
"""

from toolmaster.experience.cards import Card, Evidence
from toolmaster.experience.handing import Handing, hand, learn
from toolmaster.experience.store import ExperienceStore, default_path

__all__ = ["Card", "Evidence", "ExperienceStore", "Handing", "default_path", "hand", "learn"]
