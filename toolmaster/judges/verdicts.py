"""Verdicts of a judge, each kept with its reason in a file and never asked for twice.

A verdict stands under a key made of all that was judged, the model and the prompt: trajectories of
the same content share it, also those that are judged at the same time. A judge that cannot be asked
is not asked again for every trajectory: the first failure answers for the rest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel

from toolmaster.errors import PolicyError
from toolmaster.judges.json_endpoint import JsonEndpoint, MalformedReplyError, Reply
from toolmaster.runs import append_line, read_models
from toolmaster.types import Record, Trajectory

REQUESTS = 8
"""Requests in flight."""
OBSERVATION_CHARS = 1500
"""Characters of each observation that a judge reads."""


class Vote(Record):
    """What every verdict on a trajectory says of itself, as kept in the file."""

    task_id: str
    rollout: int
    vote: int
    key: str
    judge: str
    """The model that was asked."""
    answered_by: str
    """The model that the endpoint says answered, which pins a version where a name does not."""
    prompt: str
    """Names the prompt."""


V = TypeVar("V", bound=Vote)


def prompt_name(instructions: str) -> str:
    """A short name of a prompt: other words, another name."""
    return hashlib.sha256(instructions.encode()).hexdigest()[:8]


class Verdicts(Generic[V]):
    """Asks a judge, and keeps what it says.

    Args:
        endpoint: who judges.
        file: where verdicts are kept; None keeps them in memory.
        instructions: the judge's system message.
        opinion: the JSON form it must write.
        verdict: what is kept: the fields of `opinion` and those of `Vote`.

    Raises:
        InputError: a line of the file is no verdict.
    """

    def __init__(
        self,
        endpoint: JsonEndpoint,
        file: Path | None,
        instructions: str,
        opinion: type[BaseModel],
        verdict: type[V],
    ) -> None:
        self._endpoint, self._file = endpoint, file
        self._instructions, self._opinion, self._verdict = instructions, opinion, verdict
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held: dict[str, V] = {}
        self._unformed: dict[str, str] = {}
        self.fault: str | None = None
        """Why the judge cannot be asked; None as long as it can."""
        for held in read_models(file, verdict) if file else ():
            self._held[held.key] = held

    async def get(self, trajectory: Trajectory, question: dict[str, Any], vote: int = 0) -> V:
        """The verdict on a trajectory, kept or asked for.

        Args:
            trajectory: what is judged.
            question: what the judge reads of it.
            vote: numbers the verdicts on the same trajectory.

        Raises:
            PolicyError: the judge cannot be asked, now or since an earlier failure.
            MalformedReplyError: it never wrote the form, now or when it was asked the same before.
        """
        self._enter_loop()
        key = self._key(question, vote)
        async with self._asking.setdefault(key, asyncio.Lock()):
            if key in self._unformed:
                raise MalformedReplyError(self._unformed[key])
            if key not in self._held:
                self._held[key] = await self._ask(trajectory, question, vote, key)
            return self._held[key]

    def _enter_loop(self) -> None:
        """Make the locks of the running event loop, where it is another one than before."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._turn = loop, asyncio.Semaphore(REQUESTS)
            self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def _ask(
        self, trajectory: Trajectory, question: dict[str, Any], vote: int, key: str
    ) -> V:
        """Ask the judge, and keep its verdict in the file; see `get`."""
        async with self._turn:
            if self.fault is not None:
                raise PolicyError(self.fault)
            try:
                reply: Reply[BaseModel] = await self._endpoint.ask(
                    self._instructions, question, self._opinion
                )
            except MalformedReplyError as error:
                self._unformed[key] = str(error)
                raise
            except PolicyError as error:
                self.fault = self.fault or str(error)
                raise
        verdict = self._verdict(
            task_id=trajectory.task_id,
            rollout=trajectory.rollout,
            vote=vote,
            key=key,
            judge=self._endpoint.model,
            answered_by=reply.model,
            prompt=prompt_name(self._instructions),
            **reply.value.model_dump(),
        )
        if self._file is not None:
            append_line(self._file, verdict.model_dump(mode="json"))
        return verdict

    def holds(self, question: dict[str, Any], vote: int = 0) -> bool:
        """Whether this judge has answered; see `get`."""
        return self._key(question, vote) in self._held

    def _key(self, question: dict[str, Any], vote: int) -> str:
        asked = [self._endpoint.model, prompt_name(self._instructions), question, vote]
        text = json.dumps(asked, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def observed(trajectory: Trajectory) -> dict[str, Any]:
    """The query, the calls with what they returned, and the answer, for a judge to read."""
    calls = [
        {
            "tool": step.call.name,
            "arguments": step.call.arguments,
            "returned": (step.observation or "")[:OBSERVATION_CHARS],
        }
        for step in trajectory.calls()
        if step.call is not None
    ]
    return {"query": trajectory.query, "calls": calls, "answer": trajectory.answer}
