"""Experience that lasts: what was learned of a tool is kept and handed to later tasks.

`Experience.hand` before a task, `Experience.learn` after it; an `ExperienceStore` keeps the cards
in between.
"""

from toolmaster.experience.cards import Card, Evidence
from toolmaster.experience.handing import Experience, Handing
from toolmaster.experience.store import ExperienceStore, default_path

__all__ = ["Card", "Evidence", "Experience", "ExperienceStore", "Handing", "default_path"]
