"""Attention over a slot cache: each token of a step attends to the slot it belongs to.

The tokens of a step lie in one row without padding. Those of decoding rows attend in blocks, padded
to the widest row of the block. Longer pieces of prompts attend one by one, as segments. The
function is registered with Transformers' attention interface; a `StepPlan` tells it where each
token belongs.

Shapes: N tokens of a step, S slots that attend together, M their tokens, W the width of their
widest row (with its draft), K key-value heads, R query heads per key-value head, L tokens of
context, D head size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

ATTENTION = "toolmaster_slots"


@dataclass(slots=True)
class Segment:
    """Consecutive tokens of one slot in the row of a step's tokens."""

    slot: int
    row: int
    """Index of its first token in the row."""
    start: int
    """Position of its first token in the sequence."""
    count: int
    mask: torch.Tensor | None = None
    """Additive mask, (R * count, start + count), built once and used by every layer."""


@dataclass(slots=True)
class Block:
    """Consecutive tokens of several slots that attend together, padded to one width."""

    tokens: slice
    """Their place in the row of the step's tokens."""
    slots: torch.Tensor | None
    """The slots, (S,), whose keys and values are copied; None for the first S slots, uncopied."""
    places: tuple[torch.Tensor, torch.Tensor]
    """For each token, (M,): which of the S slots it belongs to, and its index in that slot."""
    mask: torch.Tensor
    """Additive mask, (S, 1, W, 1, L), built once and used by every layer."""


@dataclass(slots=True)
class StepPlan:
    """What the attention function needs for one step."""

    keys: list[torch.Tensor]
    """One tensor for each layer, (slots, K, L, D)."""
    values: list[torch.Tensor]
    slots: torch.Tensor
    """The slot of each token, (N,)."""
    positions: torch.Tensor
    """The position of each token in its sequence, (N,)."""
    blocks: list[Block]
    segments: list[Segment]


def _slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - the plan holds the masks
    scaling: float | None = None,
    dropout: float = 0.0,  # noqa: ARG001 - generation only
    *,
    step_plan: StepPlan,
    **_kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention over the slots, for query (1, K * R, N, D), key and value (1, K, N, D)."""
    plan = step_plan
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    keys, values = plan.keys[layer], plan.values[layer]
    keys[plan.slots, :, plan.positions] = key[0].transpose(0, 1)
    values[plan.slots, :, plan.positions] = value[0].transpose(0, 1)
    kv_heads, head_dim = key.shape[1], query.shape[3]
    repeats = query.shape[1] // kv_heads
    grouped = query[0].view(kv_heads, repeats, -1, head_dim)  # (K, R, N, D)
    out = torch.empty_like(grouped)
    for block in plan.blocks:
        count, _, width, _, length = block.mask.shape
        rows = query.new_zeros(count, width, kv_heads, repeats, head_dim)
        rows[block.places] = grouped[:, :, block.tokens].permute(2, 0, 1, 3)
        own_keys, own_values = keys, values
        if block.slots is not None:
            own_keys, own_values = keys[block.slots, :, :length], values[block.slots, :, :length]
        attended = _decode(rows, own_keys, own_values, block.mask, scaling or head_dim**-0.5)
        out[:, :, block.tokens] = attended[block.places].permute(1, 2, 0, 3)
    for segment in plan.segments:
        end = segment.start + segment.count
        rows = grouped[:, :, segment.row : segment.row + segment.count]
        attended = torch.nn.functional.scaled_dot_product_attention(
            rows.reshape(1, kv_heads, repeats * segment.count, head_dim),
            keys[segment.slot : segment.slot + 1, :, :end],
            values[segment.slot : segment.slot + 1, :, :end],
            attn_mask=segment.mask,
            scale=scaling,
        )
        shaped = attended[0].view(kv_heads, repeats, segment.count, head_dim)
        out[:, :, segment.row : segment.row + segment.count] = shaped
    return out.view(1, kv_heads * repeats, -1, head_dim).transpose(1, 2), None


def _decode(
    rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    """Return attention for the W query tokens of each slot, (S, W, K, R, D) as the queries.

    Two batched products around a softmax over contiguous rows: on CPU they take a third of the time
    of `scaled_dot_product_attention`, whose kernel is made for long queries.
    """
    slots, width, kv_heads, repeats, head_dim = rows.shape
    shape = (-1, keys.shape[2], head_dim)
    seen_keys = keys.view(shape)[: slots * kv_heads]
    seen_values = values.view(shape)[: slots * kv_heads]
    flat = (rows * scale).transpose(1, 2).reshape(slots * kv_heads, width * repeats, head_dim)
    scores = torch.bmm(flat, seen_keys.transpose(1, 2))
    scores = scores.view(slots, kv_heads, width, repeats, -1) + mask
    weights = torch.softmax(scores, -1)
    out = torch.bmm(weights.view(slots * kv_heads, width * repeats, -1), seen_values)
    return out.view(slots, kv_heads, width, repeats, head_dim).transpose(1, 2)


AttentionInterface.register(ATTENTION, _slot_attention)
