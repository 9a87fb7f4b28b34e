"""The built-in rewards: functions of a finished trajectory.

`format` and `correctness` are the paper's (arXiv 2601.12762, section on GRPO), computed by rules.
Neither more calls nor no calls raise a reward: costs of calls and gains for trial information apply
only to rollouts that solved their task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from toolmaster.errors import ConfigError, InputError, did_you_mean
from toolmaster.protocols import well_formed
from toolmaster.tools.python import find_object
from toolmaster.types import ErrorKind, Phase, Trajectory


class PhaseReward(NamedTuple):
    """A reward that tells the two phases apart.

    Example:
        >>> PhaseReward(trial=0.5, execution=1.0).total
        0.75
    """

    trial: float = 0.0
    execution: float = 0.0

    @property
    def total(self) -> float:
        """The mean of the phases, so that the total of `PhaseReward(r, r)` is r."""
        return (self.trial + self.execution) / 2


Rewarded = float | PhaseReward | None
Reward = Callable[[Trajectory], "Rewarded | Awaitable[Rewarded]"]
"""A function, plain or async, from a finished trajectory to its reward."""

INFORMATIVE_CALLS = 3
"""Number of informative trial calls that earn the full reward."""


def format_reward(trajectory: Trajectory) -> float:
    """Return 1 if it ended with an answer and every turn is one thought and one block, else 0."""
    turns = all(well_formed(step.text) for step in trajectory.steps)
    return float(trajectory.format_ok and turns)


def correctness(trajectory: Trajectory) -> float | None:
    """Return 1 if the task is done, else 0; None if nothing scores the task."""
    return None if trajectory.score is None else float(trajectory.score.success)


def score(trajectory: Trajectory) -> float | None:
    """Return the task's own score, from 0 to 1; None if nothing scores the task."""
    return None if trajectory.score is None else trajectory.score.value


def call_cost(trajectory: Trajectory) -> float:
    """Return minus the number of calls if the task was solved, else 0."""
    return -float(len(trajectory.calls())) if trajectory.success else 0.0


def execution_errors(trajectory: Trajectory) -> PhaseReward:
    """Return minus the number of failed execution calls if the task was solved, else 0."""
    failed = sum(step.error is not None for step in trajectory.calls(Phase.EXECUTION))
    return PhaseReward(execution=-float(failed)) if trajectory.success else PhaseReward()


def trial_information(trajectory: Trajectory) -> PhaseReward:
    """Return the share of informative trial calls, from 0 to 1, if the task was solved, else 0.

    A call is informative if its tool gives a result or an error for the first time.
    """
    if not trajectory.success:
        return PhaseReward()
    found = min(len(trial_findings(trajectory)), INFORMATIVE_CALLS)
    return PhaseReward(trial=found / INFORMATIVE_CALLS)


def trial_findings(trajectory: Trajectory) -> set[tuple[str, str]]:
    """Return what the trial found out: tool and observation, or tool and kind of error."""
    return {
        (step.call.name, str(step.error or step.observation))
        for step in trajectory.calls(Phase.TRIAL)
        if step.call is not None and step.error is not ErrorKind.BUDGET_EXHAUSTED
    }


COSTS = ("call_cost", "execution_errors")
"""Rewards that are 0 or below: costs that only a success pays."""
MANNERS = ("format", "trial_information")
"""Rewards for how the task was approached; all others are for how well it was solved."""
BUILT_IN: Mapping[str, Reward] = {
    "format": format_reward,
    "correctness": correctness,
    "score": score,
    "call_cost": call_cost,
    "execution_errors": execution_errors,
    "trial_information": trial_information,
}


def find_reward(named: str) -> Reward:
    """Return the reward with this name: a built-in one, `module:function` or `file.py:function`.

    Raises:
        ConfigError: No built-in reward has this name.
        InputError: The module cannot be loaded, or the object is not a function.
    """
    if named in BUILT_IN:
        return BUILT_IN[named]
    if ":" not in named:
        raise ConfigError(
            f"unknown reward {named!r}{did_you_mean(named, BUILT_IN)}; allowed are"
            f" {', '.join(BUILT_IN)}, judge, or a function of yours as file.py:NAME or"
            " package.module:NAME"
        )
    function = find_object(named)
    if not callable(function):
        raise InputError(f"reward {named!r} is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]
