"""`Limits`: what one session allows."""

from __future__ import annotations

from pydantic import Field

from toolmaster.config import Settings


class Limits(Settings):
    """What a session allows."""

    max_turns: int = Field(12, ge=1)
    """Assistant turns to one message of the user, of any kind."""
    invalid_turns: int = Field(3, ge=1)
    """Turns in a row that break the format, after which the session ends."""
    trial_calls: int = Field(6, ge=0)
    """Calls allowed in the trial phase."""
    result_chars: int = Field(2000, ge=20)
    """Characters of one observation; the rest is cut, visibly."""


class AgentLimits(Limits):
    """What the session of an agent allows."""

    max_turns: int = Field(20, ge=1)
    """Assistant turns, of any kind."""
