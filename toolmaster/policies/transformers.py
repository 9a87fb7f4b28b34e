"""The in-process policy: a Transformers checkpoint, generating for many rollouts in one batch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from toolmaster.chat import ChatFormat
from toolmaster.errors import PolicyError
from toolmaster.models import fit_context, is_plain_causal
from toolmaster.policies.base import Completion, ContextFullError, Sampling
from toolmaster.policies.compiled import compile_blocks
from toolmaster.policies.drafts import Drafts, Followers
from toolmaster.policies.padded import PaddedBatch
from toolmaster.policies.slots import Row, SlotCache
from toolmaster.tags import CLOSING_TAGS
from toolmaster.types import Message, Role

_DRAFT = 3
"""Tokens guessed at most; more are too often wrong to pay (benchmarks/rollouts.py)."""
_SMALLEST = 1e-38
"""Below the smallest share that a token can be drawn with; keeps logarithms finite."""
_COMPILE_AFTER = 100
"""Steps after which the model's blocks are compiled: a single task is done before that pays."""


@dataclass(slots=True)
class _Job:
    row: Row
    budget: int
    done: asyncio.Future[tuple[list[int], list[float]]]
    start: int
    """Tokens of the row that were there before this turn."""
    followers: Followers = field(default_factory=dict)
    closed: bool = False
    log_probs: list[float] = field(default_factory=list)
    """Of the tokens sampled in this turn; empty where the most likely token is taken."""


@dataclass(slots=True)
class _Dialogue:
    """One rollout's tokens; see `policies.base.Conversation`."""

    policy: TransformersPolicy
    prompt_ids: list[int]
    prompt_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.token_ids = list(self.prompt_ids)
        self.prompt_tokens = len(self.prompt_ids)

    async def complete(self) -> Completion:
        sampling = self.policy.sampling
        room = sampling.context_tokens - len(self.token_ids) - 1
        if room < 1:
            raise ContextFullError
        read = len(self.token_ids)
        room = min(sampling.turn_tokens, room)
        sampled, log_probs = await self.policy.generate(self.token_ids, room)
        self.token_ids += sampled
        text = self.policy.chat.text(sampled)
        return Completion(text, sampled, len(sampled), prompt_tokens=read, log_probs=log_probs)

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        end = self.policy.chat.end_of_turn_id
        appended = [] if self.token_ids[-1] == end else [end]
        appended += self.policy.chat.observation_ids(observation, role)
        self.token_ids += appended
        return appended


