"""toolmaster's sessions as a verifiers taskset and environment (verifiers 0.4, `verifiers.v1`).

The session plays the user: each reply of the model is a turn, each observation the next user
message. `EnvConfig(taskset={"id": "toolmaster_verifiers"}, ...)` finds both.
"""

import json
import os
from collections.abc import Iterator

import verifiers.v1 as vf

from toolmaster import Limits, Protocol, taskset
from toolmaster.rewards.builtin import correctness, format_reward
from toolmaster.serving.record import trajectory_of
from toolmaster.session import Session

__all__ = ["SessionEnv", "SessionEnvConfig", "Tasks"]

# one line; the tools must need no open resources
TASKS = taskset(os.environ.get("TOOLMASTER_TASKSET", "world split=train"))


def open_session(task_id: str) -> Session:
    return Session(TASKS[task_id], Protocol.TRIAL, TASKS.limits or Limits())


class TasksConfig(vf.TasksetConfig):
    count: int = 1000


class Tasks(vf.Taskset[vf.Task[vf.TaskData, vf.State], TasksConfig]):
    def load(self) -> Iterator[vf.Task]:
        for task_id in TASKS.ids[: self.config.count]:
            session = open_session(task_id)
            system, user = session.prompt()
            tools = [json.dumps(schema["function"]) for schema in session.tools.schemas()]
            listing = "\n".join(["<tools>", *tools, "</tools>"])
            texts = {"system_prompt": f"{system.content}\n{listing}", "prompt": user.content}
            yield vf.Task(vf.TaskData(id=task_id, name=task_id, **texts), self.config.task)


class SessionEnvConfig(vf.EnvConfig):
    agent: vf.AgentConfig = vf.AgentConfig()


class SessionEnv(vf.Env[SessionEnvConfig]):
    async def run(self, task: vf.Task, agents: vf.Agents) -> None:
        session = open_session(task.data.id)
        async with agents.agent.interaction(task) as interaction:
            segment = await interaction.turn()
            while not segment.terminated:
                step = await session.step(segment.last_reply)
                if session.stop_reason is not None:
                    break
                message = f"<tool_response>{step.observation}</tool_response>"
                segment = await interaction.turn(message)
        trajectory = await trajectory_of(session, "verifiers")
        for name, reward in (("format", format_reward), ("correctness", correctness)):
            interaction.trace.record_reward(name, reward(trajectory) or 0.0, 1.0)
