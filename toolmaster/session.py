"""`Session`: the environment a policy acts in.

A session is used once. It takes the policy's raw text and answers everything: a turn that is
malformed, unknown, invalid, too slow or broken is answered with an observation and an error kind,
never with an exception. Trial calls run on a copy of the state; if there is none, only tools that
read run, unless the user wants live trials.
An approver may refuse calls that would be real, and a budget may end the session.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from toolmaster.errors import InputError, PolicyError
from toolmaster.limits import Budget, Limits
from toolmaster.protocols import (
    NOT_EXECUTED,
    READ_MORE,
    WRITE_EXPERIENCE,
    Action,
    Protocol,
    instructions,
    parse,
    thought_of,
)
from toolmaster.system.nesting import read_json
from toolmaster.system.redaction import redacted
from toolmaster.tags import with_experience, without_controls
from toolmaster.tasksets.task import Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.tools.permissions import OCCASION, AllowAll, Approver, Occasion
from toolmaster.tools.running import as_text, describe_error, fork, run_tool
from toolmaster.tools.schemas import violation
from toolmaster.tools.tool import NotTried, in_quotes
from toolmaster.types import (
    FORMAT_ERRORS,
    ActionKind,
    Decision,
    Effect,
    ErrorKind,
    Message,
    Phase,
    Score,
    Step,
    StopReason,
    ToolCall,
    Trajectory,
    TrialMode,
)

EXECUTION_BEGINS = "execution"
"""The observation that answers an accepted experience."""
_MISPLACED = (ErrorKind.WRONG_PHASE, ErrorKind.INVALID_ANSWER)
"""Errors of an experience or an answer that did not count."""
CUT_OFF = "error: cut off before the tool answered; it may have run"
"""The observation of a call that was running when the session was stopped."""
NOT_BEGUN = "error: cut off before it was permitted; it was not run"
"""The observation of a call that still waited for approval then."""
_Told = tuple[str, ErrorKind | None]
"""What the model is told, and the kind of its error."""


class Session:
    """One run of one task. Call `step` with raw assistant turns until `stop_reason` is set.

    Args:
        task: the task; the session makes its tools.
        protocol: the trajectory format, with or without a trial.
        limits: how many turns and calls are allowed.
        approver: decides which calls may run for real; None allows all.
        budget: what may be spent, perhaps shared with other sessions; None sets no bounds.

    Example:
        >>> session = Session(Task("sum", "2 + 2?", tools=[]), Protocol.DIRECT, Limits())
        >>> asyncio.run(session.step("<think>4.</think><answer>4</answer>")).action
        <ActionKind.ANSWER: 'answer'>
        >>> session.answer
        '4'
    """

    def __init__(
        self,
        task: Task,
        protocol: Protocol,
        limits: Limits,
        *,
        approver: Approver | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.task = task
        self.protocol = protocol
        self.limits = limits
        self.tools = task.make_tools()
        self.phase = protocol.first_phase
        self.steps: list[Step] = []
        self.answer: str | None = None
        self.experience: str | None = None
        self.stop_reason: StopReason | None = None
        self.budget = budget or Budget()
        self.budget.start()
        self._approver: Approver = approver or AllowAll()
        self._fork: ToolSet | None = None
        self._told: dict[str, Tool] = {}
        self._thought = ""
        self._in_flight = False
        self.on_copy = False
        """Whether the last call ran on a copy of the state."""
        self._trial_calls = 0
        self._refused_calls = 0
        self._follow_ups = iter(task.follow_ups)
        self._turns = 0
        self._tried: set[Effect] = set()
        """Effects of the tools that the trial has called."""
        self._found = False
        """Whether one of these calls had a result."""
        self._long, self._shown_chars = "", 0
        """The last result, without secrets, and how much of it was shown."""

    def prompt(self) -> list[Message]:
        """Return the messages before the first assistant turn; the template renders the tools."""
        parts = [
            instructions(self.protocol, self.limits.trial_calls),
            self._trial_runs(),
            without_controls(self.task.instructions),
            self.budget.left(),
        ]
        if self.task.answer_schema is not None:
            schema = json.dumps(self.task.answer_schema, ensure_ascii=False)
            parts.append(f"The answer is JSON of this schema: {schema}")
        system = Message(role="system", content="\n".join(filter(None, parts)))
        query = with_experience(self.task.query, self.task.experience)
        return [system, *self.task.history, Message(role="user", content=query)]

    def _trial_runs(self) -> str:
        """Return which tools the trial runs, for the model; "" if it runs all of them."""
        if self.phase is not Phase.TRIAL:
            return ""
        run = [tool.name for tool in self.tools.tools if self.tools.is_tried(tool.name)]
        if len(run) == len(self.tools.tools):
            return ""
        which = f"The trial runs {in_quotes(run)} only" if run else "The trial runs no tool"
        return f"{which}; calls of the others are checked and not run."

    def tell(self, tools: Iterable[Tool]) -> None:
        """Note how the model knows some tools now, so that it is not told of their changes."""
        self._told.update((tool.name, tool) for tool in tools)

    async def step(self, text: str, *, trial: bool = False) -> Step:
        """Answer one assistant turn.

        Args:
            text: the raw text that the policy wrote, without the end-of-turn token.
            trial: whether this turn belongs to the trial phase, whatever the phase is; the phase
                is the same afterwards.

        Returns:
            The step, also appended to `steps`. Its observation is None if an answer, a task given
            up or the budget ended the session; `stop_reason` says whether and why it has ended.

        Raises:
            RuntimeError: the session has already ended.
        """
        if self.stop_reason is not None:
            raise RuntimeError(
                f"the session of task {self.task.id!r} has ended: {self.stop_reason}"
            )
        action = parse(text, self.protocol)
        before = self.phase
        phase = self.phase = Phase.TRIAL if trial else before
        try:
            return await self._answered(text, action, phase)
        finally:
            if trial:
                self.phase = before

    async def _answered(self, text: str, action: Action, phase: Phase) -> Step:
        self._thought = thought_of(text)
        self._turns += 1
        observation, error = action.text, action.error
        if action.kind is ActionKind.CALL and action.call is not None:
            if action.call.name == READ_MORE and READ_MORE not in self.tools:
                more = self._shown_chars < len(self._long)
                observation = self._next_part() if more else "there is nothing more to read"
            else:
                observation, error = await self._call_recorded(text, action.call)
        elif action.kind is ActionKind.GIVE_UP:
            self.answer, self.stop_reason = action.text, StopReason.GAVE_UP
        elif action.kind is not ActionKind.INVALID:
            observation, error = self._declare(action)
        left = self.limits.max_turns - self._turns
        if 0 < left == self.limits.warn_turns and action.call is not None:
            observation += f" [{left} turns are left: answer with what you have]"
        if error is not None and not observation.startswith(NOT_EXECUTED):
            observation = f"error: {observation}"
        step = Step(
            text=text,
            phase=phase,
            action=ActionKind.INVALID if error in _MISPLACED else action.kind,
            call=action.call,
            observation=None if self.stop_reason is not None else observation,
            error=error,
        )
        self.steps.append(step)
        if self.stop_reason is None:
            self.stop_reason = self._limit_reached()
        return step

    def _limit_reached(self) -> StopReason | None:
        recent = self.steps[-self.limits.invalid_turns :]
        if self._turns >= self.limits.max_turns:
            return StopReason.MAX_TURNS
        if len(recent) == self.limits.invalid_turns and all(
            step.error in FORMAT_ERRORS for step in recent
        ):
            return StopReason.INVALID_TURNS
        return StopReason.BUDGET if self.budget.exhausted() else None

    async def score(self, trajectory: Trajectory) -> Score | None:
        """Return the score of this session's record; None if the task cannot be scored."""
        return await self.task.score(trajectory, self.tools)

    def _declare(self, action: Action) -> _Told:
        """Return the observation and error kind of an experience or an answer.

        An answer ends the trial too, if the trial has found something and called only what reads:
        such calls are as good as real ones.
        """
        if action.kind is ActionKind.EXPERIENCE:
            if self.phase is not Phase.TRIAL:
                return "the trial is over; call a tool or answer", ErrorKind.WRONG_PHASE
            self.experience = action.text
            self.phase = Phase.EXECUTION
            self._fork = None  # the trial's state ends with it
            return EXECUTION_BEGINS, None
        if self.phase is Phase.TRIAL and not (self._found and self._tried == {Effect.READ}):
            return f"still in the trial; {WRITE_EXPERIENCE} first", ErrorKind.WRONG_PHASE
        broken = self._answer_violation(action.text)
        if broken is not None:
            return f"the answer does not fit its schema: {broken}", ErrorKind.INVALID_ANSWER
        follow_up = next(self._follow_ups, None)
        if follow_up is not None:
            self._turns = 0
            if follow_up.arrive is not None:
                self.tools = follow_up.arrive(self.tools)
            return follow_up.message, None
        self.answer = action.text
        self.stop_reason = StopReason.ANSWERED
        return "", None

    def _answer_violation(self, text: str) -> str | None:
        """Return how an answer breaks the schema of the task; None if it has none or it fits."""
        if self.task.answer_schema is None:
            return None
        try:
            return violation(self.task.answer_schema, read_json(text))
        except ValueError as error:
            return f"it is not JSON: {error}"

    async def _call_recorded(self, text: str, call: ToolCall) -> _Told:
        """Run a call; if a deadline or the user cancels it, record it in `steps` first."""
        phase, self._in_flight = self.phase, False
        try:
            told, error = await self._call(call)
        except asyncio.CancelledError:
            self.steps.append(
                Step(
                    text=text,
                    phase=phase,
                    action=ActionKind.CALL,
                    call=call,
                    observation=CUT_OFF if self._in_flight else NOT_BEGUN,
                    error=ErrorKind.TIMEOUT if self._in_flight else ErrorKind.NOT_PERMITTED,
                )
            )
            raise
        self._long, self._shown_chars = redacted(told), 0
        return self._next_part(), error

    async def _call(self, call: ToolCall) -> _Told:
        trial = self.phase is Phase.TRIAL
        if trial and self._trial_calls >= self.limits.trial_calls:
            used = f"the trial budget of {self.limits.trial_calls} calls is used up"
            return f"{used}; {WRITE_EXPERIENCE}", ErrorKind.BUDGET_EXHAUSTED
        self._trial_calls += trial
        if call.name not in self.tools:
            return self._unknown(call.name), ErrorKind.UNKNOWN_TOOL
        tool = await self._current(self.tools[call.name])
        call = call.model_copy(update={"arguments": tool.given(call.arguments)})
        objection = self._objection(tool, call)
        if objection is not None:
            return objection
        if trial:
            self._tried.add(tool.effect)
        mode = tool.trials or self.tools.trial_mode(call.name)
        obstacle = await self._trial_obstacle(tool, mode) if trial else None
        if obstacle is not None:
            return obstacle, ErrorKind.NOT_EXECUTED
        forked = trial and mode is TrialMode.FORK and self._fork is not None
        refusal = await self._refusal(tool, call, forked)
        if refusal is not None:
            return refusal
        found = await self._run(tool, call, forked)
        self._found = self._found or (trial and found[1] is None)
        return found

    def _objection(self, tool: Tool, call: ToolCall) -> _Told | None:
        """Return why a call runs in no phase and no mode; None if nothing speaks against it."""
        decision, why = self._approver.decide(tool)
        if decision is Decision.DENY:
            return f"not permitted: {why}", ErrorKind.NOT_PERMITTED
        change = self._untold_change(tool)
        if change is not None:
            return change, ErrorKind.NOT_EXECUTED
        violation = tool.violation(call.arguments)
        return None if violation is None else (violation, ErrorKind.INVALID_ARGUMENTS)

    async def _current(self, tool: Tool) -> Tool:
        """Return a tool as its source offers it now."""
        if tool.current is None:
            return tool
        try:
            async with asyncio.timeout(tool.timeout_s):
                return replace(tool, **await tool.current())
        except TimeoutError:  # the call itself will tell
            return tool

    def _untold_change(self, tool: Tool) -> str | None:
        """Return what has changed about a tool, unless the model has been told already."""
        known = self._told.get(tool.name, self.tools[tool.name])
        self._told[tool.name] = tool
        shown = attrgetter("description", "parameters", "effect")
        if shown(known) == shown(tool):
            return None
        return (
            f"{NOT_EXECUTED}{tool.name} has changed at its source; call it again if it still does"
            f" what is needed. Its effect is {tool.effect} now; it is described as"
            f" {tool.description!r}; parameters: {json.dumps(tool.parameters, ensure_ascii=False)}"
        )

    async def _trial_obstacle(self, tool: Tool, mode: TrialMode) -> str | None:
        """Return why the trial cannot run a valid call, else None; makes the copy it runs on."""
        if mode is TrialMode.READ_ONLY and tool.effect is not Effect.READ:
            decision, reason = self._approver.decide(tool)
            outlook = "it runs for real" if decision is Decision.ALLOW else reason
            return (
                f"{NOT_EXECUTED}the call is valid; a trial runs only what reads, and the effect of"
                f" {tool.name} is {tool.effect}; in execution {outlook}"
            )
        if mode is TrialMode.FORK and self._fork is None:
            try:
                self._fork = await fork(self.tools)
            except Exception as error:  # noqa: BLE001 - objects copy themselves in their own code
                if tool.effect is not Effect.READ or not isinstance(error, InputError):
                    return f"cannot be tried: {describe_error(error)}"
        return None

    async def _refusal(self, tool: Tool, call: ToolCall, forked: bool) -> _Told | None:
        """Return why the approver or the budget refuses a call; None if the call may run."""
        reason = None if forked else await self._approval(tool, call)
        if reason is not None:
            return f"not permitted: {reason}", ErrorKind.NOT_PERMITTED
        used_up = self.budget.spend_call()
        if used_up is None:
            return None
        self._refused_calls += 1
        if self._refused_calls > 1:  # the first refusal leaves a turn for the answer
            self.stop_reason = StopReason.BUDGET
        return f"{used_up}; answer with what you know", ErrorKind.BUDGET_EXHAUSTED

    async def _approval(self, tool: Tool, call: ToolCall) -> str | None:
        """Return None if the approver allows a call, which it is told the occasion of."""
        before = OCCASION.set(Occasion(self.task.query, self.phase, self._thought))
        try:
            return await self._approver.approve(tool, call)
        finally:
            OCCASION.reset(before)

    async def _run(self, tool: Tool, call: ToolCall, forked: bool) -> _Told:
        """Run a call for real, or on the fork: what reads and the walls there hide, for real."""
        self.on_copy = forked
        if forked and self._fork is not None:
            found = await self._execute(tool, self._fork.state, call)
            hidden = found[1] is ErrorKind.NOT_EXECUTED and tool.effect is Effect.READ
            if not hidden or await self._approval(tool, call) is not None:
                return found
        self.on_copy = False
        if self.phase is Phase.EXECUTION and tool.effect is not Effect.READ:
            self._fork = None  # the real state is about to leave the copy behind
        return await self._execute(tool, self.tools.state, call)

    async def _execute(self, tool: Tool, state: Any, call: ToolCall) -> _Told:
        self._in_flight = True
        try:
            result = await run_tool(tool, state, call.arguments)
        except PolicyError:  # from a model that simulates the tool, not from this policy
            raise
        except Exception as error:  # noqa: BLE001 - an exception of a tool is an observation
            if isinstance(error, NotTried):  # the walls of the trial say nothing about the tool
                return str(error), ErrorKind.NOT_EXECUTED
            if isinstance(error, ToolRefusal):
                return str(error), ErrorKind.TOOL_ERROR
            if isinstance(error, TimeoutError) and tool.timeout_s is not None:
                return f"no answer within {tool.timeout_s:g} s", ErrorKind.TIMEOUT
            return describe_error(error), ErrorKind.TOOL_ERROR
        try:
            return as_text(result), None
        except Exception as error:  # noqa: BLE001 - raised by a result that is not JSON
            reason = f"the call was run; its result cannot be shown: {describe_error(error)}"
            return reason, ErrorKind.TOOL_ERROR

    def _unknown(self, name: str) -> str:
        names = list(self.tools.names())
        close = difflib.get_close_matches(name, names, n=1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        return f'no tool "{name}"; {hint}the tools are: {in_quotes(names)}'

    def _next_part(self) -> str:
        """Return as much of the last result as may be shown, from where the last part ended."""
        start, limit = self._shown_chars, self.limits.result_chars
        left = len(self._long) - start
        self._shown_chars += limit
        shown = self._long[start : start + limit]
        shown = shown.encode("utf-8", "replace").decode()  # half surrogates could not be saved
        return shown if left <= limit else f"{shown} [cut: {limit} of {left} characters shown]"
