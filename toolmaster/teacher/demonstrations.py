"""Demonstrations of any task set: trajectories that solve their task, for a model to learn from.

    demonstrations = demonstrate(taskset("world:short").split("train")[:1000])
    demonstrations = demonstrate("bfcl:simple_python", protocol="direct")
    demonstrations = demonstrate(tasks, teacher="openai:NAME", output_dir="runs/demonstrations")

Candidates come from the task set's oracle, from the known-good calls of its tasks, or from a
teacher model (`candidates`). Rules and a judge select among them (`selection`). `collecting`
repeats this until there are enough.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from toolmaster.config import load_config
from toolmaster.errors import InputError
from toolmaster.judges.json_endpoint import JsonEndpoint
from toolmaster.judges.response_cache import ResponseCache
from toolmaster.limits import Budget, BudgetSettings, Limits
from toolmaster.policies.base import Policy
from toolmaster.policies.loading import check_model
from toolmaster.protocols import Protocol
from toolmaster.runs import Run, read_trajectories, write_records
from toolmaster.system.extras import require
from toolmaster.system.plain import plain
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.taskset import TRAIN
from toolmaster.teacher.candidates import TEACHER, free_teacher, model_teacher
from toolmaster.teacher.collecting import Collector
from toolmaster.teacher.dataset import write_dataset
from toolmaster.teacher.judge import JUDGE, DemonstrationJudge
from toolmaster.teacher.selection import Selection
from toolmaster.teacher.settings import CHANGEABLE, DemonstrationSettings
from toolmaster.types import Trajectory

ENDLESS = 100_000
"""Number of tasks above which `count` must be given."""
Oracle = Callable[[str, Protocol, Limits, DemonstrationSettings], Awaitable[Trajectory | None]]
"""The type of `Taskset.oracle`: a function that demonstrates a task, by id, without a model.

It returns a trajectory that solves the task in a session of its own, or None. The same arguments
must give the same trajectory. It uses the settings `behaviours` and `known_share`.
"""


def demonstrate(tasks: str | Taskset | Iterable[Task], **settings: Any) -> list[Trajectory]:
    """Make demonstrations of tasks; blocking version of `ademonstrate`.

    Example:
        >>> [made] = demonstrate("world:short split=train tasks=1")
        >>> made.success
        True
    """
    return plain(ademonstrate(tasks, **settings))


async def ademonstrate(
    tasks: str | Taskset | Iterable[Task],
    *,
    teacher: str | Policy | None = None,
    count: int | None = None,
    output_dir: str | Path | None = None,
    protocol: Protocol | str = Protocol.TRIAL,
    limits: Limits | None = None,
    **settings: Any,
) -> list[Trajectory]:
    """Make demonstrations of tasks.

    Args:
        tasks: A task set, in one line or as an object.
        teacher: The model that writes them: `openai:NAME`, a checkpoint folder, a model id or a
            `Policy`; or `replay:FILE` for known-good calls. None takes the set's oracle or, if
            there is none, the tasks' own known-good calls.
        count: Number of demonstrations to keep; None takes every task once.
        output_dir: A folder that keeps all candidates and responses. The same call continues
            there: what is finished is not run again, and no response is paid for twice. None keeps
            nothing.
        protocol: How trajectories are laid out: "trial", "direct" or "paper".
        limits: What each session allows; None for what the task set says.
        settings: Further fields of `DemonstrationSettings`, such as `judge` or `max_tokens`.

    Returns:
        The selected demonstrations, in the order of the tasks.

    Raises:
        ConfigError: Settings are invalid, or differ from those with which the folder was begun.
        InputError: Tasks cannot be demonstrated, or a file cannot be used.
        PolicyError: An endpoint has no key, or does not answer.
    """
    require("train", "pyarrow")  # for the data set that is written in the end
    if teacher is not None:
        check_model(teacher)
    name = teacher if teacher is None or isinstance(teacher, str) else teacher.name
    given = {"teacher": name, "count": count, **settings}
    options = load_config(DemonstrationSettings, None, values=given)
    options.check()
    chosen, form = taskset(tasks, default=TRAIN).for_training(), Protocol.named(protocol)
    allowed = limits or chosen.limits or Limits()
    if count is None and options.file is None and len(chosen) > ENDLESS:
        raise InputError(
            f"{chosen.label} has {len(chosen):,} tasks; say how many demonstrations to keep, such"
            " as count=1000, or give a slice of the tasks"
        )
    async with AsyncExitStack() as stack:
        if output_dir is None:
            output_dir = stack.enter_context(TemporaryDirectory())
        may_change = set(CHANGEABLE) - ({"filter"} if not options.is_model else set())
        facts = {"protocol": form.value, "limits": allowed.model_dump_json()}
        facts |= {**chosen.facts, "taskset": chosen.name}  # candidates have the queries
        folder = Run(Path(output_dir), options, may_change=may_change, facts=facts).folder
        if options.file is not None:
            return _made_before(options.file, form, folder)
        cache, selection = ResponseCache(folder / "responses.jsonl"), Selection(options)
        budget = Budget(BudgetSettings(max_tokens=options.max_tokens))
        for role in (TEACHER, JUDGE):
            earlier = cache.spent(role)
            budget.spend_tokens(earlier.read, earlier.written)
        if options.judge is not None:
            endpoint = JsonEndpoint(
                JUDGE, options.judge, options.judge_url, cache=cache, budget=budget
            )
            await stack.enter_async_context(endpoint)
            selection.judge = DemonstrationJudge(endpoint, options.behaviours, form)
        await stack.enter_async_context(chosen.open())
        maker = (
            model_teacher(teacher or "", options, form, allowed, cache, budget)
            if options.is_model
            else free_teacher(chosen, options, form, allowed)
        )
        return await Collector(chosen, maker, selection, cache, budget, folder).run()


def _made_before(source: Path, protocol: Protocol, folder: Path) -> list[Trajectory]:
    """Return existing demonstrations without the tokens of the model that wrote them.

    Raises:
        InputError: There are none, they have another format, or one broke or failed.
    """
    demonstrations = read_trajectories(source)
    others = {t.protocol for t in demonstrations} - {protocol}
    if not demonstrations or others:
        content = f"the protocol {min(others)!r}" if others else "no demonstrations"
        raise InputError(f"{source} holds {content}; {protocol.value!r} is wanted")
    without: dict[str, Any] = {"token_ids": [], "observation_ids": [], "log_probs": []}
    for trajectory in demonstrations:
        failed = trajectory.score is not None and not trajectory.success
        if trajectory.error or not trajectory.steps or failed:
            raise InputError(
                f"{source}: {trajectory.task_id} did not solve its task; keep those that did"
            )
        trajectory.prompt_ids = []
        trajectory.steps = [step.model_copy(update=without) for step in trajectory.steps]
    write_records(folder / "trajectories.jsonl", demonstrations)
    write_dataset(demonstrations, folder / "dataset.jsonl")
    return demonstrations
