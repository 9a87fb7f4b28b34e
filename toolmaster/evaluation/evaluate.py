"""Evaluation: rollouts of one model on held-out tasks, kept one by one so that it can resume."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from toolmaster.policies.base import Policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts
from toolmaster.runs import append_trajectory, read_trajectories
from toolmaster.session import Limits
from toolmaster.types import Trajectory
from toolmaster.world.tasks import World

HELD_OUT = 90_000_000
"""Task numbers from here on are never used for training."""


def held_out_ids(
    world: World, families: Sequence[str], *, unseen: int, seen: int, start: int = HELD_OUT
) -> list[str]:
    """Ids of evaluation tasks, unseen domains first."""
    ids = []
    for split, count in (("unseen", unseen), ("seen", seen)):
        if count:
            ids += world.ids(split, count, families, start)
    return ids


def evaluate(
    task_ids: Sequence[str],
    world: World,
    policy: Policy,
    protocol: Protocol,
    limits: Limits,
    file: Path,
    *,
    concurrency: int,
    on_finish: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Run the tasks that `file` does not hold yet, appending each trajectory as it ends.

    Args:
        task_ids: what to run.
        world: draws the tasks.
        policy: who is measured.
        protocol: how trajectories are laid out.
        limits: of each session.
        file: a `trajectories.jsonl`.
        concurrency: sessions in flight.
        on_finish: called with each new trajectory.

    Returns:
        The trajectories of all `task_ids`, in order. Rollouts that broke are kept and count as
        failures; they are run again when the evaluation is started again.
    """
    running = collect(
        task_ids,
        lambda task_id: RolloutRequest(world.draw(task_id).task),
        policy,
        protocol,
        limits,
        file,
        concurrency=concurrency,
        on_finish=on_finish,
    )
    return asyncio.run(running)


async def collect(
    task_ids: Sequence[str],
    request: Callable[[str], RolloutRequest],
    policy: Policy,
    protocol: Protocol,
    limits: Limits,
    file: Path,
    *,
    concurrency: int,
    on_finish: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """What `evaluate` does, for tasks from anywhere: `request` makes the rollout of a task id."""
    held = read_trajectories(file) if file.is_file() else []
    finished = {t.task_id: t for t in held if t.error is None}

    def record(trajectory: Trajectory) -> None:
        append_trajectory(file, trajectory)
        finished[trajectory.task_id] = trajectory
        if on_finish is not None:
            on_finish(trajectory)

    missing = [task_id for task_id in task_ids if task_id not in finished]
    await run_rollouts(
        map(request, missing), policy, protocol, limits, concurrency=concurrency, on_finish=record
    )
    return [finished[task_id] for task_id in task_ids]
