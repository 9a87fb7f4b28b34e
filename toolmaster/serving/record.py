"""The trajectory of a session that is driven by a client or by the loop of another framework."""

from __future__ import annotations

from toolmaster.session import Session
from toolmaster.types import Trajectory


async def trajectory_of(session: Session, policy: str, seconds: float = 0.0) -> Trajectory:
    """Return the trajectory of a session; before its end it has an error and no score.

    Args:
        session: The session, ended or not.
        policy: Name of the client or policy that wrote the turns.
        seconds: Duration of the session; 0 if unknown.
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
