"""`RolloutCollector`: TRL's `rollout_func`, which runs the groups of one step with our engine."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object

from toolmaster.errors import PolicyError
from toolmaster.limits import Limits
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.processes import rank
from toolmaster.protocols import Protocol
from toolmaster.rewards import PhaseReward, Rewarded, Rewards
from toolmaster.rollouts import groups, run_rollouts
from toolmaster.tasksets import Taskset
from toolmaster.training.common import Log
from toolmaster.types import Phase, Trajectory


class RolloutCollector:
    """Runs the groups of one step.

    With several processes each rolls out its own prompts; `on_group` and `log` are called in the
    main one only, with the trajectories of all.

    Args:
        runner: the event loop of the whole training, in which the tasks' tools are open.
        tasks: the tasks.
        policy: generates; takes over the trained weights before each step.
        protocol: how trajectories are laid out.
        limits: what each session allows.
        rewards: score the rollouts.
        group_size: rollouts of one task.
        seed: of the sampling; with the step and the process it decides what is drawn, so that a
            training that goes on samples what the stopped one would have.
        on_group: receives the trajectories of each group that is trained on.
        log: receives numbers about all rollouts of a step, by TRL step.
    """

    def __init__(
        self,
        runner: asyncio.Runner,
        tasks: Taskset,
        policy: TransformersPolicy,
        protocol: Protocol,
        limits: Limits,
        rewards: Rewards,
        *,
        group_size: int,
        seed: int,
        on_group: Callable[[list[Trajectory]], None],
        log: Log,
    ) -> None:
        self._runner = runner
        self._tasks, self._policy = tasks, policy
        self._protocol, self._limits = protocol, limits
        self._rewards, self._size, self._seed = rewards, group_size, seed
        self._on_group, self._log = on_group, log

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        """Roll out `prompts`, each a JSON list of candidate task ids, G times a prompt.

        Returns:
            `prompt_ids`, `completion_ids`, `env_mask` and `reward`, one entry for each prompt;
            `logprobs` is None, see `grpo_trainer.RolloutTrainer`.

        Raises:
            PolicyError: every rollout broke, in this process or in another one, so that there is
                nothing to learn from.
        """
        step = trainer.state.global_step
        self._policy.load_weights(plain_weights(trainer))
        self._policy.name = f"grpo@{step}"
        self._policy.reseed(self._seed, step, rank())
        rows = prompts[:: self._size]
        finished, given, problem = self._roll_out(rows)
        problems = [text for text in gather_object([problem]) if text]
        if problems:  # told by all processes together: nobody waits for one that has gone
            raise PolicyError(problems[0])
        chosen = choose(given, self._size, len(rows))
        trajectories = [finished[index] for index in chosen]
        rewards = [given[index] for index in chosen]
        trainer.collected = (trajectories, rewards)
        self._report(trainer, finished, given, trajectories, step)
        return self._fields(trajectories, rewards)

    def _roll_out(self, rows: Sequence[str]) -> tuple[list[Trajectory], list[Rewarded], str]:
        """All rollouts of a step with their rewards, and what went wrong with them as a whole."""
        candidates = [task_id for row in rows for task_id in json.loads(row)]

        async def work() -> tuple[list[Trajectory], list[Rewarded]]:
            finished = await run_rollouts(
                groups([self._tasks[task_id] for task_id in candidates], self._size),
                self._policy,
                self._protocol,
                self._limits,
                concurrency=self._policy.sampling.slots,
            )
            for trajectory in finished:
                trajectory.taskset = self._tasks.label
            given = await asyncio.gather(*(self._rewards.of(t) for t in finished))
            return finished, list(given)

        try:
            finished, given = self._runner.run(work())
        except Exception as error:
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                return [], [], f"{type(error).__name__}: {error}"
            raise
        if all(t.error is not None for t in finished):
            return finished, given, f"every rollout of the step broke: {finished[0].error}"
        if all(reward is None for reward in given):
            return finished, given, "no rollout of the step has a reward: each one is None"
        return finished, given, ""

    def _fields(
        self, trajectories: Sequence[Trajectory], rewards: Sequence[Rewarded]
    ) -> dict[str, list[Any]]:
        tokens = [t.completion() for t in trajectories]
        end = self._policy.chat.end_of_turn_id
        # TRL cannot take an empty completion: a rollout that broke has one token, untrained.
        return {
            "prompt_ids": [t.prompt_ids or [end] for t in trajectories],
            "completion_ids": [t.token_ids or [end] for t in tokens],
            "env_mask": [t.mask or [0] for t in tokens],
            "logprobs": None,  # type: ignore[dict-item]
            "reward": [number(reward) for reward in rewards],
        }

    def _report(
        self,
        trainer: Any,
        finished: list[Trajectory],
        given: list[Rewarded],
        chosen: list[Trajectory],
        step: int,
    ) -> None:
        everyone, rewards = gather_object(finished), gather_object(given)
        everyone_chosen = gather_object(chosen)
        if not trainer.accelerator.is_main_process:
            return
        self._log(step, _numbers(everyone, rewards))
        for start in range(0, len(everyone_chosen), self._size):
            self._on_group(everyone_chosen[start : start + self._size])


def _numbers(finished: Sequence[Trajectory], rewards: Sequence[Rewarded]) -> dict[str, float]:
    whole = [t for t in finished if t.error is None]
    given = [found for reward in rewards if (found := number(reward)) is not None]

    def mean(values: Iterable[float]) -> float:
        return statistics.fmean(values)

    return {
        "rollout_broken": mean(t.error is not None for t in finished),
        "rollout_unrewarded": mean(reward is None for reward in rewards),
        "rollout_success": mean(t.success for t in whole),
        "rollout_reward": mean(given),
        "rollout_format": mean(t.format_ok for t in whole),
        "rollout_calls": mean(len(t.calls()) for t in whole),
        "rollout_trial_calls": mean(len(t.calls(Phase.TRIAL)) for t in whole),
        "rollout_tokens": mean(t.completion_tokens for t in whole),
    }


def number(reward: Rewarded) -> float | None:
    """A reward as one number."""
    return reward.total if isinstance(reward, PhaseReward) else reward


def choose(rewards: Sequence[Rewarded], group_size: int, count: int) -> list[int]:
    """Choose the groups whose rewards vary most.

    Args:
        rewards: of all rollouts, the members of a group side by side; None counts for nothing, and
            a group of which fewer than two are rewarded comes last.
        group_size: rollouts of one task.
        count: groups to choose.

    Returns:
        Indices of the rollouts of the chosen groups, in their order.
    """
    spreads = []
    for start in range(0, len(rewards), group_size):
        members = [found for r in rewards[start : start + group_size] if (found := _pair(r))]
        spread = -1.0
        if len(members) > 1:
            spread = sum(statistics.pstdev(values) for values in zip(*members, strict=True))
        spreads.append(spread)
    best = sorted(range(len(spreads)), key=lambda index: -spreads[index])[:count]
    return [group * group_size + member for group in sorted(best) for member in range(group_size)]


def _pair(reward: Rewarded) -> tuple[float, float] | None:
    if reward is None or isinstance(reward, PhaseReward):
        return reward
    return reward, reward


def plain_weights(trainer: Any) -> dict[str, torch.Tensor]:
    """The trained weights under the base model's own names, adapters added.

    The trained weights themselves are left as they are: adding and taking away an adapter at every
    step would let rounding drift into them.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not hasattr(model, "get_base_model"):
        return dict(model.state_dict())
    weights = {
        name.replace(".base_layer.", "."): tensor.clone()
        for name, tensor in model.get_base_model().state_dict().items()
        if ".lora_" not in name
    }
    for name, module in model.get_base_model().named_modules():
        if hasattr(module, "get_delta_weight"):
            for adapter in module.active_adapters:
                weights[f"{name}.weight"] += module.get_delta_weight(adapter)
    return weights
