"""toolmaster's sessions as an OpenEnv environment (openenv-core 0.3).

An action is the raw text of an assistant turn. `create_app(SessionEnvironment, Turn, Observed)` of
`openenv.core.env_server` serves it.
"""

import asyncio
import os
from typing import Any

from openenv.core.env_server import Action, Environment, Observation, State

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rewards import Rewards
from toolmaster.serving.record import trajectory_of
from toolmaster.session import Session
from toolmaster.tasksets import taskset

TASKS = os.environ.get("TOOLMASTER_TASKSET", "world")
"""The task set, in one line; its tools must need nothing that stays open."""
REWARDS = Rewards({"format": 1.0, "correctness": 1.0})


class Turn(Action):
    text: str


class Observed(Observation):
    """New messages and, after a reset, the schemas of the tools; the reward comes at the end."""

    messages: list[dict[str, str]] = []
    tools: list[dict[str, Any]] = []


class SessionEnvironment(Environment[Turn, Observed, State]):
    """Tasks of a task set: `reset(task_id=...)` begins one."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset_async(self, task_id: str, episode_id: str | None = None) -> Observed:
        self._session = Session(taskset(TASKS)[task_id], Protocol.TRIAL, Limits())
        self.state = State(episode_id=episode_id, task_id=task_id)
        messages = [message.model_dump() for message in self._session.prompt()]
        return Observed(messages=messages, tools=self._session.tools.schemas())

    async def step_async(self, action: Turn) -> Observed:
        step = await self._session.step(action.text)
        self.state.step_count += 1
        shown = [] if step.observation is None else [step.observation]
        messages = [{"role": step.observation_role, "content": text} for text in shown]
        if self._session.stop_reason is None:
            return Observed(messages=messages)
        reward = await REWARDS.of(await trajectory_of(self._session, "openenv"))
        return Observed(messages=messages, done=True, reward=reward)

    def reset(self, **given: Any) -> Observed:
        return asyncio.run(self.reset_async(**given))

    def step(self, action: Turn, **_given: Any) -> Observed:
        return asyncio.run(self.step_async(action))

    state: State = State()
