"""Attention for rows that hold several sequences one after another, without padding or leakage.

Registered with Transformers' attention interface. Sequences are told apart by `position_ids`, which
start again at 0; each attends to itself alone. On CPU this beats padding and a dense block-diagonal
mask, and plain batched products beat `scaled_dot_product_attention`, whose CPU kernel runs at a
seventh of the matrix units' speed in bfloat16.

Shapes: N tokens of the row, K key-value heads, R query heads per key-value head, D head size.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from transformers import AttentionInterface

ATTENTION = "toolmaster_varlen"


def _varlen_attention(
    module: torch.nn.Module,  # noqa: ARG001 - the interface's signature
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - positions say it all
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    position_ids: torch.Tensor,
    **_kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention per sequence; query (1, K * R, N, D), key and value (1, K, N, D)."""
    scale = scaling if scaling is not None else query.shape[3] ** -0.5
    attend = _products if query.device.type == "cpu" and dropout == 0.0 else _fused
    lengths = sequence_lengths(position_ids)
    parts = zip(*(tensor.split(lengths, 2) for tensor in (query, key, value)), strict=True)
    attended = [attend(q, k, v, scale, dropout) for q, k, v in parts]
    return torch.cat(attended, 2).transpose(1, 2), None


def _products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, _dropout: float
) -> torch.Tensor:
    heads, count, head_dim = query.shape[1:]
    kv_heads = key.shape[1]
    rows = (query * scale).reshape(kv_heads, -1, head_dim)  # (K, R * N, D)
    scores = torch.bmm(rows, key[0].transpose(1, 2)) + _causal(count, heads // kv_heads, rows.dtype)
    found = torch.bmm(torch.softmax(scores, -1).to(value.dtype), value[0])
    return found.view(1, heads, count, head_dim)


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, dropout: float
) -> torch.Tensor:
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, scale=scale, is_causal=True, enable_gqa=True
    )


@lru_cache(maxsize=64)  # a row's masks, for all of its layers; megabytes each
def _causal(count: int, repeats: int, dtype: torch.dtype) -> torch.Tensor:
    """(R * N, N) additive causal mask."""
    hidden = torch.full((count, count), float("-inf"), dtype=dtype)
    return torch.triu(hidden, 1).repeat(repeats, 1)


def sequence_lengths(position_ids: torch.Tensor) -> list[int]:
    """How many tokens each sequence in a row of positions, (1, N), has."""
    starts = (position_ids[0] == 0).nonzero()[:, 0].tolist()
    return [end - start for start, end in pairwise([*starts, position_ids.shape[1]])]


AttentionInterface.register(ATTENTION, _varlen_attention)
