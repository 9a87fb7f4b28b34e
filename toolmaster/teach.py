"""Teaching: demonstrations of a teacher model, from tasks to a dataset, in a run folder.

`candidates.jsonl` gets every trajectory as it ends, `paid.jsonl` every answer that was paid for,
`verdicts.jsonl` those of the judge. From them, and at the end of every run anew, come
`trajectories.jsonl` (the demonstrations kept), `left_out.jsonl` (the others, with the reason),
`tasks.jsonl` (proposed tasks whose answers agree) and `dataset/`. A run that was killed goes on
from there: what is finished is not run again, and no turn is paid for twice. A task that asks for
something else than before is another task, whatever its id.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from toolmaster.errors import ConfigError, PolicyError
from toolmaster.json_endpoint import JsonEndpoint
from toolmaster.policies.base import Spelling
from toolmaster.policies.loading import load_policy
from toolmaster.progress import Bar, bar, console
from toolmaster.rollouts import RolloutRequest, run_rollouts
from toolmaster.runs import Run, append_trajectory, read_trajectories, write_records
from toolmaster.session import Session
from toolmaster.tasksets import Task, taskset
from toolmaster.teacher.choosing import NOT_JUDGED, Choice, choose, reasons_by_rule, settle
from toolmaster.teacher.costs import Estimate, estimate, price_of, rollout_tokens
from toolmaster.teacher.dataset import write_dataset
from toolmaster.teacher.judge import Judge
from toolmaster.teacher.model import ROLE, Teacher
from toolmaster.teacher.paid import Answer, Paid, Tokens
from toolmaster.teacher.prompt import teacher_instruction
from toolmaster.teacher.propose import propose, proposed
from toolmaster.teacher.settings import FREE, TeachSettings
from toolmaster.teacher.tasks import ReadsOnly, Wanted, read_tasks, task_of
from toolmaster.tools import ToolSet
from toolmaster.types import Record, StopReason, Trajectory

_IN_VAIN = 8
"""Rollouts in a row that the endpoint did not answer, after which the rest is not asked."""
_SAMPLE = 5
"""Tasks whose prompts an estimate goes by."""
VERDICTS = "verdicts.jsonl"
_QUERY_CHARS = 100
"""Of a task that is still to be proposed."""
PROPOSER = "proposer"
JUDGE = "judge"
Place = tuple[str, str, int]
"""A task's id, what it asks, and the number of the rollout."""


async def teach(
    settings: TeachSettings,
    tools: ToolSet | None = None,
    *,
    confirm: Callable[[Estimate], bool] = lambda _: True,
) -> list[Trajectory]:
    """Make demonstrations, from wherever an earlier run in the same folder was stopped.

    Args:
        settings: what to make, and how.
        tools: what the tasks are for; None for the embedded world, whose tasks bring their own.
        confirm: shown the estimate before anything is asked; False ends it there.

    Returns:
        The demonstrations kept; none when it was not confirmed.

    Raises:
        ConfigError: settings that cannot be accepted, or other ones than the folder's.
        InputError: tasks or files that cannot be used.
        PolicyError: no key, or an endpoint that answers nothing.
    """
    settings.check(has_tools=tools is not None)
    run = Run(settings.run, settings, free=FREE)
    return await _Teaching(settings, tools, run).work(confirm)


