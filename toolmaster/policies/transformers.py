"""A policy in this process: a Transformers checkpoint that generates for many rollouts at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from toolmaster.chat import ChatFormat
from toolmaster.errors import PolicyError
from toolmaster.models.checkpoints import fit_context, is_plain_causal
from toolmaster.policies.base import Sampling
from toolmaster.policies.compiled import compile_blocks
from toolmaster.policies.padded import PaddedBatch
from toolmaster.policies.prompt_lookup import NextTokens, PromptLookupDrafter
from toolmaster.policies.slots import Row, SlotCache
from toolmaster.policies.tokens import TokenConversation
from toolmaster.tags import CLOSING_TAGS
from toolmaster.types import Message

DRAFT_TOKENS = 3
"""The most draft tokens; longer drafts are wrong too often (benchmarks/rollouts.py)."""
SMALLEST_PROBABILITY = 1e-38
"""Lower bound of probabilities, which keeps logarithms finite."""
COMPILE_AFTER_STEPS = 100
"""Steps after which the model's blocks are compiled; a single task ends earlier."""


@dataclass(slots=True)
class _Turn:
    """A turn that is being generated."""

    row: Row
    budget: int
    """The most tokens to sample."""
    done: asyncio.Future[tuple[list[int], list[float]]]
    start: int
    """Number of tokens before this turn."""
    ngrams: NextTokens = field(default_factory=dict)
    closed: bool = False
    """Whether a closing tag of the protocol is written."""
    log_probs: list[float] = field(default_factory=list)
    """Log-probabilities of the tokens sampled in this turn; empty at temperature 0."""


