"""`evaluate`: one model on one task set, kept one by one so that a stopped evaluation goes on.

result = evaluate("runs/sft/model", "world:short tasks=200", out="results.jsonl")
print(result)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError, PolicyError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.limits import Limits
from toolmaster.plain import plain
from toolmaster.policies.base import Policy, RoomySampling, Sampling
from toolmaster.policies.loading import open_policy
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.provenance import read_training
from toolmaster.rollouts import RolloutRequest, run_rollouts
from toolmaster.runs import append_trajectory, read_trajectories
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.replay import REPLAY, missing, replay_policy, replays_of
from toolmaster.tasksets.taskset import TEST
from toolmaster.types import Trajectory


def evaluate(model: str | Path | Policy, tasks: Any, **options: Any) -> Evaluation:
    """Measure a model on a task set; the form without `await` of `aevaluate`."""
    return plain(aevaluate(model, tasks, **options))


async def aevaluate(
    model: str | Path | Policy,
    tasks: Any,
    *,
    rollouts: int = 1,
    out: str | Path | None = None,
    protocol: Protocol = Protocol.TRIAL,
    limits: Limits | None = None,
    sampling: Sampling | None = None,
    on_finish: Callable[[Trajectory], None] | None = None,
    **model_options: Any,
) -> Evaluation:
    """Measure a model on a task set.

    Tasks that the model was trained on are left out, and the result says how many.

    Args:
        model: `openai:NAME`, a checkpoint folder or a model id of the Hub; a `Policy`; or "replay"
            for the tasks' own known-good calls, `replay:FILE` for those of a file.
        tasks: a task set, or whatever `taskset` opens; its own test split where it has one and no
            other is named.
        rollouts: how often each task is run.
        out: a JSON-lines file of trajectories, from which a stopped evaluation goes on.
        protocol: how trajectories are laid out.
        limits: what each session allows; None for what the task set says.
        sampling: how the model generates; `slots` rollouts are in flight.
        on_finish: called with each new trajectory.
        model_options: `base_url`, `spelling` and `seed`, see `policies.loading.load_policy`.

    Raises:
        ConfigError: the task set's line cannot be understood.
        InputError: no such model, no tasks left to measure on, or a file that cannot be used.
        PolicyError: no rollout was answered at all.
    """
    chosen = taskset(tasks, default=TEST).for_evaluation()
    measured, trained = _untrained(chosen, model)
    facts = {**measured.facts, **({"left out, trained on": f"{trained} tasks"} if trained else {})}
    sampling = sampling or RoomySampling()
    acting: Any = RolloutRequest
    named: str | Policy = str(model) if isinstance(model, Path) else model
    if isinstance(named, str) and named.partition(":")[0] == REPLAY:
        measured, acting, left = _replayed(measured, named.partition(":")[2], protocol)
        facts |= {"without known-good calls": f"{left} tasks"} if left else {}
        named = ScriptedPolicy((), REPLAY)
    async with open_policy(named, sampling, **model_options) as policy:
        trajectories = await collect(
            measured,
            policy,
            protocol,
            limits or measured.limits or Limits(),
            None if out is None else Path(out),
            rollouts=rollouts,
            concurrency=sampling.slots,
            request=acting,
            on_finish=on_finish,
        )
    broken = [t.error for t in trajectories if t.error is not None]
    if len(broken) == len(trajectories):
        raise PolicyError(f"all {len(broken)} rollouts broke; the first: {broken[0]}")
    return Evaluation(trajectories, policy.name, facts)


def _untrained(tasks: Taskset, model: str | Path | Policy) -> tuple[Taskset, int]:
    """The tasks that the model was not trained on, and how many are left out.

    Raises:
        InputError: none is left.
    """
    folder = Path(str(model).removeprefix("hf:")) if isinstance(model, str | Path) else None
    training = None if folder is None else read_training(folder)
    known = set() if training is None else set(training.task_ids).intersection(tasks.ids[:])
    left = tasks.without(known) if known else tasks
    if not len(left):
        told = f"all {len(known)} tasks were trained on" if known else "it has no tasks"
        raise InputError(f"nothing to measure in {tasks.label}: {told}")
    return left, len(known)


def _replayed(tasks: Taskset, file: str, protocol: Protocol) -> tuple[Taskset, Any, int]:
    """The tasks with known-good calls, how they are run, and how many have none."""
    replays = replays_of(tasks, Path(file) if file else None)
    without = missing(tasks, replays)

    def request(task: Task, rollout: int) -> RolloutRequest:
        return RolloutRequest(task, rollout, policy=replay_policy(replays[task.id], protocol))

    return tasks.without(without), request, len(without)


async def collect(
    tasks: Taskset,
    policy: Policy,
    protocol: Protocol,
    limits: Limits,
    file: Path | None,
    *,
    rollouts: int = 1,
    concurrency: int,
    request: Callable[[Task, int], RolloutRequest] = RolloutRequest,
    on_finish: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Run the rollouts that `file` does not hold yet, appending each trajectory as it ends.

    Args:
        tasks: what is run.
        policy: the model that is measured.
        protocol: how trajectories are laid out.
        limits: what each session allows.
        file: a `trajectories.jsonl`; None keeps nothing.
        rollouts: how often each task is run.
        concurrency: sessions in flight.
        request: makes the request of a task and the number of its rollout.
        on_finish: called with each new trajectory.

    Returns:
        The trajectories of all tasks, in order, the rollouts of one task side by side. Rollouts
        that broke are kept and run again when the evaluation is started again.

    Raises:
        InputError: the file or the tools of the task set cannot be used.
        PermanentPolicyError: the policy will answer nothing at all.
    """
    held = read_trajectories(file) if file is not None and file.is_file() else []
    finished = {(t.task_id, t.rollout): t for t in held if t.error is None}

    def record(trajectory: Trajectory) -> None:
        trajectory.taskset = tasks.label
        if file is not None:
            append_trajectory(file, trajectory)
        finished[trajectory.task_id, trajectory.rollout] = trajectory
        if on_finish is not None:
            on_finish(trajectory)

    wanted = [(task_id, rollout) for task_id in tasks.ids for rollout in range(rollouts)]
    missing = [place for place in wanted if place not in finished]
    async with tasks.open():
        await run_rollouts(
            (request(tasks[task_id], rollout) for task_id, rollout in missing),
            policy,
            protocol,
            limits,
            concurrency=concurrency,
            on_finish=record,
        )
    return [finished[place] for place in wanted]
