"""Rewards: functions of a finished trajectory, `(Trajectory) -> float | PhaseReward | None`.

None leaves the rollout out of its group; a rollout that broke (`trajectory.error`) is always left
out, for it says nothing about the model. `format` and `correctness` are those of the paper (arXiv
2601.12762, section on GRPO), by rule; `judge` asks a model, as the paper does.

No reward rises by calling more or by calling nothing: costs are charged only to rollouts that
solved their task, and all costs together take at most half of what success is worth, so that among
rollouts of the same form an honest failure never beats a success.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from toolmaster.errors import ConfigError, InputError
from toolmaster.protocols import well_formed
from toolmaster.tools.python import find_object
from toolmaster.types import ErrorKind, Phase, Trajectory


class PhaseReward(NamedTuple):
    """A reward that tells the two phases apart; a plain number counts for both."""

    trial: float = 0.0
    execution: float = 0.0

    @property
    def total(self) -> float:
        """The mean of the phases: a plain number r is `PhaseReward(r, r)`, whose total is r."""
        return (self.trial + self.execution) / 2


Rewarded = float | PhaseReward | None
Reward = Callable[[Trajectory], "Rewarded | Awaitable[Rewarded]"]
"""From a finished trajectory to its reward, plain or async; None leaves the rollout out."""

COST_SHARE = 0.5
"""The most that all costs together take, as a share of what success is worth."""
INFORMATIVE_CALLS = 3
"""Trial calls that told something new after which a further one earns nothing."""


def format_reward(trajectory: Trajectory) -> float:
    """1 when it ended with an answer and every turn is a thought and one block, else 0."""
    turns = all(well_formed(step.text) for step in trajectory.steps)
    return float(trajectory.format_ok and turns)


def correctness(trajectory: Trajectory) -> float:
    """1 when the task is done, else 0."""
    return float(trajectory.success)


def score(trajectory: Trajectory) -> float:
    """How well the task was done, from 0 to 1, by the task's own score."""
    return trajectory.score.value if trajectory.score is not None else 0.0


def call_cost(trajectory: Trajectory) -> float:
    """Minus the number of calls of a rollout that solved its task; 0 for one that failed."""
    return -float(len(trajectory.calls())) if trajectory.success else 0.0


def execution_errors(trajectory: Trajectory) -> PhaseReward:
    """Minus the failed calls of the execution phase, for rollouts that solved their task."""
    failed = sum(step.error is not None for step in trajectory.calls(Phase.EXECUTION))
    return PhaseReward(execution=-float(failed)) if trajectory.success else PhaseReward()


def trial_information(trajectory: Trajectory) -> PhaseReward:
    """How much the trial found out, from 0 to 1: new results and new errors, never repetitions.

    Only rollouts that solved their task earn it, so that trying without an end is worth nothing.
    """
    if not trajectory.success:
        return PhaseReward()
    seen: set[tuple[str, str]] = set()
    for step in trajectory.calls(Phase.TRIAL):
        if step.call is not None and step.error is not ErrorKind.BUDGET_EXHAUSTED:
            seen.add((step.call.name, str(step.error or step.observation)))
    return PhaseReward(trial=min(len(seen), INFORMATIVE_CALLS) / INFORMATIVE_CALLS)


COSTS = ("call_cost", "execution_errors")
BUILT_IN: Mapping[str, Reward] = {
    "format": format_reward,
    "correctness": correctness,
    "score": score,
    "call_cost": call_cost,
    "execution_errors": execution_errors,
    "trial_information": trial_information,
}


def find_reward(named: str) -> Reward:
    """The reward of a name: a built-in one, `module:function` or `file.py:function`.

    Raises:
        ConfigError: no built-in reward has this name.
        InputError: the module cannot be loaded, or what is named is not a function.
    """
    if named in BUILT_IN:
        return BUILT_IN[named]
    if ":" not in named:
        close = difflib.get_close_matches(named, BUILT_IN, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(
            f"unknown reward {named!r}{hint}; allowed are {', '.join(BUILT_IN)}, judge, or a"
            " function of yours as file.py:NAME or package.module:NAME"
        )
    found = find_object(named)
    if not callable(found):
        raise InputError(f"reward {named!r} is a {type(found).__name__}, not a function")
    reward: Reward = found
    return reward


@dataclass(frozen=True)
class Rewards:
    """A weighted sum of rewards.

    Args:
        weights: reward, by name or as a function, to its weight.
        judge: what the name "judge" stands for; None where there is none.

    Raises:
        ConfigError: no rewards, an unknown name, or "judge" without one.
        InputError: a function that cannot be loaded.
    """

    weights: Mapping[Any, float]
    judge: Reward | None = None

    def __post_init__(self) -> None:
        if not any(self.weights.values()):
            raise ConfigError("GRPO needs at least one reward, such as correctness = 1.0")
        found: list[tuple[str, Reward, float]] = []
        for named, weight in self.weights.items():
            if weight == 0:
                continue
            if not isinstance(named, str):
                found.append((getattr(named, "__name__", repr(named)), named, weight))
            elif named != "judge":
                found.append((named, find_reward(named), weight))
            elif self.judge is None:
                raise ConfigError('the reward "judge" needs a model: set grpo.judge.model')
            else:
                found.append((named, self.judge, weight))
        object.__setattr__(self, "_found", found)

    async def of(self, trajectory: Trajectory) -> Rewarded:
        """The reward of a trajectory.

        Returns:
            A `PhaseReward` where one of the rewards tells the phases apart, else a number; None
            where the rollout broke or one of the rewards is None.

        Raises:
            InputError: a reward returned something else.
        """
        if trajectory.error is not None:
            return None
        gains, costs, success = PhaseReward(), PhaseReward(), 0.0
        by_phase = False
        for name, reward, weight in self._found:  # type: ignore[attr-defined]
            value: Any = reward(trajectory)
            if inspect.isawaitable(value):
                value = await value
            if value is None:
                return None
            by_phase |= isinstance(value, PhaseReward)
            part = _weighted(name, value, weight)
            if name in COSTS:
                costs = _added(costs, part)
            else:
                gains = _added(gains, part)
                success += part.total if name in ("correctness", "score", "judge") else 0.0
        floor = -COST_SHARE * max(success, 0.0)
        costs = PhaseReward(*(max(cost, floor) if success else cost for cost in costs))
        whole = _added(gains, costs)
        return whole if by_phase else whole.total

    async def close(self) -> None:
        """Close the connections of rewards that have some, such as a judge."""
        for _, reward, _ in self._found:  # type: ignore[attr-defined]
            close = getattr(reward, "close", None)
            if close is not None:
                await close()


def _weighted(name: str, value: Any, weight: float) -> PhaseReward:
    if isinstance(value, PhaseReward):
        return PhaseReward(weight * value.trial, weight * value.execution)
    if isinstance(value, bool | int | float) and not math.isnan(value):
        return PhaseReward(weight * value, weight * value)
    raise InputError(
        f"the reward {name!r} returned {value!r}; allowed are a number, a PhaseReward, or None to"
        " leave the rollout out"
    )


def _added(a: PhaseReward, b: PhaseReward) -> PhaseReward:
    return PhaseReward(a.trial + b.trial, a.execution + b.execution)
