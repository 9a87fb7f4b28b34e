"""Turns conversations into tokens, for rollouts and for training alike.

Rollouts append tokens turn by turn; SFT renders finished trajectories. Both use `ChatFormat`,
message by message, so the tokens are the same by construction: the prompt, then for each step the
turn (completion mask 1) and the observation with everything up to the next generation prompt
(mask 0).

Text from tools, users and schemas never becomes a tag of the protocol or a control token of the
template: a space is put into such text. Turns keep their tags, which the policy writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from toolmaster.chat.pieces import CONVERSATION, PROBE_TOOL, Pieces, Render, common_prefix
from toolmaster.chat.template import renderer, template_pieces
from toolmaster.errors import InputError
from toolmaster.tags import (
    RESPONSE_TAGS,
    TAGS,
    broken,
    inert,
    split_experience,
    with_texts,
    without_controls,
)
from toolmaster.types import Message, Phase, Role, Step, Trajectory


class Rendered(NamedTuple):
    """A conversation as tokens; all lists have the same length T."""

    token_ids: list[int]
    completion_mask: list[int]
    """1 for tokens that the policy writes, 0 for others and for injected errors."""
    phases: list[Phase | None]
    """The phase of the turn that the token belongs to; None if the mask is 0."""


@dataclass(slots=True)
class ChatFormat:
    """Renders with the chat template of one tokenizer.

    Args:
        tokenizer: a Transformers tokenizer, see `prepare_tokenizer`.

    Raises:
        InputError: the chat template does more than append; the message says what.
    """

    tokenizer: Any
    _pieces: Pieces = field(init=False)
    _render: Render = field(init=False)
    _special: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self._pieces = template_pieces(self.tokenizer)
        self._render = renderer(self.tokenizer)
        self._special = _control_tokens(self.tokenizer)
        self._check_tokens()

    def _check_tokens(self) -> None:
        """Check that messages tokenized one by one give the tokens of the whole conversation.

        Turns that begin with line breaks are left out: many tokenizers join these with the line
        break before the turn. Such a turn keeps the tokens that were sampled.
        """
        messages = [
            Message(role=role, content=content.lstrip("\n") if role == "assistant" else content)
            for role, content in CONVERSATION
        ]
        token_ids = self.prompt_ids(messages[:2], [PROBE_TOOL])
        for message in messages[2:]:
            if message.role == "assistant":
                token_ids += self.turn_ids(message.content)
            else:
                token_ids += self.observation_ids(message.content, message.role)
        shown = [{"role": m.role, "content": self._content(m)} for m in messages]
        text = self._render(shown, [PROBE_TOOL], False)
        whole = self._encode(text)[: len(token_ids)]
        if whole != token_ids:
            at = common_prefix(whole, token_ids)
            raise InputError(
                f"the tokenizer of {self.tokenizer.name_or_path!r} makes other tokens of a whole"
                f" conversation than of its messages one by one, at"
                f" {self.tokenizer.decode(whole[max(at - 5, 0) : at + 5])!r}"
            )

    @property
    def end_of_turn_id(self) -> int:
        """The id of the token that ends an assistant turn."""
        return int(self.tokenizer.convert_tokens_to_ids(self._pieces.end))

    def prompt_ids(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[int]:
        """Return the tokens before the first assistant turn, with the generation prompt."""
        messages = [{"role": m.role, "content": self._content(m)} for m in prompt]
        shown = with_texts(list(tools), self._break_tags)
        return self._encode(self._render(messages, shown, True))

    def turn_ids(self, text: str) -> list[int]:
        """Return the tokens of an assistant turn with its end-of-turn token."""
        begun = self._pieces.end + self._pieces.header
        return [*self._after(begun, self._break_controls(text)), self.end_of_turn_id]

    def observation_ids(self, observation: str, role: Role = "tool") -> list[int]:
        """Return the tokens after an end-of-turn token, including the next generation prompt."""
        before, after = self._pieces.around[role]
        return self._after(self._pieces.end, before + self._break_tags(observation) + after)

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the text of a sampled turn, without its end-of-turn token."""
        ids = list(token_ids)
        if ids and ids[-1] == self.end_of_turn_id:
            ids.pop()
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def render(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]], steps: Sequence[Step]
    ) -> Rendered:
        """Return a trajectory as tokens: the recorded tokens of a step, or its encoded text."""
        token_ids = self.prompt_ids(prompt, tools)
        mask = [0] * len(token_ids)
        phases: list[Phase | None] = [None] * len(token_ids)
        for index, step in enumerate(map(self._with_tokens, steps)):
            trained = not step.slip
            token_ids += step.token_ids
            mask += [int(trained)] * len(step.token_ids)
            phases += [step.phase if trained else None] * len(step.token_ids)
            if index + 1 < len(steps):
                token_ids += step.observation_ids
                mask += [0] * len(step.observation_ids)
                phases += [None] * len(step.observation_ids)
        return Rendered(token_ids, mask, phases)

    def with_tokens(self, trajectory: Trajectory) -> Trajectory:
        """Return a trajectory with tokens of this tokenizer wherever it has none."""
        steps = [self._with_tokens(step) for step in trajectory.steps]
        prompt = trajectory.prompt_ids or self.prompt_ids(trajectory.prompt, trajectory.tools)
        return trajectory.model_copy(update={"steps": steps, "prompt_ids": prompt})

    def _with_tokens(self, step: Step) -> Step:
        turn, seen = step.token_ids or self.turn_ids(step.text), step.observation_ids
        if not seen and step.observation is not None:
            seen = self.observation_ids(step.observation, step.observation_role)
        return step.model_copy(update={"token_ids": turn, "observation_ids": seen})

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _after(self, earlier: str, text: str) -> list[int]:
        """Return the tokens of a text that follows another; the start of a text may have a mark."""
        before, token_ids = self._encode(earlier), self._encode(earlier + text)
        if token_ids[: len(before)] == before:
            return token_ids[len(before) :]
        return self._encode(text)  # otherwise its first token would merge with the one before it

    def _content(self, message: Message) -> str:
        """Return the content of a message as it is encoded; only turns and ours keep their tags.

        The session has already broken the tags inside the experience, see `tags.with_experience`.
        """
        if message.role in ("system", "assistant"):
            return self._break_controls(message.content)
        query = message.content
        if message.role == "user":
            query, _ = split_experience(query)
        return self._break_tags(query) + self._break_controls(message.content[len(query) :])

    def _break_controls(self, text: str) -> str:
        """Return the text with control tokens broken; tags of the protocol stay."""
        return self._special.sub(lambda match: broken(match.group()), without_controls(text))

    def _break_tags(self, text: str) -> str:
        """Return the text with control tokens and tags broken."""
        return self._break_controls(inert(text))


def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Return a pattern of the special tokens and of the added tokens that the template writes.

    Special tokens count with or without a role such as `eos_token`. Other added tokens, such as
    runs of spaces, are ordinary text.
    """
    template = str(tokenizer.chat_template)
    tokens = {"<|im_start|>", *map(str, tokenizer.all_special_tokens)}
    for token in tokenizer.added_tokens_decoder.values():
        if token.special or (str(token).strip() and str(token) in template):
            tokens.add(str(token))
    tokens -= {*TAGS, *RESPONSE_TAGS}
    return re.compile("|".join(map(re.escape, sorted(tokens, reverse=True))))
