"""The one rollout engine: runs sessions against a policy, many at a time.

It is the only place that catches an error that breaks a rollout: the error is recorded in the
trajectory, and the other rollouts continue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from toolmaster.errors import ConfigError, PermanentPolicyError, PolicyError
from toolmaster.limits import Budget, Limits
from toolmaster.policies.base import (
    Completion,
    ContextFullError,
    Conversation,
    EndpointSettings,
    Policy,
    RoomySampling,
    Sampling,
)
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.system.plain import plain
from toolmaster.tasksets.task import Task
from toolmaster.tools.permissions import Approver
from toolmaster.types import FORMAT_ERRORS, Step, StopReason, Trajectory

START_TOGETHER = 16
"""Number of workers that start in one pass of the event loop. If a thousand started at once, their
requests would stay in step, and the endpoint would idle while the last of each round is read."""

TURN_CUT = (
    "error: the reply was cut off at {} tokens (sampling.turn_tokens), so nothing of it counts;"
    " write a shorter one"
)
"""The observation of a turn that the limit of tokens cut."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """One rollout to run.

    Args:
        task: the task to run.
        rollout: index of this rollout among those of the same task.
        policy: a policy made for this rollout; None uses the policy of `run_rollouts`.
        approver: asked before each call that would be real; None allows all calls.
        budget: what may be spent, perhaps shared with other rollouts; None sets no bounds.
        on_step: called with each step as it ends.
        on_stop: called with the unfinished trajectory if the rollout is cancelled, by Ctrl-C or by
            the failure of another rollout; None drops it.
    """

    task: Task
    rollout: int = 0
    policy: Policy | None = None
    approver: Approver | None = None
    budget: Budget | None = None
    on_step: Callable[[Step], None] | None = None
    on_stop: Callable[[Trajectory], None] | None = None


async def run_rollout(
    request: RolloutRequest, policy: Policy, protocol: Protocol, limits: Limits
) -> Trajectory:
    """Run one session to its end.

    Returns:
        The trajectory. Failures of policy or session are recorded in it, never raised.

    Raises:
        asyncio.CancelledError: it was stopped from outside; see `RolloutRequest.on_stop`.
    """
    return (await _attempt(request, policy, protocol, limits))[0]


def rollout(model: str | Policy, task: Task, **options: Any) -> Trajectory:
    """Run one task once; blocking version of `arollout`."""
    return plain(arollout(model, task, **options))


async def arollout(
    model: str | Policy,
    task: Task,
    *,
    protocol: Protocol | str = Protocol.TRIAL,
    limits: Limits | None = None,
    sampling: Sampling | None = None,
    base_url: str | None = None,
    endpoint: EndpointSettings | None = None,
) -> Trajectory:
    """Run one task once.

    Args:
        model: `openai:NAME`, a checkpoint folder or a model id of the Hub; or a `Policy`.
        task: the task to run.
        protocol: the trajectory format.
        limits: limits of the session.
        sampling: temperature and token limits of the model.
        base_url: the endpoint of an `openai:` model.
        endpoint: timeouts, headers and further fields of the requests to an endpoint.

    Returns:
        The trajectory. Mistakes of the model and errors that break the rollout are recorded in it.

    Raises:
        InputError: there is no such model.
        PolicyError: the key or the address of the endpoint is missing.

    Example:
        >>> from toolmaster.policies.scripted import ScriptedPolicy
        >>> task = Task("sum", "What is 2 + 2?", tools=[], answer="4")
        >>> policy = ScriptedPolicy(["<think>2 + 2 is 4.</think><answer>4</answer>"])
        >>> rollout(policy, task, protocol=Protocol.DIRECT).success
        True
    """
    from toolmaster.policies.loading import open_policy  # noqa: PLC0415 - loads what it needs

    options = {"base_url": base_url, "endpoint": endpoint}
    async with open_policy(model, sampling or RoomySampling(), **options) as policy:
        return await run_rollout(
            RolloutRequest(task), policy, Protocol.named(protocol), limits or Limits()
        )


async def _attempt(
    request: RolloutRequest, policy: Policy, protocol: Protocol, limits: Limits
) -> tuple[Trajectory, PermanentPolicyError | None]:
    """Run one session; return its trajectory, and the error if no other rollout can succeed."""
    permanent = None
    started = time.perf_counter()
    task, policy = request.task, request.policy or policy
    trajectory = Trajectory(
        task_id=task.id,
        protocol=protocol,
        policy=policy.name,
        prompt=[],
        tools=[],
        needed=list(task.needed),
        labels=dict(task.labels),
        rollout=request.rollout,
    )
    try:
        session = Session(task, protocol, limits, approver=request.approver, budget=request.budget)
        trajectory.prompt, trajectory.tools = session.prompt(), session.tools.schemas()
        conversation = policy.conversation(trajectory.prompt, trajectory.tools)
        trajectory.prompt_ids = conversation.prompt_ids
        deadline = asyncio.timeout(session.budget.seconds_left())
        try:
            async with deadline:
                await _converse(session, conversation, trajectory, request)
            trajectory.stop_reason = session.stop_reason
        except TimeoutError:
            if not deadline.expired():
                raise
            trajectory.stop_reason = StopReason.BUDGET
        trajectory.prompt_tokens = conversation.prompt_tokens
        trajectory.answer = session.answer
        trajectory.score = await session.score(trajectory)
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        trajectory.stop_reason = StopReason.STOPPED
        trajectory.seconds = time.perf_counter() - started
        if request.on_stop is not None:
            request.on_stop(trajectory)
        raise
    except PolicyError as error:
        trajectory.stop_reason, trajectory.error = StopReason.POLICY_ERROR, str(error)
        permanent = error if isinstance(error, PermanentPolicyError) else None
    except Exception as error:  # noqa: BLE001 - a broken rollout is data, not a crash
        trajectory.stop_reason = StopReason.SESSION_ERROR
        trajectory.error = f"{type(error).__name__}: {error}"
    trajectory.seconds = time.perf_counter() - started
    return trajectory, permanent


async def _converse(
    session: Session, conversation: Conversation, trajectory: Trajectory, request: RolloutRequest
) -> None:
    """Alternate turns and observations until the policy or the session ends."""
    trajectory.steps = session.steps
    while session.stop_reason is None:
        if session.budget.exhausted():  # by sessions that share it
            session.stop_reason = StopReason.BUDGET
            return
        try:
            completion = await conversation.complete()
        except ContextFullError:
            session.stop_reason = StopReason.MAX_TOKENS
            return
        trajectory.completion_tokens += completion.tokens
        trajectory.sent = getattr(conversation, "sent", [])
        session.budget.spend_tokens(completion.prompt_tokens, completion.tokens)
        try:
            step = await session.step(completion.text)
        except asyncio.CancelledError:
            _complete(session.steps[-1], completion, request)
            raise
        if completion.cut_at and step.error in FORMAT_ERRORS:
            step.observation = TURN_CUT.format(completion.cut_at)
            if session.stop_reason is StopReason.INVALID_TURNS:
                session.stop_reason = StopReason.MAX_TOKENS
        if step.observation is not None and session.stop_reason is None:
            step.observation_ids = conversation.observe(step.observation, step.observation_role)
        _complete(step, completion, request)


def _complete(step: Step, completion: Completion, request: RolloutRequest) -> None:
    """Add the tokens of a turn to its step, then call `on_step`."""
    step.token_ids, step.slip = completion.token_ids, completion.slip
    step.log_probs = completion.log_probs
    if request.on_step is not None:
        request.on_step(step)


async def run_rollouts(
    requests: Iterable[RolloutRequest],
    policy: Policy,
    protocol: Protocol,
    limits: Limits,
    *,
    concurrency: int = 64,
    on_finish: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Run many rollouts, at most `concurrency` at a time.

    Args:
        requests: the rollouts to run; consumed lazily.
        policy: the model or script that writes the assistant turns.
        protocol: the trajectory format.
        limits: limits of each session.
        concurrency: the most sessions that run at the same time.
        on_finish: called with each trajectory as it ends (progress, writing to disk).

    Returns:
        The trajectories in the order of the requests.

    Raises:
        ConfigError: `concurrency` is below 1.
        PermanentPolicyError: the policy answers no further request; the rest is cancelled.
        Exception: any error of `requests` or `on_finish` (a full disk); the rest is cancelled.
    """

    async def run(request: RolloutRequest) -> Trajectory:
        trajectory, permanent = await _attempt(request, policy, protocol, limits)
        if on_finish is not None:
            on_finish(trajectory)
        if permanent is not None:
            raise permanent
        return trajectory

    return await side_by_side(run, requests, concurrency)


async def side_by_side(
    work: Callable[[Item], Awaitable[Result]], items: Iterable[Item], concurrency: int
) -> list[Result]:
    """Call an async function for each item, for at most `concurrency` items at a time.

    Args:
        work: the function.
        items: its arguments; consumed lazily.
        concurrency: the most calls that run at the same time, at least 1.

    Returns:
        The results in the order of the items.

    Raises:
        ConfigError: `concurrency` is below 1.
        Exception: the first error of `items` or `work`; the rest is cancelled.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency must be at least 1, got {concurrency}")
    queue = iter(enumerate(items))
    finished: dict[int, Result] = {}

    async def worker() -> None:
        for index, item in queue:
            finished[index] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for begun in range(1, concurrency + 1):
                group.create_task(worker())
                if begun % START_TOGETHER == 0:
                    await asyncio.sleep(0)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [finished[index] for index in sorted(finished)]


def groups(tasks: Sequence[Task], group_size: int) -> list[RolloutRequest]:
    """Return `group_size` requests for each task; those of one task are adjacent."""
    return [RolloutRequest(task, rollout) for task in tasks for rollout in range(group_size)]
