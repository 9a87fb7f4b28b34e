"""Experience that lasts: lessons about tools are kept and given to later tasks.

Call `Experience.retrieve` before a task and `Experience.learn` after it; an `ExperienceStore` keeps
the lessons in between.
"""

from toolmaster.experience.experience import Experience, Retrieved
from toolmaster.experience.lesson import Lesson
from toolmaster.experience.store import ExperienceStore, default_path

__all__ = ["Experience", "ExperienceStore", "Lesson", "Retrieved", "default_path"]