@dataclass(slots=True)
class _Teaching:
    settings: TeachSettings
    tools: ToolSet | None
    run: Run
    paid: Paid = field(init=False)
    finished: dict[Place, Trajectory] = field(init=False)
    broken: list[str] = field(default_factory=list)
    refused: int = 0
    """Rollouts in a row that the endpoint did not answer."""

    def __post_init__(self) -> None:
        self.paid = Paid(self.run.folder / "paid.jsonl")
        file = self.run.folder / "candidates.jsonl"
        held = read_trajectories(file) if file.is_file() else []
        self.finished = {(t.task_id, t.query, t.rollout): t for t in held if t.error is None}

    async def work(self, confirm: Callable[[Estimate], bool]) -> list[Trajectory]:
        self._warn_of_refusals()
        tasks = self._tasks()
        async with AsyncExitStack() as stack:
            judge = await self._judge(stack)  # its key is missed now, not after all is paid for
            expected = await self._estimate(tasks, judge)
            if (expected.rollouts or expected.verdicts) and not confirm(expected):
                return []
            if self._to_propose(tasks):
                tasks = await self._propose()
            await self._roll_out(tasks)
            choice = await self._choose(tasks, judge)
        self._write(choice)
        self._report(choice)
        return choice.kept

    def _warn_of_refusals(self) -> None:
        """Say which tools will not be run, before anything is paid for.

        Raises:
            ConfigError: none will.
        """
        if self.tools is None or self.settings.writes:
            return
        guard = ReadsOnly(self.tools)
        refused = [tool.name for tool in self.tools.tools if guard.outlook(tool)]
        if not refused:
            return
        words = (
            f"tools that may change something real are not run: {', '.join(refused)}; declare which"
            " of them only read, or give writes=true to run all for real"
        )
        if len(refused) == len(self.tools.tools):
            raise ConfigError(f"no tool could be run: {words}")
        console.print(words, markup=False, soft_wrap=True)

    # --- tasks ----------------------------------------------------------------------------------

    def _tasks(self) -> list[Task]:
        """The tasks that are there before anything is asked."""
        settings = self.settings
        if self.tools is None:
            tasks = taskset(settings.world).for_training().shuffled(settings.seed)
            return list(tasks[: settings.count])
        if settings.tasks is not None:
            wanted = read_tasks(settings.tasks)[: settings.count]
        else:
            wanted = proposed(self.run.folder)[: settings.propose]
        return [task_of(item, self.tools) for item in wanted]

    def _to_propose(self, tasks: Sequence[Task]) -> int:
        """How many tasks are still to be proposed, beside these."""
        return 0 if self.settings.propose is None else self.settings.propose - len(tasks)

    async def _propose(self) -> list[Task]:
        settings, tools = self.settings, self.tools
        assert settings.propose is not None  # noqa: S101 - checked with the settings
        assert tools is not None  # noqa: S101 - likewise
        async with self._endpoint(PROPOSER, settings.model, settings.base_url) as endpoint:
            wanted = await propose(endpoint, tools, settings.propose, self.run.folder)
        return [task_of(item, tools) for item in wanted]

    def _endpoint(self, role: str, model: str, base_url: str | None) -> JsonEndpoint:
        def pay(text: str, prompt_tokens: int, tokens: int) -> None:
            self.paid.add(Answer(role=role, text=text, prompt_tokens=prompt_tokens, tokens=tokens))

        return JsonEndpoint(role, model.removeprefix("openai:"), base_url, on_answer=pay)

    # --- costs ----------------------------------------------------------------------------------

    async def _estimate(self, tasks: Sequence[Task], judge: Judge | None) -> Estimate:
        """What is still to come."""
        settings = self.settings
        measured = len(self.finished)
        if measured:
            each = Tokens(*(total // measured for total in self.paid.spent(ROLE)))
        else:
            each = rollout_tokens([self._prompt_chars(task) for task in self._sample(tasks)])
        rollouts = len(self._missing(tasks)) + self._to_propose(tasks) * settings.rollouts
        verdicts = 0 if judge is None else rollouts + await self._unjudged(tasks, judge)
        return estimate(
            rollouts,
            each,
            settings.prices,
            verdicts=verdicts,
            judge_prices=settings.judge_prices or settings.prices,
            measured=measured,
        )

    def _sample(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """A few of the tasks; a stand-in where all are still to be proposed."""
        if tasks or self.tools is None:
            return tasks[:_SAMPLE]
        return [task_of(Wanted(query="?" * _QUERY_CHARS), self.tools)]

    async def _unjudged(self, tasks: Sequence[Task], judge: Judge) -> int:
        """How many finished rollouts the judge is still to see: the rules let them through."""
        settings, candidates = self.settings, await self._candidates(tasks)
        _, unsettled = await self._settle(tasks, candidates)
        unsettled -= {task.id for task, _ in self._missing(tasks)}  # these may still agree
        reasons = reasons_by_rule(
            candidates, settings.behaviours, rules=settings.filter, unsettled=unsettled
        )
        passed = [t for t, reason in zip(candidates, reasons, strict=True) if reason is None]
        return sum(not judge.has_judged(trajectory) for trajectory in passed)

    def _prompt_chars(self, task: Task) -> int:
        session = Session(task, self.settings.protocol, self.settings.limits)
        texts = [message.content for message in session.prompt()]
        return len(self._instruction()) + len("".join(texts)) + len(str(session.tools.schemas()))

    def _instruction(self) -> str:
        settings = self.settings
        return teacher_instruction(
            settings.protocol, settings.behaviours, settings.limits.trial_calls
        )

    # --- rollouts -------------------------------------------------------------------------------

    async def _roll_out(self, tasks: Sequence[Task]) -> None:
        """Run what is missing; each trajectory is kept as it ends."""
        settings = self.settings
        missing = self._missing(tasks)
        if not missing:
            return
        policy = load_policy(
            settings.model,
            settings.sampling,
            base_url=settings.base_url,
            spelling=Spelling.TEXT,  # what the student writes
        )
        instruction = self._instruction()
        guard = None if self.tools is None or settings.writes else ReadsOnly(self.tools)

        def request(place: tuple[Task, int]) -> RolloutRequest:
            task, rollout = place
            teacher = Teacher(policy, instruction, self.paid, f"{task.id}/{rollout}")
            return RolloutRequest(task, rollout, policy=teacher, guard=guard)

        wanted = len(tasks) * settings.rollouts
        with bar("teach", wanted, wanted - len(missing)) as running:
            await run_rollouts(
                map(request, missing),
                policy,
                settings.protocol,
                settings.limits,
                concurrency=settings.sampling.slots,
                on_finish=lambda trajectory: self._record(trajectory, running),
            )

    def _missing(self, tasks: Sequence[Task]) -> list[tuple[Task, int]]:
        """The tasks and numbers of the rollouts that are wanted and not finished."""
        return [
            (task, rollout)
            for task in tasks
            for rollout in range(self.settings.rollouts)
            if (task.id, task.query, rollout) not in self.finished
        ]

    def _record(self, trajectory: Trajectory, running: Bar) -> None:
        """Keep a trajectory as it ends; one that broke is run again the next time.

        Raises:
            PolicyError: the endpoint answers no longer.
        """
        append_trajectory(self.run.folder / "candidates.jsonl", trajectory)
        if trajectory.error is None:
            place = (trajectory.task_id, trajectory.query, trajectory.rollout)
            self.finished[place] = trajectory
        else:
            self.broken.append(trajectory.error)
        refused = trajectory.stop_reason is StopReason.POLICY_ERROR
        self.refused = self.refused + 1 if refused else 0
        if self.refused >= _IN_VAIN:
            raise PolicyError(
                f"the last {self.refused} rollouts were not answered: {trajectory.error}; what is"
                " finished is kept, and the same command goes on from there"
            )
        cost = price_of(self.paid.spent(ROLE), self.settings.prices)
        spent = "" if cost is None else f", {cost:,.2f} spent"
        running.advance(note=f"{len(self.finished)} finished{spent}")

    # --- what comes out -------------------------------------------------------------------------

    async def _judge(self, stack: AsyncExitStack) -> Judge | None:
        settings = self.settings
        if settings.judge is None:
            return None
        endpoint = self._endpoint(JUDGE, settings.judge, settings.judge_url)
        await stack.enter_async_context(endpoint)
        file = self.run.folder / VERDICTS
        return Judge(endpoint, file, settings.behaviours, settings.protocol)

    async def _choose(self, tasks: Sequence[Task], judge: Judge | None) -> Choice:
        settings, candidates = self.settings, await self._candidates(tasks)
        settled, unsettled = await self._settle(tasks, candidates)
        if settings.propose is not None:
            write_records(self.run.folder / "tasks.jsonl", settled)
        return await choose(
            candidates,
            settings.behaviours,
            rules=settings.filter,
            judge=judge,
            unsettled=unsettled,
        )

    async def _candidates(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """What is finished of these tasks, scored as they say now."""
        candidates = []
        for task in tasks:
            for rollout in range(self.settings.rollouts):
                held = self.finished.get((task.id, task.query, rollout))
                if held is None:
                    continue
                if self.tools is not None:  # the answer alone decides
                    held.score = await task.score(held, self.tools)
                candidates.append(held)
        return candidates

    async def _settle(
        self, tasks: Sequence[Task], candidates: Sequence[Trajectory]
    ) -> tuple[list[Wanted], set[str]]:
        """Proposed tasks whose solutions agree, and the ids of the others; none of given tasks."""
        settings = self.settings
        if settings.propose is None or self.tools is None:
            return [], set()
        settled = await settle(tasks, candidates, settings.rollouts, self.tools)
        return settled, {task.id for task in tasks} - {wanted.id for wanted in settled}

    def _write(self, choice: Choice) -> None:
        folder = self.run.folder
        write_records(folder / "trajectories.jsonl", choice.kept)
        left_out = [
            LeftOut(task_id=t.task_id, rollout=t.rollout, reason=reason)
            for t, reason in choice.left_out
        ]
        write_records(folder / "left_out.jsonl", left_out)
        if choice.kept:
            write_dataset(choice.kept, folder / "dataset")
        else:
            shutil.rmtree(folder / "dataset", ignore_errors=True)

    def _report(self, choice: Choice) -> None:
        """Print what was kept, why the rest was not, and the real cost."""
        file = self.run.folder / "trajectories.jsonl"
        console.print(f"{len(choice.kept)} demonstrations: {file}", soft_wrap=True)
        reasons = Counter(_kind(reason) for _, reason in choice.left_out)
        for reason, count in reasons.most_common():
            console.print(f"  {count} left out: {reason}", markup=False, soft_wrap=True)
        if self.broken:
            console.print(
                f"  {len(self.broken)} broke, and the same command runs them again; the first:"
                f" {self.broken[0]}",
                markup=False,
                soft_wrap=True,
            )
        console.print(f"cost: {self._cost()}", soft_wrap=True)

    def _cost(self) -> str:
        """Tokens and money so far, all runs in this folder together."""
        settings = self.settings
        teacher, judge = self.paid.spent(ROLE, PROPOSER), self.paid.spent(JUDGE)
        judge_prices = settings.judge_prices or settings.prices
        costs = [price_of(teacher, settings.prices), price_of(judge, judge_prices)]
        words = (
            f"{teacher.prompt_tokens + judge.prompt_tokens:,} tokens read,"
            f" {teacher.tokens + judge.tokens:,} written"
        )
        if None in costs:
            return f"{words}; no prices given"
        return f"{sum(cost or 0.0 for cost in costs):,.4f} ({words})"


def _kind(reason: str) -> str:
    """A reason without what is said of one trajectory; a judge's silence is told as it was."""
    return reason if reason.startswith(NOT_JUDGED) else reason.partition(":")[0]


class LeftOut(Record):
    """A line of `left_out.jsonl`."""

    task_id: str
    rollout: int
    reason: str
