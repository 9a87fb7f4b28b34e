"""A teacher model: any policy, told how to work, whose turns are kept as they are paid for.

The session hands it the student's prompt and the trajectory keeps that one; on the way to the
endpoint, and only there, the teacher's instruction takes the place of the student's short form. So
what is recorded is in the student's form from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.policies.base import Completion, Conversation, Policy
from toolmaster.protocols import find_form
from toolmaster.teacher.paid import Answer, Paid, key_of
from toolmaster.types import Message, Role

ROLE = "teacher"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher for one rollout.

    Args:
        policy: who writes the turns.
        instruction: how to work; see `prompt.teacher_instruction`.
        paid: where turns are looked up and kept.
        place: names the rollout: the same conversation elsewhere is another one.
    """

    policy: Policy
    instruction: str
    paid: Paid
    place: str

    @property
    def name(self) -> str:
        """That of the model."""
        return self.policy.name

    def conversation(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> _Lesson:
        """Begin a rollout with the student's prompt."""
        system, *rest = prompt
        _, more = find_form(system.content)  # what was known of the tools before, for example
        content = f"{self.instruction}\n\n{more}" if more else self.instruction
        told = Message(role="system", content=content)
        return _Lesson(self, [told, *rest], list(tools))


@dataclass(slots=True)
class _Lesson:
    """Plays the turns that were paid for; from the first one that was not, asks."""

    teacher: Teacher
    messages: list[Message]
    tools: list[dict[str, Any]]
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    asked: Conversation | None = None

    async def complete(self) -> Completion:
        said = [[message.role, message.content] for message in self.messages]
        key = key_of(self.teacher.place, self.teacher.name, said, self.tools)
        answer = self.teacher.paid.find(key) or await self._ask(key)
        self.prompt_tokens = self.prompt_tokens or answer.prompt_tokens
        self.messages.append(Message(role="assistant", content=answer.text))
        return Completion(
            answer.text.strip(), tokens=answer.tokens, prompt_tokens=answer.prompt_tokens
        )

    async def _ask(self, key: str) -> Answer:
        if self.asked is None:
            self.asked = self.teacher.policy.conversation(self.messages, self.tools)
        written = await self.asked.complete()
        answer = Answer(
            role=ROLE,
            text=written.text,
            prompt_tokens=written.prompt_tokens,
            tokens=written.tokens,
            key=key,
        )
        self.teacher.paid.add(answer)
        return answer

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        if self.asked is not None:
            self.asked.observe(observation, role)
        if role == "tool":  # as every endpoint can read it, when the rest of a rollout is asked for
            observation = f"<tool_response>{observation}</tool_response>"
        self.messages.append(Message(role="user", content=observation))
        return []
