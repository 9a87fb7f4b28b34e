"""Demonstrations: from oracles, known-good calls and teacher models, filtered and kept."""

from toolmaster.teacher.demonstrations import Oracle, ademonstrate, demonstrate
from toolmaster.teacher.propose import apropose, propose
from toolmaster.teacher.settings import Behaviours, DemonstrationSettings

__all__ = [
    "Behaviours",
    "DemonstrationSettings",
    "Oracle",
    "ademonstrate",
    "apropose",
    "demonstrate",
    "propose",
]
