"""The built-in rewards: functions of a finished trajectory.

`format` and `correctness` are those of the paper (arXiv 2601.12762, section on GRPO), by rule. No
reward rises by calling more or by calling nothing: only rollouts that solved their task pay for
calls, and only they earn something for what their trial found out.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

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

INFORMATIVE_CALLS = 3
"""Trial calls that told something new after which a further one earns nothing."""


def format_reward(trajectory: Trajectory) -> float:
    """1 when it ended with an answer and every turn is a thought and one block, else 0."""
    turns = all(well_formed(step.text) for step in trajectory.steps)
    return float(trajectory.format_ok and turns)


def correctness(trajectory: Trajectory) -> float | None:
    """1 when the task is done, else 0; None where the task has no rule to tell."""
    return None if trajectory.score is None else float(trajectory.score.success)


def score(trajectory: Trajectory) -> float | None:
    """How well the task was done, from 0 to 1, by its own score; None where it has none."""
    return None if trajectory.score is None else trajectory.score.value


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
"""Rewards that a success pays for how it was reached."""
MANNERS = ("format", "trial_information")
"""Rewards for how it was tried; all others say how well the task was done."""
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
