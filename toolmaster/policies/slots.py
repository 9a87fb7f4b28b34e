"""Batched generation (continuous batching) with a key-value cache that is kept between turns.

The model is Transformers', the cache is ours. It has a fixed number of slots, and each slot knows
the tokens whose keys and values it holds. A request gets the slot that shares its longest prefix,
or a copy of it. So the next turn of a rollout continues in its own slot, the members of a group
share their prompt, and all tasks share the system message. Finished rows leave and new rows enter
at every step. A step runs the tokens of decoding rows and of prompts as one row without padding,
through an attention function registered with Transformers' attention interface.

A decoding row may have a draft of its next tokens, which the same pass scores. On GPUs, where
starting a kernel costs more than computing on padding, rows with a few uncached tokens, such as an
observation, attend as one padded block as well; rows with one uncached token have their own block.

Shapes: as in `slot_attention`; V is the vocabulary.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from toolmaster.models.checkpoints import is_plain_causal
from toolmaster.policies.slot_attention import ATTENTION, Block, Segment, StepPlan

_GROWTH = 128
"""Tokens by which slots are lengthened when needed."""


@dataclass(slots=True)
class Row:
    """One generation request in the batch."""

    token_ids: list[int]
    """Prompt and everything sampled so far."""
    computed: int = 0
    """Number of `token_ids` that are in the cache."""
    slot: int = -1
    draft: list[int] = field(default_factory=list)
    """Draft tokens: scored while the row decodes, but not part of `token_ids`."""

    @property
    def missing(self) -> int:
        """Number of `token_ids` that are not in the cache yet."""
        return len(self.token_ids) - self.computed


class SlotCache:
    """The slots and one model's forward pass over them.

    Args:
        model: A causal language model of Transformers with plain causal attention, see
            `models.is_plain_causal`. Its attention implementation is switched to ours.
        slots: The most rows in flight.
        max_length: The most tokens of a slot.
        step_tokens: The most prompt tokens in one step, besides decoding rows; None for the default
            of the device.
        short_tokens: The most uncached tokens of a row that attends with the decoding rows; None
            for the default of the device.

    Raises:
        ValueError: The architecture needs more than plain causal attention.
    """

    accepts_drafts = True
    """Whether rows may have draft tokens."""

    def __init__(
        self,
        model: PreTrainedModel,
        slots: int,
        max_length: int,
        step_tokens: int | None = None,
        short_tokens: int | None = None,
    ) -> None:
        if not is_plain_causal(model.config):
            raise ValueError(f"{model.config.model_type}: not plain causal attention")
        self.model = model
        self.max_length = max_length
        on_cpu = model.device.type == "cpu"
        self.step_tokens = step_tokens or (1024 if on_cpu else 8192)
        self.short_tokens = short_tokens or (1 if on_cpu else 64)
        model.set_attn_implementation(ATTENTION)
        config = model.config.get_text_config()
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        self._repeats = heads // kv_heads
        empty = torch.zeros(
            slots, kv_heads, min(_GROWTH, max_length), head_dim,
            dtype=model.dtype, device=model.device,
        )  # fmt: skip
        self._keys = [empty.clone() for _ in range(config.num_hidden_layers)]
        self._values = [empty.clone() for _ in range(config.num_hidden_layers)]
        self._cached_ids: list[list[int]] = [[] for _ in range(slots)]
        self._busy: list[Row | None] = [None] * slots
        self._last_used = [0] * slots
        self._clock = 0

    @torch.inference_mode()
    def clear(self) -> None:
        """Drop all cached tokens, because the weights have changed, and shorten the slots."""
        self._cached_ids = [[] for _ in self._cached_ids]
        for cached in (self._keys, self._values):
            cached[:] = [tensor[:, :, :_GROWTH].contiguous() for tensor in cached]

    @torch.inference_mode()  # slots that have grown are inference tensors
    def admit(self, row: Row) -> bool:
        """Give a row a slot that holds as much of its prefix as is cached.

        Returns:
            False if no slot is free, or if waiting one step lets the row share a prompt that
            another row is computing.
        """
        free = [slot for slot, busy in enumerate(self._busy) if busy is None]
        if not free:
            return False
        cached = self._cached_ids
        own = next((slot for slot in free if _continues(cached[slot], row.token_ids)), None)
        if own is not None:
            self._assign(row, own, len(cached[own]))
            return True
        shared = [_common_prefix(ids, row.token_ids) for ids in cached]
        coming = [
            _common_prefix(busy.token_ids, row.token_ids) if busy else 0 for busy in self._busy
        ]
        best = max(range(len(shared)), key=lambda slot: (shared[slot], self._busy[slot] is None))
        if max(coming) > shared[best] + 16:
            return False
        common = min(shared[best], len(row.token_ids) - 1)
        if self._busy[best] is None and len(cached[best]) - shared[best] <= 16:
            slot = best  # its tokens beyond the shared prefix are not worth keeping
        else:
            slot = min(free, key=lambda s: self._last_used[s])
            if slot != best and common:
                for keys, values in zip(self._keys, self._values, strict=True):
                    keys[slot, :, :common] = keys[best, :, :common]
                    values[slot, :, :common] = values[best, :, :common]
        self._assign(row, slot, common)
        return True

    def _assign(self, row: Row, slot: int, computed: int) -> None:
        """Assign a slot to a row; the slot holds the row's first `computed` tokens."""
        row.slot, row.computed = slot, computed
        self._cached_ids[slot] = row.token_ids[:computed]
        self._busy[slot] = row

    def release(self, row: Row) -> None:
        """Free the row's slot; its tokens stay cached until the slot is needed."""
        self._clock += 1
        self._last_used[row.slot] = self._clock
        self._cached_ids[row.slot] = row.token_ids[: row.computed]
        self._busy[row.slot] = None

    @torch.inference_mode()
    def step(self) -> tuple[list[Row], torch.Tensor]:
        """Run one forward pass over all rows in flight.

        Returns:
            The rows whose prompts are complete, and next-token logits, (M, V): for each of these
            rows one after its last token, then one after each token of its draft. Draft tokens are
            scored but not committed: the caller adds 1 to `row.computed` for each draft token that
            it accepts.
        """
        narrow: list[Row] = []
        wide: list[Row] = []
        prompts: list[tuple[Row, int]] = []
        room = self.step_tokens
        for row in (row for row in self._busy if row is not None):
            if row.missing == 1:
                narrow.append(row)
            elif row.missing <= self.short_tokens:
                wide.append(row)
            elif room > 0:
                prompts.append((row, min(row.missing, room)))
                room -= row.missing
        pieces = [*((row, row.missing) for row in (*narrow, *wide)), *prompts]
        plan, input_ids, ends = self._plan(pieces, len(narrow), len(wide))
        logits = self.model(
            input_ids=input_ids,
            position_ids=plan.positions.unsqueeze(0),
            use_cache=False,
            logits_to_keep=self._tensor(ends),
            step_plan=plan,
        ).logits[0]
        whole: list[bool] = []
        for row, count in pieces:
            row.computed += count
            self._cached_ids[row.slot] = row.token_ids[: row.computed]
            whole += [row.missing == 0] * (1 + len(row.draft))
        return [row for row, _ in pieces if row.missing == 0], logits[self._tensor(whole)]

    def _plan(
        self, pieces: list[tuple[Row, int]], narrow: int, wide: int
    ) -> tuple[StepPlan, torch.Tensor, list[int]]:
        """Return the plan of a step, its tokens, (1, N), and those whose logits are needed.

        Args:
            pieces: Rows, each with the number of its tokens that are computed besides its draft.
            narrow: Number of rows, at the beginning, that miss one token.
            wide: Number of rows after them that attend together.
        """
        tokens: list[int] = []
        slots: list[int] = []
        positions: list[int] = []
        ends: list[int] = []
        begins: list[int] = []
        for row, count in pieces:
            begin = len(tokens)
            begins.append(begin)
            ends += range(begin + count - 1, begin + count + len(row.draft))
            tokens += [*row.token_ids[row.computed : row.computed + count], *row.draft]
            slots += [row.slot] * (len(tokens) - begin)
            positions += range(row.computed, row.computed + len(tokens) - begin)
        self._grow(max(positions) + 1)
        rows = [row for row, _ in pieces]
        blocks = []
        if narrow:
            blocks.append(self._block(rows[:narrow], 0, copied=False))
        if wide:
            blocks.append(self._block(rows[narrow : narrow + wide], begins[narrow], copied=True))
        segments = []
        for (row, count), begin in list(zip(pieces, begins, strict=True))[narrow + wide :]:
            segments.append(Segment(row.slot, begin, row.computed, count))
            segments[-1].mask = self._causal(segments[-1])
        places = self._tensor(slots), self._tensor(positions)
        plan = StepPlan(self._keys, self._values, *places, blocks, segments)
        return plan, self._tensor([tokens]), ends

    def _tensor(self, values: list[Any]) -> torch.Tensor:
        return torch.tensor(values, device=self.model.device)

    def _block(self, rows: list[Row], begin: int, *, copied: bool) -> Block:
        """Return the block of decoding rows whose tokens begin at index `begin` of the step."""
        widths = [row.missing + len(row.draft) for row in rows]
        which = list(range(len(rows))) if copied else [row.slot for row in rows]
        lengths = [1] * (max(which) + 1)  # an unused slot attends to one token, to no effect
        for index, row in zip(which, rows, strict=True):
            lengths[index] = row.computed + 1
        longest = self._keys[0].shape[2]
        if copied:
            longest = max(row.computed + width for row, width in zip(rows, widths, strict=True))
        steps = torch.arange(max(widths), device=self.model.device)
        mask = self._mask(self._tensor(lengths)[:, None] + steps, longest)  # (S, W, L)
        of_token = [i for i, width in zip(which, widths, strict=True) for _ in range(width)]
        offsets = [offset for width in widths for offset in range(width)]
        return Block(
            slice(begin, begin + sum(widths)),
            self._tensor([row.slot for row in rows]) if copied else None,
            (self._tensor(of_token), self._tensor(offsets)),
            mask[:, None, :, None],
        )

    def _causal(self, segment: Segment) -> torch.Tensor:
        """Return the causal mask of a segment, (R * count, start + count)."""
        end = segment.start + segment.count
        seen = torch.arange(segment.start + 1, end + 1, device=self.model.device)
        return self._mask(seen, end).repeat(self._repeats, 1)

    def _mask(self, seen: torch.Tensor, length: int) -> torch.Tensor:
        """Return the additive mask, (..., length), that shows the first `seen` tokens, (...)."""
        hidden = torch.arange(length, device=seen.device) >= seen[..., None]
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=seen.device)
        return mask.masked_fill_(hidden, float("-inf"))

    def _grow(self, length: int) -> None:
        """Lengthen the slots to hold sequences of `length` tokens.

        Every decoding step computes over whole slots, and the mask hides what is empty: the batched
        product would copy a slice, which costs more. So slots grow only when needed.
        """
        missing = length - self._keys[0].shape[2]
        if missing <= 0:
            return
        more = min(-(-missing // _GROWTH) * _GROWTH, self.max_length - self._keys[0].shape[2])
        for cached in (self._keys, self._values):
            for layer, tensor in enumerate(cached):
                cached[layer] = torch.nn.functional.pad(tensor, (0, 0, 0, more))


def _continues(cached: list[int], token_ids: list[int]) -> bool:
    """Return whether the tokens extend the cached ones, to less than double: a next turn."""
    length = len(cached)
    within = length < len(token_ids) < 2 * length
    return within and token_ids[length - 1] == cached[-1] and token_ids[:length] == cached


def _common_prefix(one: list[int], two: list[int]) -> int:
    """Return the length of the common prefix."""
    length = min(len(one), len(two))
    if one[:length] == two[:length]:
        return length
    return bisect(range(1, length + 1), False, key=lambda end: one[:end] != two[:end])
