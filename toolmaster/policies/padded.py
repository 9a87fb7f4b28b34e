"""Batched generation with Transformers' own cache, for any architecture.

`SlotCache` computes plain causal attention. A model with anything else (sliding windows, capped
attention scores, sinks, convolutions, linear attention) generates here: one batch at a time, padded
on the left. A row that arrives while a batch is running waits for the next one.

Shapes: M rows that are not released, V vocabulary.
"""

from __future__ import annotations

import torch
from transformers import DynamicCache, PreTrainedModel

from toolmaster.policies.slots import Row


class PaddedBatch:
    """One batch of rows in flight, with the interface of `SlotCache`.

    Args:
        model: A causal language model of Transformers; its attention implementation stays.
        slots: The most rows of a batch.
    """

    accepts_drafts = False
    """A cache with windows or states cannot drop a draft token that was not accepted."""

    def __init__(self, model: PreTrainedModel, slots: int) -> None:
        self.model = model
        self._slots = slots
        self._rows: list[Row] = []
        self._released: set[int] = set()
        self._cache: DynamicCache | None = None
        self._mask = torch.empty(0)

    def clear(self) -> None:
        """Do nothing: no token stays in the cache after its batch."""

    def admit(self, row: Row) -> bool:
        """Put a row into the next batch.

        Returns:
            False while a batch is running, or when the next one is full.
        """
        if self._cache is not None or len(self._rows) == self._slots:
            return False
        row.slot, row.computed = len(self._rows), 0
        self._rows.append(row)
        return True

    def release(self, row: Row) -> None:
        """Take the row out; the batch ends with its last row."""
        self._released.add(row.slot)
        if len(self._released) == len(self._rows):
            self._rows, self._released, self._cache = [], set(), None

    @torch.inference_mode()
    def step(self) -> tuple[list[Row], torch.Tensor]:
        """Run one forward pass over the batch.

        Returns:
            The rows that are not released, and their next-token logits, (M, V).
        """
        device = self.model.device
        if self._cache is None:
            self._cache = DynamicCache(config=self.model.config)
            longest = max(len(row.token_ids) for row in self._rows)
            padding = [longest - len(row.token_ids) for row in self._rows]
            pairs = list(zip(padding, self._rows, strict=True))
            tokens = [[0] * pad + row.token_ids for pad, row in pairs]
            mask = [[0] * pad + [1] * len(row.token_ids) for pad, row in pairs]
            self._mask = torch.tensor(mask, device=device)
        else:
            tokens = [row.token_ids[-1:] for row in self._rows]
            self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        input_ids = torch.tensor(tokens, device=device)
        positions = (self._mask.cumsum(1) - 1).clamp_min(0)[:, -input_ids.shape[1] :]
        logits = self.model(
            input_ids=input_ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        left = [row for row in self._rows if row.slot not in self._released]
        for row in left:
            row.computed = len(row.token_ids)
        return left, logits[[row.slot for row in left]]
