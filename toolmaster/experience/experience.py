"""`Experience`: lessons are retrieved before a task and learned after it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from toolmaster.experience.lesson import (
    NAME_CHARS,
    Lesson,
    is_limited,
    one_line,
    read_lessons,
    shown,
)
from toolmaster.experience.store import ExperienceStore
from toolmaster.limits import Budget, Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
from toolmaster.tools.permissions import Approver
from toolmaster.types import Effect, ErrorKind, Phase, StopReason, Trajectory

CHECK_AFTER_S = 60.0
"""Seconds in a run after which a lesson is checked again, which costs one call."""
_CUT_OFF = (StopReason.BUDGET, StopReason.MAX_TOKENS, StopReason.STOPPED)
RETRIEVED_CHARS = 2000
"""The most characters of experience in one prompt."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The experience for one task.

    Args:
        text: one line per lesson, for `Task.experience`; "" if nothing is known.
        lessons: the lessons in the text.
        checks: number of tool calls that checking lessons cost.
    """

    text: str = ""
    lessons: tuple[Lesson, ...] = ()
    checks: int = 0


@dataclass(frozen=True, slots=True)
class Experience:
    """What an agent knows about its tools from earlier tasks, in one run.

    An `Agent` begins a run with each call of `run` or `run_all`. In other programs an object is a
    run; `dataclasses.replace(experience)` begins another one.

    Args:
        store: the file of lessons.
        approver: asked before a check that would be a real call; None allows it.
        budget: counts the calls of checks; None sets no bounds.
        check_after_s: seconds after which a run that is still going on checks a lesson again; with
            0 it checks before each task.

    Example:
        >>> experience = Experience(ExperienceStore(Path("lessons.jsonl")))  # doctest: +SKIP
        >>> agent = Agent("openai:NAME", tools, experience=experience)  # doctest: +SKIP
    """

    store: ExperienceStore
    approver: Approver | None = None
    budget: Budget | None = None
    check_after_s: float = CHECK_AFTER_S
    _checked: dict[tuple[str, str], float] = field(default_factory=dict, init=False, repr=False)
    """Seconds on the monotonic clock when a lesson was last checked, by its id and the tool's
    source."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)
    """Held during checks: tasks that begin together wait for one check."""

    async def retrieve(self, tools: ToolSet) -> Retrieved:
        """Return the lessons about a task's tools; call it before each task.

        A lesson whose call only reads is checked at its first use in this run, after a task with it
        failed, and `check_after_s` after the last check. A lesson that no longer holds becomes
        stale, so that the agent tries the tool again.

        Args:
            tools: the tools of the task, as its session will have them.

        Raises:
            InputError: the store cannot be used.
        """
        async with self._lock:
            known = _fitting(self.store.fresh(tools.tools))
            due = [one for one in known if self._is_due(one, tools)]
            checked, calls = await self.check(due, tools)
            self._note(due, tools)
            retrieved = tuple(one for one in known if not checked.get(one.id))
            with self.store.edit() as lessons:
                for lesson in (lessons[key] for key in checked if key in lessons):
                    lesson.source = tools[lesson.tool].source
                    lesson.stale = checked[lesson.id] or lesson.stale
                for lesson in (lessons[one.id] for one in retrieved if one.id in lessons):
                    lesson.retrieved += 1
        text = "\n".join(lesson.line() for lesson in retrieved)
        return Retrieved(text, retrieved, calls)

    def _is_due(self, lesson: Lesson, tools: ToolSet) -> bool:
        """Return whether to check a lesson before it is used; only calls that read are repeated."""
        tool = tools[lesson.tool]
        if not lesson.repeatable or tool.effect is not Effect.READ:
            return False
        checked = self._checked.get((lesson.id, tool.source))
        old = checked is None or time.monotonic() - checked >= self.check_after_s
        return old or lesson.failed > 0

    def _note(self, lessons: Iterable[Lesson], tools: ToolSet) -> None:
        """Note that lessons have just been learned or checked."""
        now = time.monotonic()
        self._checked.update({(one.id, tools[one.tool].source): now for one in lessons})

    async def check(
        self, lessons: Sequence[Lesson], tools: ToolSet
    ) -> tuple[dict[str, str | None], int]:
        """Make the calls of lessons again and compare what they show.

        The calls are the trial calls of a session: on a fork of the state if there is one, with
        the tool's time limit, the approver's permission and the budget.

        Returns:
            `(outcomes, calls)`: maps the id of each lesson that could be checked to None if it
            holds, else to what changed; and the number of calls. A call that was not allowed or
            timed out gives no outcome; a call that now fails is a change.
        """
        outcomes: dict[str, str | None] = {}
        calls = 0
        if not lessons or (self.budget is not None and self.budget.exhausted()):
            return outcomes, calls
        session = Session(
            Task("check", "check", tools=lambda: tools),
            Protocol.TRIAL,
            Limits(trial_calls=len(lessons), max_turns=len(lessons) + 1),
            approver=self.approver,
            budget=self.budget,
        )
        for lesson in lessons:
            if session.stop_reason is not None:
                break
            call = json.dumps({"name": lesson.tool, "arguments": lesson.arguments})
            call = call.replace("<", "\\u003c")  # no tag in an argument
            step = await session.step(f"<tool_call>{call}</tool_call>")
            calls += step.error not in (ErrorKind.NOT_PERMITTED, ErrorKind.NOT_EXECUTED)
            now = shown(step.observation or "")
            cut = lesson.observation.endswith("…")
            same = now.startswith(lesson.observation[:-1]) if cut else now == lesson.observation
            if same and step.error is lesson.error:
                outcomes[lesson.id] = None
            elif step.error in (None, ErrorKind.TOOL_ERROR) and not is_limited(step):
                outcomes[lesson.id] = one_line(f"its call now shows {now!r}", NAME_CHARS)
        return outcomes, calls

    async def learn(self, trajectory: Trajectory, tools: ToolSet, retrieved: Retrieved) -> None:
        """Learn from a finished task; call it after each task.

        The lessons that the task used are counted as helpful or failed if it has a verdict;
        otherwise they await the user's, see `ExperienceStore.judge`. Then the lessons in the
        trajectory's experience are kept, unless the task was judged to have failed.

        Args:
            trajectory: the record of the task.
            tools: the tools of the task.
            retrieved: what `retrieve` returned before it; `Retrieved()` if it was not called.

        Raises:
            InputError: the store cannot be used.
        """
        awaits = f"{datetime.now(UTC).isoformat(timespec='microseconds')} {trajectory.task_id}"
        if trajectory.error is None and retrieved.lessons:
            with self.store.edit() as lessons:
                for lesson in (lessons[one.id] for one in retrieved.lessons if one.id in lessons):
                    _count_outcome(lesson, trajectory, awaits)
        if trajectory.score is None or trajectory.success:
            learned = read_lessons(trajectory, tools)
            for lesson in learned:
                lesson.awaits = awaits if trajectory.score is None else ""
                self.store.learn(lesson)
            self._note(learned, tools)


