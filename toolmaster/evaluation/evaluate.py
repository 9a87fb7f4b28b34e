"""Rollouts of one model on a task set, kept one by one so that a stopped evaluation goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolmaster.limits import Limits
from toolmaster.policies.base import Policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts
from toolmaster.runs import append_trajectory, read_trajectories
from toolmaster.tasksets import Task, Taskset
from toolmaster.types import Trajectory


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