class TransformersPolicy:
    """Generates with a model in this process.

    Rollouts call it concurrently. One asyncio task, which lives while there is work, runs the model
    for all of them, a token at a time. A turn ends at the end-of-turn token or after a closing tag
    of the protocol.

    A model with plain causal attention generates with our slot cache, any other with Transformers'
    own cache (see `models.is_plain_causal`).

    Args:
        model: A causal language model, best in the dtype `models.fast_dtype()`.
        chat: The chat format of its tokenizer.
        sampling: Temperature, tokens of a turn and of a trajectory, and rollouts in flight.
        name: Shown in trajectories.
        seed: Seed of the sampling. Results repeat if rollouts are submitted in the same order.

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
        self._waiting: list[_Turn] = []
        self._running: dict[int, _Turn] = {}
        self._stepping: asyncio.Task[None] | None = None
        self._closing_ids = _closing_ids(chat)
        self._drafter = PromptLookupDrafter(DRAFT_TOKENS if self._cache.accepts_drafts else 0)
        self._steps = 0

    def conversation(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> TokenConversation:
        """Begin a rollout."""
        prompt_ids = self.chat.prompt_ids(prompt, tools)
        return TokenConversation(self.chat, self.sampling, self.generate, prompt_ids)

    def load_weights(
        self, weights: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]]
    ) -> None:
        """Load the weights of another model of the same shape, such as the one GRPO trains.

        Args:
            weights: A state dict, or its items, which are taken one by one; values are cast to this
                model's dtype.

        Raises:
            RuntimeError: Names or shapes differ, or rollouts are in flight.
        """
        if self._running or self._waiting:
            raise RuntimeError("weights cannot change while rollouts are in flight")
        own = self.model.state_dict(keep_vars=True)
        missing = {id(tensor): name for name, tensor in reversed(own.items())}  # one if tied
        for name, value in weights.items() if isinstance(weights, Mapping) else weights:
            if name not in own or own[name].shape != value.shape:
                raise RuntimeError(f"this model has no weight {name} of shape {(*value.shape,)}")
            own[name].detach().copy_(value)
            missing.pop(id(own[name]), None)
        if missing:
            raise RuntimeError(f"Missing keys: {', '.join(missing.values())}")
        self._cache.clear()
        self._drafter = PromptLookupDrafter(self._drafter.length)

    def reseed(self, *parts: int) -> None:
        """Restart the sampling from a seed made of these numbers."""
        self._generator.manual_seed(random.Random(repr(parts)).getrandbits(63))

    async def generate(
        self, token_ids: list[int], max_new_tokens: int
    ) -> tuple[list[int], list[float]]:
        """Sample one turn after `token_ids`: at least 1 and at most `max_new_tokens` tokens.

        Returns:
            The tokens, and the log-probability of each under the distribution it was sampled from,
            after temperature; no log-probabilities at temperature 0.

        Raises:
            PolicyError: The model failed; every rollout in flight receives the same error.
        """
        loop = asyncio.get_running_loop()
        turn = _Turn(Row(list(token_ids)), max_new_tokens, loop.create_future(), len(token_ids))
        self._drafter.learn(turn.row.token_ids, 0, turn.ngrams)
        self._waiting.append(turn)
        if self._stepping is None or self._stepping.done():
            self._stepping = loop.create_task(self._run())
        return await turn.done

    async def _run(self) -> None:
        """Run the model while there are turns to generate; sessions run between its steps."""
        try:
            while self._waiting or self._running:
                self._admit()
                self._steps += 1
                if self._steps == COMPILE_AFTER_STEPS:
                    compile_blocks(self.model)
                rows, logits = self._cache.step()
                tokens = iter(self._sample(logits))
                for row in rows:
                    drawn = [next(tokens) for _ in range(1 + len(row.draft))]
                    self._accept(self._running[row.slot], drawn)
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - passed to every waiting rollout
            for turn in [*self._waiting, *self._running.values()]:
                if not turn.done.done():
                    turn.done.set_exception(PolicyError(f"{type(error).__name__}: {error}"))
        finally:
            for turn in self._running.values():
                self._cache.release(turn.row)
            self._waiting, self._running = [], {}

    def _admit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if self._cache.admit(turn.row):
                self._running[turn.row.slot] = turn
            else:
                self._waiting.append(turn)

    def _sample(self, logits: torch.Tensor) -> list[tuple[int, float | None]]:
        """Return a token for each row of logits, (N, V), with its log-probability if it is drawn.

        On CPU this takes a seventh of the time of `multinomial`.
        """
        if self.sampling.temperature == 0.0:  # `topk` takes a third of the time of `argmax`
            return [(token, None) for token in logits.topk(1).indices[:, 0].tolist()]
        scaled = logits / self.sampling.temperature
        shares = torch.softmax(scaled, -1, dtype=torch.float32)
        below = shares.cumsum(-1)
        drawn = torch.rand(len(logits), 1, generator=self._generator, device=logits.device)
        places = torch.searchsorted(below, drawn * below[:, -1:], right=True)
        places = places.clamp_max(logits.shape[1] - 1)
        log_probs = shares.gather(1, places).clamp_min(SMALLEST_PROBABILITY).log()
        return list(zip(places[:, 0].tolist(), log_probs[:, 0].tolist(), strict=True))

    def _accept(self, turn: _Turn, drawn: list[tuple[int, float | None]]) -> None:
        """Append the token drawn after the last one, and those after each accepted draft token.

        A draft token is accepted if the model has drawn the same token; the rest is dropped.
        """
        row, known = turn.row, len(turn.row.token_ids)
        draft, row.draft = row.draft, []
        for index, (token, log_prob) in enumerate(drawn):
            row.computed += index > 0
            if self._append(turn, token, log_prob):
                return
            if draft[index : index + 1] != [token]:
                break
        self._drafter.learn(row.token_ids, known, turn.ngrams)
        room = turn.budget - (len(row.token_ids) - turn.start) - 1
        row.draft = self._drafter.draft(row.token_ids, turn.ngrams, room)

    def _append(self, turn: _Turn, token: int, log_prob: float | None) -> bool:
        """Append a sampled token, and return whether the turn is over.

        After a closing tag only the end-of-turn token is appended: a model that writes another
        token instead is stopped there, and that token is dropped.
        """
        end = token == self.chat.end_of_turn_id
        if not turn.closed or end:
            turn.row.token_ids.append(token)
            if log_prob is not None:
                turn.log_probs.append(log_prob)
        sampled = turn.row.token_ids[turn.start :]
        over = end or turn.closed or len(sampled) >= turn.budget
        if over:
            del self._running[turn.row.slot]
            self._cache.release(turn.row)
            if not turn.done.done():
                turn.done.set_result((sampled, turn.log_probs))
        elif token in self._closing_ids:
            turn.closed = self.chat.text(sampled[-12:]).rstrip().endswith(CLOSING_TAGS)
        return over


def _closing_ids(chat: ChatFormat) -> frozenset[int]:
    """Return the tokens whose text ends with ">": after them a closing tag may be complete."""
    vocabulary = chat.tokenizer.get_vocab()
    return frozenset(index for token, index in vocabulary.items() if str(token).endswith(">"))
