"""The record of a session that someone else drives: a client, or another framework's loop."""

from __future__ import annotations

from toolmaster.session import Session
from toolmaster.types import Trajectory


async def trajectory_of(session: Session, policy: str, seconds: float = 0.0) -> Trajectory:
    """What was done in a session so far; one that has not ended carries an error and no score.

    Args:
        session: ended or not.
        policy: name of whoever acted.
        seconds: how long it took, where that is known.
    """
    ended = session.stop_reason is not None
    trajectory = Trajectory(
        task_id=session.task.id,
        protocol=session.protocol,
        policy=policy,
        prompt=session.prompt(),
        tools=session.tools.schemas(),
        steps=session.steps,
        stop_reason=session.stop_reason,
        answer=session.answer,
        error=None if ended else "left before the end",
        labels=dict(session.task.labels),
        seconds=seconds,
    )
    if ended:
        trajectory.score = await session.score(trajectory)
    return trajectory
