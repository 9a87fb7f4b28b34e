"""Teachers written as generators, which yield turns and receive observations."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from toolmaster.errors import PolicyError
from toolmaster.limits import Limits
from toolmaster.policies.base import Completion
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.types import Role, Trajectory

Turns = Generator[Completion, str, None]
"""A generator that yields turns and receives observations."""


@dataclass(slots=True)
class Acting:
    """A conversation whose turns come from a generator."""

    turns: Turns
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    observation: str | None = None

    async def complete(self) -> Completion:
        """Return the generator's next turn.

        Raises:
            PolicyError: the generator ended before the task did.
        """
        try:
            if self.observation is None:
                return next(self.turns)
            return self.turns.send(self.observation)
        except StopIteration:
            raise PolicyError("the teacher has no more turns, and the task is not over") from None

    def observe(self, observation: str, role: Role = "tool") -> list[int]:  # noqa: ARG002
        """Store the observation for the next turn."""
        self.observation = observation
        return []


async def succeeds_again(
    trajectory: Trajectory, request: RolloutRequest, protocol: Protocol, limits: Limits
) -> bool:
    """Return whether the same turns also solve the task in a fresh session."""
    policy = ScriptedPolicy([step.text for step in trajectory.steps])
    return (await run_rollout(request, policy, protocol, limits)).success
