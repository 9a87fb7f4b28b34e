"""`Limits`: how many turns and calls one session allows."""

from __future__ import annotations

from pydantic import Field

from toolmaster.config import Settings


class Limits(Settings):
    """Limits of one session."""

    max_turns: int = Field(12, ge=1)
    """The most assistant turns, of any kind, per message of the user."""
    invalid_turns: int = Field(3, ge=1)
    """The number of turns in a row with a format error that ends the session."""
    trial_calls: int = Field(6, ge=0)
    """The most calls in the trial phase."""
    result_chars: int = Field(2000, ge=20)
    """The most characters of one observation; the rest is cut, with a note."""


class AgentLimits(Limits):
    """Limits of an agent's session."""

    max_turns: int = Field(20, ge=1)
    """The most assistant turns, of any kind."""
