"""`RolloutCollector`: the `rollout_func` of TRL, which runs the rollouts of one step."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from accelerate.utils import gather_object

from toolmaster.errors import PolicyError
from toolmaster.limits import Limits
from toolmaster.policies.served import ServedPolicy
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rewards import PhaseReward, Rewarded, Rewards
from toolmaster.rollouts import groups, run_rollouts
from toolmaster.runs import CHECKPOINTS, append_trajectory, read_trajectories, write_records
from toolmaster.system.processes import is_main, rank
from toolmaster.tasksets import Taskset
from toolmaster.tools.running import describe_error
from toolmaster.training.common import last_checkpoint
from toolmaster.training.grpo_trainer import phase_pair
from toolmaster.training.sharding import plain_weights
from toolmaster.training.step_ahead import StepAhead
from toolmaster.types import Phase, Trajectory

if TYPE_CHECKING:
    from toolmaster.training.publisher import Publisher

Result = TypeVar("Result")
Step = tuple[list[Trajectory], list[Rewarded]]
"""All rollouts of a step and their rewards."""


class RolloutCollector:
    """Runs the groups of rollouts of one training step.

    Each process rolls out its own prompts. `on_group` is called in the main process only, with the
    trajectories of all processes.

    Args:
        runner: the event loop of the whole training, in which the tasks' tools are open.
        tasks: the tasks.
        policy: samples the turns; it gets the trained weights before each step.
        protocol: the trajectory format.
        limits: limits of each session.
        rewards: score the rollouts.
        group_size: the number of rollouts of one task.
        seed: seed of sampling. The samples depend on seed, step and process only, so that a resumed
            training draws the same ones.
        on_group: called with the trajectories of each group that is trained on.
        publisher: gives the trained weights to the servers of a `ServedPolicy`.
        ahead: samples the rollouts of a step while the one before is trained on; None samples them
            when they are needed.
    """

    _ahead: StepAhead[Step] | None = None

    def __init__(
        self,
        runner: asyncio.Runner,
        tasks: Taskset,
        policy: TransformersPolicy | ServedPolicy,
        protocol: Protocol,
        limits: Limits,
        rewards: Rewards,
        *,
        group_size: int,
        seed: int,
        on_group: Callable[[list[Trajectory]], None],
        publisher: Publisher | None = None,
        ahead: StepAhead[Step] | None = None,
    ) -> None:
        self._runner = runner
        self._tasks, self._policy = tasks, policy
        self._protocol, self._limits = protocol, limits
        self._rewards, self._size, self._seed = rewards, group_size, seed
        self._on_group = on_group
        self._publisher, self._ahead = publisher, ahead
        self._sampling: asyncio.Task[Any] | None = None
        self.numbers: dict[str, float] = {}
        """Metrics of all rollouts of this process in the last step, trained on or not."""

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        """Run the rollouts of `prompts`: JSON lists of candidate task ids, each repeated G times.

        Returns:
            `prompt_ids`, `completion_ids`, `env_mask` and `reward`, one entry for each prompt;
            `logprobs` is None unless TRL corrects the sampling, see
            `grpo_trainer.RolloutTrainer`.

        Raises:
            PolicyError: every rollout broke or has no reward, or another process failed.
        """
        step = trainer.state.global_step
        rows = prompts[:: self._size]
        sampled = together(lambda: None if self._ahead is None else self._ahead.take(rows))
        self._renew(trainer, step)
        self._policy.name = f"grpo@{step}"
        finished, scores = together(lambda: sampled or self._roll_out(rows))
        chosen = choose(scores, self._size, len(rows))
        trajectories = [finished[index] for index in chosen]
        rewards = [scores[index] for index in chosen]
        trainer.collected = (trajectories, rewards)
        self.numbers = {**_numbers(finished, scores), **self._rewards.numbers()}
        everyone = gather_object(trajectories)
        together(lambda: self._report_groups(everyone) if is_main() else None)
        if self._ahead is not None:
            self._policy.name = f"grpo@{step + 1}"
            self._ahead.start(rows, step, self._roll_out)
        return self._fields(trajectories, rewards)

    def _renew(self, trainer: Any, step: int) -> None:
        """Give the policy the trained weights."""
        if self._publisher is not None:
            self._publisher.publish(trainer, step)
        elif isinstance(self._policy, TransformersPolicy):
            self._policy.load_weights(plain_weights(trainer))
            self._policy.reseed(self._seed, step, rank())

    def close(self) -> None:
        """End the rollouts that are being sampled for a step that will not come."""
        if self._ahead is not None:
            self._ahead.close(self._cancel)

    def _cancel(self) -> None:
        if self._sampling is not None:
            self._runner.get_loop().call_soon_threadsafe(self._sampling.cancel)

    def reward(
        self,
        prompts: list[str],  # noqa: ARG002 - TRL's signature
        reward: list[float | None],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        """Log the metrics and return the rewards, which the rollouts already have; TRL calls it."""
        for name, value in self.numbers.items():
            log_metric(name, value)
        return reward

    def _roll_out(self, rows: Sequence[str]) -> Step:
        """Return all rollouts of a step and their rewards."""
        candidates = [task_id for row in rows for task_id in json.loads(row)]
        finished, rewards = self._runner.run(self._scored(candidates))
        if all(t.error is not None for t in finished):
            raise PolicyError(f"every rollout of the step broke: {finished[0].error}")
        if all(reward is None for reward in rewards):
            raise PolicyError(f"no rollout of the step has a reward: {self._rewards.left_out}")
        return finished, rewards

    async def _scored(self, task_ids: Sequence[str]) -> Step:
        """Run the rollouts of these tasks; reward each one as soon as it has ended."""
        self._sampling = asyncio.current_task()
        scoring: dict[int, asyncio.Task[Rewarded]] = {}

        def score(trajectory: Trajectory) -> None:
            trajectory.taskset = self._tasks.label
            scoring[id(trajectory)] = asyncio.create_task(self._rewards.of(trajectory))

        finished = await run_rollouts(
            groups([self._tasks[task_id] for task_id in task_ids], self._size),
            self._policy,
            self._protocol,
            self._limits,
            concurrency=self._policy.sampling.slots,
            on_finish=score,
        )
        return finished, list(await asyncio.gather(*(scoring[id(t)] for t in finished)))

    def _fields(
        self, trajectories: Sequence[Trajectory], rewards: Sequence[Rewarded]
    ) -> dict[str, list[Any]]:
        tokens = [t.completion() for t in trajectories]
        end = self._policy.chat.end_of_turn_id
        log_probs = [[math.nan if one is None else one for one in t.log_probs] for t in tokens]
        # TRL needs a token in each completion: a rollout that broke gets one that is not trained.
        return {
            "prompt_ids": [t.prompt_ids or [end] for t in trajectories],
            "completion_ids": [t.token_ids or [end] for t in tokens],
            "env_mask": [t.mask or [0] for t in tokens],
            "logprobs": [one or [math.nan] for one in log_probs] if self._ahead else None,  # type: ignore[dict-item]
            "reward": [number(reward) for reward in rewards],
        }

    def _report_groups(self, chosen: list[Trajectory]) -> None:
        for start in range(0, len(chosen), self._size):
            self._on_group(chosen[start : start + self._size])


def together(work: Callable[[], Result]) -> Result:
    """Call a function in every process; if it fails in one, raise in all, so that none waits.

    Raises:
        Exception: the error of `work` in this process.
        PolicyError: `work` failed in another process.
    """
    failure: Exception | None = None
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - raised below, after all processes know
        failure = error
    failures = gather_object(["" if failure is None else describe_error(failure)])
    if failure is not None:
        raise failure
    first = next(filter(None, failures), None)
    if first is not None:
        raise PolicyError(f"another process stopped the training: {first}")
    return result


def _numbers(finished: Sequence[Trajectory], rewards: Sequence[Rewarded]) -> dict[str, float]:
    mean = statistics.fmean
    whole = [t for t in finished if t.error is None]
    return {
        "rollout_broken": mean(t.error is not None for t in finished),
        "rollout_unrewarded": mean(reward is None for reward in rewards),
        "rollout_success": mean(t.success for t in whole),
        "rollout_reward": mean(value for r in rewards if (value := number(r)) is not None),
        "rollout_format": mean(t.format_ok for t in whole),
        "rollout_calls": mean(len(t.calls()) for t in whole),
        "rollout_trial_calls": mean(len(t.calls(Phase.TRIAL)) for t in whole),
        "rollout_tokens": mean(t.completion_tokens for t in whole),
    }


def number(reward: Rewarded) -> float | None:
    """Return a reward as one number."""
    return reward.total if isinstance(reward, PhaseReward) else reward


def choose(rewards: Sequence[Rewarded], group_size: int, count: int) -> list[int]:
    """Return the rollouts of the groups whose rewards vary most.

    Args:
        rewards: rewards of all rollouts, those of a group adjacent. None is ignored; a group with
            fewer than two rewards comes last.
        group_size: the number of rollouts of one task.
        count: the number of groups to choose.

    Returns:
        Indices of the rollouts of the chosen groups, in order.
    """
    spreads = []
    for start in range(0, len(rewards), group_size):
        members = [pair for r in rewards[start : start + group_size] if (pair := phase_pair(r))]
        spread = -1.0
        if len(members) > 1:
            spread = sum(statistics.pstdev(values) for values in zip(*members, strict=True))
        spreads.append(spread)
    best = sorted(range(len(spreads)), key=lambda index: -spreads[index])[:count]
    return [group * group_size + member for group in sorted(best) for member in range(group_size)]


def forget_redone(file: Path, checkpoint: Path | None) -> None:
    """Remove the rollouts of steps after the checkpoint from which training is resumed."""
    recorded = read_trajectories(file) if file.is_file() else []
    done = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
    remaining = [t for t in recorded if int(t.policy.rpartition("@")[2]) < done]
    if len(remaining) < len(recorded):
        write_records(file, remaining)


def keep_in(folder: Path) -> Callable[[list[Trajectory]], None]:
    """Return an `on_group` that appends to the `trajectories.jsonl` of a training's folder.

    Rollouts of steps that a resumed training repeats are removed first.
    """
    file = folder / "trajectories.jsonl"
    if is_main():
        forget_redone(file, last_checkpoint(folder / CHECKPOINTS))

    def keep(group: list[Trajectory]) -> None:
        for trajectory in group:
            append_trajectory(file, trajectory)

    return keep