def _fitting(lessons: Iterable[Lesson]) -> tuple[Lesson, ...]:
    """Return the lessons whose lines fit into `RETRIEVED_CHARS`, in order."""
    chosen, room = [], RETRIEVED_CHARS
    for lesson in lessons:
        needed = len(lesson.line()) + 1
        if needed <= room:
            chosen.append(lesson)
            room -= needed
    return tuple(chosen)


def _count_outcome(lesson: Lesson, trajectory: Trajectory, awaits: str) -> None:
    """Count a task that used the tool of a lesson as helped or failed, or note that it awaits this.

    A failure that a limit of the session explains is no failure of the lesson.
    """
    calls = trajectory.calls(Phase.EXECUTION)
    used = [step for step in calls if step.call is not None and step.call.name == lesson.tool]
    if not used:
        return
    limited = any(map(is_limited, used)) or trajectory.stop_reason in _CUT_OFF
    errors = (s for s in used if s.error is ErrorKind.TOOL_ERROR and not is_limited(s))
    error = next((step.observation for step in errors), None)
    if error is not None:
        lesson.judge(False, f"called for real with it, the tool gave: {error}")
    elif trajectory.score is None:
        lesson.awaits = awaits
    elif trajectory.success:
        lesson.judge(True)
    elif not limited:
        lesson.judge(False, "a task failed")
