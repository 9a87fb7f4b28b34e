"""The tasks of a GRPO training: their order, and the context that keeps their tools open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from toolmaster.errors import ConfigError
from toolmaster.system import processes
from toolmaster.tasksets import Isolation, Taskset

LONGEST_EPOCH = 1_000_000
"""The most tasks of an epoch; `max_steps` has no such limit."""
GRPO_SEEDS = 500
"""Added to the seed, so that GRPO uses other tasks than the demonstrations of the same seed."""


def task_rows(tasks: Taskset, config: Any, oversample: int, seed: int) -> list[list[str]]:
    """Return the candidate task ids of each group of a training; tasks repeat when used up.

    Args:
        tasks: the tasks to practise on.
        config: TRL's configuration; `max_steps`, or else `num_train_epochs`, sets the number of
            groups.
        oversample: the number of candidates of each group.
        seed: seed of the order.

    Raises:
        ConfigError: an epoch is asked for, but the task set has no end.
    """
    ids = tasks.shuffled(seed + GRPO_SEEDS).ids
    together = config.per_device_train_batch_size * config.gradient_accumulation_steps
    groups = together * processes.count() // config.num_generations
    if config.max_steps > 0:
        steps = -(-config.max_steps // config.num_iterations)
    elif len(ids) > LONGEST_EPOCH:
        raise ConfigError(
            f"{tasks.label} has {len(ids)} tasks, too many for num_train_epochs; give max_steps, or"
            " add tasks=N to the name for its first N tasks"
        )
    else:
        steps = -(-len(ids) // (oversample * groups))
    count = steps * groups  # TRL drops groups that do not fill a step
    chosen = [ids[i % len(ids)] for i in range(count * oversample)]
    return [chosen[i : i + oversample] for i in range(0, len(chosen), oversample)]


def refuse_shared_state(tasks: Taskset, rows: Sequence[Sequence[str]], *, live_tools: bool) -> None:
    """Refuse tasks whose rollouts would change the same real state.

    Raises:
        ConfigError: there is such a task, and `live_tools` is not set.
    """
    if live_tools:
        return
    for task_id in dict.fromkeys(task_id for row in rows for task_id in row):
        if tasks[task_id].isolation() is Isolation.SHARED:
            raise ConfigError(
                f"the rollouts of task {task_id!r} would all use the same real tools; let the"
                " task's `tools` be a function that makes fresh ones, or an object that can be"
                " copied, or set grpo.live_tools = true if they may do so"
            )


@contextmanager
def opened(tasks: Taskset, runner: asyncio.Runner) -> Iterator[None]:
    """Keep a task set open in the runner's event loop; one asyncio task opens and closes it."""
    done: asyncio.Event

    async def hold(ready: asyncio.Future[None]) -> None:
        try:
            async with tasks.open():
                ready.set_result(None)
                await done.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def begin() -> asyncio.Task[None]:
        nonlocal done
        done = asyncio.Event()
        ready = asyncio.get_running_loop().create_future()
        holding = asyncio.create_task(hold(ready))
        await ready
        return holding

    async def end() -> None:
        done.set()
        await holding

    holding = runner.run(begin())
    try:
        yield
    finally:
        runner.run(end())
