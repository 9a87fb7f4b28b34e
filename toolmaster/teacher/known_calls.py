"""Demonstrations from the known-good calls of a task.

Hidden behaviour is unknown here, so nothing is claimed about it: the trial makes the solution's
first call of each tool, and the experience holds its arguments and result. If no result contains
the answer, there is no demonstration, because it would teach to guess.
"""

from __future__ import annotations

import json
import re

from toolmaster.limits import Limits
from toolmaster.policies.base import Completion
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import Isolation
from toolmaster.tasksets.answers import normal_form
from toolmaster.tasksets.replay import Replay, call_turn
from toolmaster.teacher.acting import Acting, Turns, succeeds_again
from toolmaster.types import Phase, ToolCall, Trajectory

SHOWN_CHARS = 120
"""The most characters of arguments, and of a result, in a line of experience."""


class KnownCallsPolicy:
    """A policy that makes known-good calls.

    Args:
        replay: The calls and the answer.
        protocol: The trajectory format; only `trial` has a trial.
        trial_calls: The most calls of the trial.
    """

    name = "known-good calls"

    def __init__(self, replay: Replay, protocol: Protocol, trial_calls: int) -> None:
        self._messages, self._answer = replay.by_message(), replay.answer
        self._protocol, self._trial_calls = protocol, trial_calls

    def conversation(self, *_: object) -> Acting:
        """Begin the demonstration; prompt and tools are ignored, because the calls are known."""
        return Acting(self._turns())

    def _turns(self) -> Turns:
        if self._protocol is Protocol.TRIAL:
            yield from self._trial()
        for number, calls in enumerate(self._messages, 1):
            for call in calls:
                yield _turn(f"{call.name} serves this request.", call_turn(call))
            answer = self._answer if number == len(self._messages) else "done"
            thought = "The request is met." if calls else "No call is needed."
            yield _turn(thought, f"<answer>{answer}</answer>")

    def _trial(self) -> Turns:
        first: dict[str, ToolCall] = {}
        for call in (call for calls in self._messages for call in calls):
            first.setdefault(call.name, call)
        lines = []
        for call in list(first.values())[: self._trial_calls]:
            got = yield _turn(f"I try {call.name}, to see what it returns.", call_turn(call))
            sent = json.dumps(call.arguments, ensure_ascii=False)
            lines.append(f"{call.name}: {_short(sent)} returns {_short(got)}")
        lessons = "\n".join(lines) or "none"
        thought = "I have seen what the tools return." if lines else "No tool is needed."
        yield _turn(thought, f"<experience>{lessons}</experience>")


def _turn(thought: str, block: str) -> Completion:
    return Completion(f"<think>{thought}</think>{block}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}..."


async def from_known_calls(
    request: RolloutRequest, replay: Replay, protocol: Protocol, limits: Limits
) -> Trajectory | str:
    """Run known-good calls of a task in a session.

    The turns are repeated in a fresh session, unless that would change a real service twice.

    Returns:
        A trajectory that solves the task or broke; otherwise why the task was not solved.
    """
    task = request.task
    policy = KnownCallsPolicy(replay, protocol, limits.trial_calls)
    trajectory = await run_rollout(request, policy, protocol, limits)
    if trajectory.error is not None:
        return trajectory
    if trajectory.score is None:
        return "nothing scores the task, so its known-good calls cannot be checked"
    if not trajectory.success:
        expected = trajectory.score.expected
        ended = f"expected {expected}" if expected else f"it ended with {trajectory.stop_reason}"
        return f"the known-good calls do not solve it: {ended}"
    if task.answer is not None and not _is_seen(replay.answer, trajectory):
        return f"no call returns its answer: {replay.answer!r} would be a guess"
    shared = task.isolation() is Isolation.SHARED
    if shared or await succeeds_again(trajectory, request, protocol, limits):
        return trajectory
    return "the known-good calls solve it once, and not again in a fresh session"


def _is_seen(answer: str, trajectory: Trajectory) -> bool:
    """Return whether a result of the execution contains an answer."""
    results = [step.observation or "" for step in trajectory.calls(Phase.EXECUTION)]
    words = {normal_form(word) for result in results for word in re.findall(r"[\w.,+-]+", result)}
    text = normal_form(answer)
    return text in words or any(text in result.casefold() for result in results)
