"""Demonstrations of any task set: trajectories that solve their task, for a model to learn from.

    demonstrations = demonstrate(taskset("world:short").split("train")[:1000])
    demonstrations = demonstrate("bfcl:simple_python", protocol="direct")
    demonstrations = demonstrate(tasks, teacher="openai:NAME", output_dir="runs/demonstrations")

They come from the task set's oracle, from the known-good calls of its tasks, or from a teacher
model. Whoever writes them acts in real sessions, and the same filter chooses what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from typing import Protocol as Protocol_

from toolmaster.config import load_config
from toolmaster.errors import InputError
from toolmaster.extras import require
from toolmaster.judges.json_endpoint import JsonEndpoint
from toolmaster.limits import Limits
from toolmaster.plain import plain
from toolmaster.policies.base import Policy
from toolmaster.protocols import Protocol
from toolmaster.runs import Run, read_trajectories
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.taskset import TRAIN
from toolmaster.teacher.choosing import Choice
from toolmaster.teacher.collecting import Collecting
from toolmaster.teacher.costs import Estimate, ask_at_terminal
from toolmaster.teacher.judge import ROLE as JUDGE
from toolmaster.teacher.judge import Judge
from toolmaster.teacher.paid import Paid
from toolmaster.teacher.records import VERDICTS, Records
from toolmaster.teacher.settings import CHANGEABLE, DemonstrationSettings
from toolmaster.teacher.teachers import ModelTeacher, ShowingTeacher
from toolmaster.types import Trajectory

ENDLESS = 100_000
"""Number of tasks from which on a count must be given."""


class Oracle(Protocol_):
    """What `Taskset.oracle` holds: a function that demonstrates a task without a model."""

    async def __call__(
        self,
        task_id: str,
        protocol: Protocol,
        limits: Limits,
        settings: DemonstrationSettings,
    ) -> Trajectory | None:
        """Demonstrate one task.

        Args:
            task_id: a task of the set.
            protocol: how the trajectory is laid out.
            limits: what its session allows.
            settings: what it shows: `behaviours`, `known_share` and whether it is to pass `filter`.

        Returns:
            A trajectory that solves the task in a session of its own; None where there is none. The
            same arguments give the same trajectory.
        """
        ...


def demonstrate(tasks: str | Taskset | Iterable[Task], **options: Any) -> list[Trajectory]:
    """Make demonstrations of tasks; the form of `ademonstrate` without `await`.

    Example:
        >>> [made] = demonstrate("world:short split=train tasks=1")
        >>> made.success
        True
    """
    return plain(ademonstrate(tasks, **options))


async def ademonstrate(
    tasks: str | Taskset | Iterable[Task],
    *,
    teacher: str | Policy | None = None,
    count: int | None = None,
    output_dir: str | Path | None = None,
    protocol: Protocol | str = Protocol.TRIAL,
    limits: Limits | None = None,
    confirm: bool | Callable[[Estimate], bool] = False,
    **settings: Any,
) -> list[Trajectory]:
    """Make demonstrations of tasks.

    Args:
        tasks: a task set, in one line or as an object.
        teacher: the model that writes them: `openai:NAME`, a checkpoint folder, a model id or a
            `Policy`; or `replay:FILE` for known-good calls. None takes the set's oracle or, where
            there is none, the tasks' own known-good calls.
        count: number of demonstrations to keep; None takes every task once.
        output_dir: a folder that keeps all attempts, verdicts and paid answers. The same call
            continues there: what is finished is not run again, and no answer is paid for twice.
            None keeps nothing.
        protocol: how trajectories are laid out: "trial", "direct" or "paper".
        limits: what each session allows; None for what the task set says.
        confirm: called with an estimate of the cost before a teacher model is asked for anything;
            False ends it. True shows the estimate and asks at the terminal.
        settings: further fields of `DemonstrationSettings`, such as `judge` or `filter`.

    Returns:
        The demonstrations kept, in the order of the tasks.

    Raises:
        ConfigError: settings that cannot be accepted, or other ones than the folder was begun with.
        InputError: tasks that cannot be demonstrated, or a file that cannot be used.
        PolicyError: an endpoint without a key, or one that answers nothing.
    """
    require("train", "pyarrow")  # for the data set that is written in the end
    name = teacher if teacher is None or isinstance(teacher, str) else teacher.name
    given = {"teacher": name, "count": count, **settings}
    wanted = load_config(DemonstrationSettings, None, values=given)
    wanted.check()
    chosen, layout = taskset(tasks, default=TRAIN).for_training(), Protocol(protocol)
    allowed = limits or chosen.limits or Limits()
    if count is None and wanted.file is None and len(chosen) > ENDLESS:
        raise InputError(
            f"{chosen.label} has {len(chosen):,} tasks; say how many demonstrations to keep, such"
            " as count=1000, or give a slice of the tasks"
        )
    async with AsyncExitStack() as stack:
        if output_dir is None:
            output_dir = stack.enter_context(TemporaryDirectory())
        free = set(CHANGEABLE) - ({"filter"} if not wanted.is_model else set())
        facts = {"protocol": layout.value, "limits": allowed.model_dump_json()}
        facts |= {**chosen.facts, "taskset": chosen.name}  # an attempt says itself what was asked
        folder = Run(Path(output_dir), wanted, free=free, facts=facts).folder
        records, choice = Records(folder), Choice(wanted)
        if wanted.file is not None:
            choice.kept = _made_before(wanted.file, layout)
            records.write(choice)
            return choice.kept
        if wanted.judge is not None:
            endpoint = await stack.enter_async_context(_judge(wanted, records.paid))
            choice.judge = Judge(endpoint, folder / VERDICTS, wanted.behaviours, layout)
        await stack.enter_async_context(chosen.open())
        if not wanted.is_model:
            showing = ShowingTeacher.of(chosen, wanted, layout, allowed)
            return await Collecting(chosen, showing, choice, records).run(None)
        asked = ModelTeacher(teacher or "", wanted, layout, allowed, records.paid)
        ask = ask_at_terminal if confirm is True else confirm or None
        return await Collecting(chosen, asked, choice, records).run(ask)


def _judge(settings: DemonstrationSettings, paid: Paid) -> JsonEndpoint:
    """The judge's endpoint, whose answers are kept."""
    model = (settings.judge or "").removeprefix("openai:")
    return JsonEndpoint(JUDGE, model, settings.judge_url, on_answer=paid.of(JUDGE))


def _made_before(source: Path, protocol: Protocol) -> list[Trajectory]:
    """Take demonstrations that were made before, without the tokens of the model that wrote them.

    Raises:
        InputError: there are none, they were made with another protocol, or one of them broke or
            failed.
    """
    demonstrations = read_trajectories(source)
    others = {t.protocol for t in demonstrations} - {protocol}
    if not demonstrations or others:
        found = f"the protocol {min(others)!r}" if others else "no demonstrations"
        raise InputError(f"{source} holds {found}; {protocol.value!r} is wanted")
    for trajectory in demonstrations:
        failed = trajectory.score is not None and not trajectory.success
        if trajectory.error or not trajectory.steps or failed:
            raise InputError(
                f"{source}: {trajectory.task_id} did not solve its task; keep those that did"
            )
    return [_untokenized(trajectory) for trajectory in demonstrations]


def _untokenized(trajectory: Trajectory) -> Trajectory:
    bare: dict[str, list[Any]] = {"token_ids": [], "observation_ids": [], "log_probs": []}
    steps = [step.model_copy(update=bare) for step in trajectory.steps]
    return trajectory.model_copy(update={"prompt_ids": [], "steps": steps})
