"""`Rewards`: a weighted sum of rewards in which success always outweighs costs.

All costs together are bounded by half of what success is worth. So of two rollouts with the same
format reward, a failure never beats a success, for any weights.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from toolmaster.errors import ConfigError, InputError, ToolmasterError
from toolmaster.rewards.builtin import COSTS, MANNERS, PhaseReward, Reward, Rewarded, find_reward
from toolmaster.tools.running import describe_error
from toolmaster.types import Trajectory

COST_SHARE = 0.5
"""Bound on the sum of all costs, as a share of what success is worth."""


class Rewards:
    """A weighted sum of rewards.

    Args:
        weights: Maps each reward, a name or a function, to its weight; weight 0 leaves it out.
        judge: The reward that the name "judge" stands for; None if there is none.

    Raises:
        ConfigError: There is no reward, a name is unknown, a weight is below 0, or "judge" is named
            without a judge.
        InputError: A function cannot be loaded.

    Example:
        >>> Rewards({"format": 0.2, "correctness": 1.0, "call_cost": 0.02}).left_out
        ''
    """

    def __init__(self, weights: Mapping[Any, float], judge: Reward | None = None) -> None:
        self._weighted: list[tuple[str, Reward, float]] = []
        for named, weight in weights.items():
            name = named if isinstance(named, str) else getattr(named, "__name__", repr(named))
            if not 0 <= weight < math.inf:
                raise ConfigError(f"the weight of a reward is 0 or more, {name!r} has {weight!r}")
            if not weight:
                continue
            reward = judge if named == "judge" else named
            if reward is None:
                raise ConfigError('the reward "judge" needs a model: set grpo.judge.model')
            found = find_reward(reward) if isinstance(reward, str) else reward
            self._weighted.append((name, found, weight))
        if not self._weighted:
            raise ConfigError("GRPO needs at least one reward, such as correctness = 1.0")
        self.left_out = ""
        """Reason why the last rollout was left out of its group; "" if none was."""

    async def of(self, trajectory: Trajectory) -> Rewarded:
        """Return the reward of a trajectory.

        Returns:
            A `PhaseReward` if one of the rewards tells the phases apart, else a number. None if the
            rollout broke or one of the rewards is None.

        Raises:
            InputError: A reward failed, or returned a value of another type.
        """
        if trajectory.error is not None:
            self.left_out = f"the rollout broke: {trajectory.error}"
            return None
        gains, costs = [0.0, 0.0], [0.0, 0.0]  # of the trial and the execution
        success, by_phase = 0.0, False
        for name, reward, weight in self._weighted:
            value = await _value(name, reward, trajectory)
            if value is None:
                self.left_out = _reason(name, reward, trajectory)
                return None
            by_phase |= isinstance(value, PhaseReward)
            phases = _as_phases(name, value)
            sums = costs if name in COSTS else gains
            for index, part in enumerate(phases):
                sums[index] += weight * part
            if name not in (*COSTS, *MANNERS):
                success += weight * phases.total
        most = COST_SHARE * max(success, 0.0)
        trial, execution = (
            gain + max(cost, -most) for gain, cost in zip(gains, costs, strict=True)
        )
        whole = PhaseReward(trial, execution)
        return whole if by_phase else whole.total

    async def check(self) -> None:
        """Check that the endpoint of each reward that has one, such as a judge, answers.

        Raises:
            PolicyError: An endpoint does not answer.
        """
        for check in self._methods("check"):
            await check()

    async def close(self) -> None:
        """Close the connections of rewards that use an endpoint."""
        for close in self._methods("close"):
            await close()

    def numbers(self) -> dict[str, float]:
        """Return the numbers that rewards count, such as the tokens of a judge and their cost."""
        return {key: count for one in self._methods("numbers") for key, count in one().items()}

    def _methods(self, name: str) -> list[Any]:
        """Return a method of each reward that has it."""
        return [getattr(r, name) for _, r, _ in self._weighted if hasattr(r, name)]


async def _value(name: str, reward: Reward, trajectory: Trajectory) -> Any:
    try:
        value: Any = reward(trajectory)
        return await value if inspect.isawaitable(value) else value
    except ToolmasterError:
        raise
    except Exception as error:
        raise InputError(
            f"the reward {name!r} failed on task {trajectory.task_id!r}: {describe_error(error)}"
        ) from error


def _as_phases(name: str, value: Any) -> PhaseReward:
    """Return a value as a `PhaseReward`; a plain number counts for both phases."""
    if isinstance(value, PhaseReward):
        return value
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return PhaseReward(value, value)
    raise InputError(
        f"the reward {name!r} returned {value!r}; allowed are a number, a PhaseReward, or None to"
        " leave the rollout out"
    )


def _reason(name: str, reward: Reward, trajectory: Trajectory) -> str:
    """Return why the value of a reward is None."""
    fault = getattr(reward, "fault", None)
    if fault:
        return f"{name}: {fault}"
    hint = ""
    if trajectory.score is None and name in ("correctness", "score"):
        hint = "; the task has neither an answer nor a check: use a reward that needs none of these"
    return f"{name} is None for task {trajectory.task_id!r}{hint}"
