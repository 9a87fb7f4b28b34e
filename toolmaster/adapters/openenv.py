"""toolmaster's sessions as an OpenEnv environment (openenv-core 0.3).

An action is the text of an assistant turn. Serve it with openenv's `create_app`.
"""

import asyncio
import os
from typing import Any

from openenv.core.env_server import Action, Environment, Observation, State

from toolmaster import Limits, Protocol, taskset
from toolmaster.rewards import Rewards
from toolmaster.serving.record import trajectory_of
from toolmaster.session import Session

# one line; the tools must need no open resources
TASKS = taskset(os.environ.get("TOOLMASTER_TASKSET", "world"))
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
        self._session = Session(TASKS[task_id], Protocol.TRIAL, TASKS.limits or Limits())
        self.state = State(episode_id=episode_id, task_id=task_id)
        tools, prompt = self._session.tools, self._session.prompt()
        return Observed(messages=[m.model_dump() for m in prompt], tools=tools.schemas())

    async def step_async(self, action: Turn) -> Observed:
        step = await self._session.step(action.text)
        self.state.step_count += 1
        texts = [] if step.observation is None else [step.observation]
        messages = [{"role": step.observation_role, "content": text} for text in texts]
        if self._session.stop_reason is None:
            return Observed(messages=messages)
        reward = await REWARDS.of(await trajectory_of(self._session, "openenv"))
        return Observed(messages=messages, done=True, reward=reward)

    def reset(self, **given: Any) -> Observed:
        return asyncio.run(self.reset_async(**given))

    def step(self, action: Turn, **_given: Any) -> Observed:
        return asyncio.run(self.step_async(action))

    state: State = State()