class TransformersPolicy:
    """Generates with a model in this process.

    Rollouts call it concurrently; a pump task, alive only while there is work, steps all of them
    together. Turns end at the end-of-turn token or once a closing tag of the protocol is written.

    A model of plain causal attention generates with our slot cache, any other with Transformers'
    own forward pass and cache (see `models.is_plain_causal`).

    Args:
        model: a causal language model in evaluation mode, best in `models.fast_dtype()`.
        chat: the chat format of its tokenizer.
        sampling: how to generate.
        name: shown in trajectories.
        seed: of the sampling; results repeat when rollouts are submitted in the same order.

    Raises:
        InputError: `sampling.context_tokens` is more than the model was made for.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        chat: ChatFormat,
        sampling: Sampling,
        name: str = "transformers",
        seed: int = 0,
    ) -> None:
        sampling = fit_context(model.config, sampling, name)
        self.model = model.eval()
        self.chat = chat
        self.sampling = sampling
        self.name = name
        self._cache: SlotCache | PaddedBatch
        if is_plain_causal(model.config):
            self._cache = SlotCache(model, sampling.slots, sampling.context_tokens)
        else:
            self._cache = PaddedBatch(model, sampling.slots)
        self._generator = torch.Generator(device=model.device).manual_seed(seed)
        self._waiting: list[_Job] = []
        self._running: dict[int, _Job] = {}
        self._pump: asyncio.Task[None] | None = None
        self._closers = _closing_ids(chat)
        self._drafts = self._new_drafts()
        self._steps = 0

    def _new_drafts(self) -> Drafts:
        return Drafts(_DRAFT if self._cache.drafts else 0)

    def conversation(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> _Dialogue:
        """Begin a rollout."""
        return _Dialogue(self, self.chat.prompt_ids(prompt, tools))

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over the weights of another model of the same shape (GRPO's trained one).

        Args:
            weights: a state dict; values are cast to this model's dtype.

        Raises:
            RuntimeError: names or shapes differ, or rollouts are in flight.
        """
        if self._running or self._waiting:
            raise RuntimeError("weights cannot change while rollouts are in flight")
        self.model.load_state_dict(weights)
        self._cache.clear()
        self._drafts = self._new_drafts()

    def reseed(self, *parts: int) -> None:
        """Begin the sampling anew from a seed made of these numbers."""
        self._generator.manual_seed(random.Random(repr(parts)).getrandbits(63))

    async def generate(
        self, token_ids: list[int], max_new_tokens: int
    ) -> tuple[list[int], list[float]]:
        """Sample one turn after `token_ids`; at most `max_new_tokens` tokens, at least one.

        Returns:
            The tokens, and the log-probability of each under the distribution it was sampled from,
            after temperature; no log-probabilities at temperature 0.

        Raises:
            PolicyError: the model failed; every rollout in flight receives the same.
        """
        loop = asyncio.get_running_loop()
        job = _Job(Row(list(token_ids)), max_new_tokens, loop.create_future(), len(token_ids))
        self._drafts.learn(job.row.token_ids, 0, job.followers)
        self._waiting.append(job)
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._run())
        return await job.done

    async def _run(self) -> None:
        """Step while there is work; sessions answer between steps."""
        try:
            while self._waiting or self._running:
                self._admit()
                self._steps += 1
                if self._steps == _COMPILE_AFTER:
                    compile_blocks(self.model)
                rows, logits = self._cache.step()
                tokens = iter(self._sample(logits))
                for row in rows:
                    drawn = [next(tokens) for _ in range(1 + len(row.draft))]
                    self._take_all(self._running[row.slot], drawn)
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - handed to every rollout that waits
            for job in [*self._waiting, *self._running.values()]:
                if not job.done.done():
                    job.done.set_exception(PolicyError(f"{type(error).__name__}: {error}"))
        finally:
            for job in self._running.values():
                self._cache.release(job.row)
            self._waiting, self._running = [], {}

    def _admit(self) -> None:
        waiting = []
        for job in self._waiting:
            if self._cache.admit(job.row):
                self._running[job.row.slot] = job
            else:
                waiting.append(job)
        self._waiting = waiting

    def _sample(self, logits: torch.Tensor) -> list[tuple[int, float | None]]:
        """A token for each row of (N, V), with its log-probability where one is drawn.

        On CPU it takes a seventh of the time of `multinomial`.
        """
        if self.sampling.temperature == 0.0:  # `topk` takes a third of the time of `argmax`
            return [(token, None) for token in logits.topk(1).indices[:, 0].tolist()]
        scaled = logits / self.sampling.temperature
        shares = torch.softmax(scaled, -1, dtype=torch.float32)
        below = shares.cumsum(-1)
        drawn = torch.rand(len(logits), 1, generator=self._generator, device=logits.device)
        places = torch.searchsorted(below, drawn * below[:, -1:], right=True)
        places = places.clamp_max(logits.shape[1] - 1)
        log_probs = shares.gather(1, places).clamp_min(_SMALLEST).log()
        return list(zip(places[:, 0].tolist(), log_probs[:, 0].tolist(), strict=True))

    def _take_all(self, job: _Job, drawn: list[tuple[int, float | None]]) -> None:
        """Take what was drawn after the last token and after each token of the draft.

        A token drawn after a draft holds only where the draft was drawn as well.
        """
        row, known = job.row, len(job.row.token_ids)
        draft, row.draft = row.draft, []
        for index, (token, log_prob) in enumerate(drawn):
            row.computed += index > 0
            if self._take(job, token, log_prob):
                return
            if draft[index : index + 1] != [token]:
                break
        self._drafts.learn(row.token_ids, known, job.followers)
        room = job.budget - (len(row.token_ids) - job.start) - 1
        row.draft = self._drafts.guess(row.token_ids, job.followers, room)

    def _take(self, job: _Job, token: int, log_prob: float | None) -> bool:
        """Append a sampled token; end the turn and say so when it is over.

        A closing tag is followed by the end-of-turn token; a model that goes on instead is stopped
        there, and the token it went on with is dropped.
        """
        end = token == self.chat.end_of_turn_id
        if not job.closed or end:
            job.row.token_ids.append(token)
            if log_prob is not None:
                job.log_probs.append(log_prob)
        sampled = job.row.token_ids[job.start :]
        over = end or job.closed or len(sampled) >= job.budget
        if over:
            del self._running[job.row.slot]
            self._cache.release(job.row)
            if not job.done.done():
                job.done.set_result((sampled, job.log_probs))
        elif token in self._closers:
            job.closed = self.chat.text(sampled[-12:]).rstrip().endswith(CLOSING_TAGS)
        return over


def _closing_ids(chat: ChatFormat) -> frozenset[int]:
    """Tokens whose text ends with ">", after which a closing tag may be complete."""
    vocabulary = chat.tokenizer.get_vocab()
    return frozenset(index for token, index in vocabulary.items() if str(token).endswith(">"))
