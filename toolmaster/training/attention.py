"""Attention for rows that hold several sequences one after another, without padding or leakage.

Registered with Transformers' attention interface. Sequences are told apart by `position_ids`, which
start again at 0; each attends to itself alone. A sequence whose positions start at p > 0 goes on
from the first p tokens of the row's first sequence, and attends to those too. On CPU this beats
padding and a dense block-diagonal mask, and plain batched products beat
`scaled_dot_product_attention`, whose CPU kernel runs at a seventh of the matrix units' speed in
bfloat16. The scores, (R * N, N) a head, are computed again in the backward pass: kept, they were
half of what a training step holds. On a GPU PyTorch's `varlen_attn` takes all sequences of a row in
one kernel.

Shapes: N tokens of the row, K key-value heads, R query heads per key-value head, D head size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface

from toolmaster.models import is_plain_causal

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
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention per sequence; query (1, K * R, N, D), key and value (1, K, N, D)."""
    unknown = [key for key in ("sliding_window", "softcap", "s_aux") if kwargs.get(key) is not None]
    if unknown:
        raise ValueError(f"{unknown[0]} is not plain causal attention; see use_packed_attention")
    scale = scaling if scaling is not None else query.shape[3] ** -0.5
    version = 0 if position_ids.is_inference() else position_ids._version
    spans = _spans(position_ids, version)
    in_one_kernel = query.is_cuda and value.dtype != torch.float32 and dropout == 0.0
    if in_one_kernel and not any(spans.firsts):
        return _flash(query, key, value, scale, spans), None
    if query.is_cpu and dropout == 0.0:
        inputs = query.to(value.dtype), key.to(value.dtype), value
        found = checkpoint(
            _each,
            _products,
            *inputs,
            scale,
            0.0,
            spans,
            use_reentrant=False,
            preserve_rng_state=False,
        )
    else:
        found = _each(_fused, query, key, value, scale, dropout, spans)
    return found.transpose(1, 2), None


def _each(
    attend: Callable[..., torch.Tensor],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    dropout: float,
    spans: _Spans,
) -> torch.Tensor:
    """Attention of one sequence after the other; (1, K * R, N, D) out."""
    lengths, firsts = spans.lengths, spans.firsts
    keys, values = key.split(lengths, 2), value.split(lengths, 2)
    attended = []
    for q, k, v, first in zip(query.split(lengths, 2), keys, values, firsts, strict=True):
        if first:  # the sequence goes on from the start of the row's first one
            k, v = (torch.cat([t[0][:, :, :first], own], 2) for t, own in ((keys, k), (values, v)))  # noqa: PLW2901
        attended.append(attend(q, k, v, scale, dropout))
    return torch.cat(attended, 2)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Where the sequences of a row are; see `sequence_lengths`."""

    lengths: list[int]
    firsts: list[int]
    ends: torch.Tensor
    """(sequences + 1,) int32: 0, then where each sequence ends in the row."""


@lru_cache(maxsize=1)  # the layers of one forward pass ask again and again; on a GPU that waits
def _spans(position_ids: torch.Tensor, _version: int) -> _Spans:
    lengths, firsts = sequence_lengths(position_ids)
    ends = torch.tensor([0, *lengths], device=position_ids.device).cumsum(0, dtype=torch.int32)
    return _Spans(lengths, firsts, ends)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, spans: _Spans
) -> torch.Tensor:
    """All sequences in one kernel; (1, N, K * R, D) out."""
    q, k, v = (x[0].transpose(0, 1).to(value.dtype) for x in (query, key, value))  # (N, heads, D)
    longest = max(spans.lengths)
    found = varlen_attn(
        q,
        k,
        v,
        spans.ends,
        spans.ends,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0),  # causal
        enable_gqa=True,
    )
    return found.unsqueeze(0)  # type: ignore[union-attr]


def _products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, _dropout: float
) -> torch.Tensor:
    heads, count, head_dim = query.shape[1:]
    kv_heads = key.shape[1]
    rows = (query * scale).reshape(kv_heads, -1, head_dim)  # (K, R * N, D)
    mask = _causal(count, key.shape[2], heads // kv_heads, rows.dtype)
    scores = torch.bmm(rows, key[0].transpose(1, 2)) + mask
    found = torch.bmm(torch.softmax(scores, -1).to(value.dtype), value[0])
    return found.view(1, heads, count, head_dim)


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, dropout: float
) -> torch.Tensor:
    count, seen = query.shape[2], key.shape[2]
    mask = None if count == seen else _causal(count, seen, 1, query.dtype).to(query.device)
    return torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        scale=scale,
        is_causal=mask is None,
        enable_gqa=True,
    )


@lru_cache(maxsize=64)  # a row's masks, for all of its layers; megabytes each
def _causal(count: int, seen: int, repeats: int, dtype: torch.dtype) -> torch.Tensor:
    """(R * count, seen) additive causal mask of the last `count` of `seen` tokens."""
    hidden = torch.full((count, seen), float("-inf"), dtype=dtype)
    return torch.triu(hidden, 1 + seen - count).repeat(repeats, 1)


def sequence_lengths(position_ids: torch.Tensor) -> tuple[list[int], list[int]]:
    """Where the sequences in a row of positions, (1, N), are.

    Returns:
        How many tokens of its own each sequence has, and the position of the first of them.
    """
    positions = position_ids[0]
    breaks = ((positions[1:] - positions[:-1] != 1).nonzero()[:, 0] + 1).tolist()
    starts = [0, *breaks]
    ends = [*breaks, len(positions)]
    return [e - s for s, e in zip(starts, ends, strict=True)], positions[starts].tolist()


def share_prefixes(
    input_ids: torch.Tensor, position_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Leave out what sequences of a row have in common with its first one: it is computed once.

    All tasks share the system message, and the rollouts of a task their whole prompt. A token
    depends on those before it alone, so the states of the common tokens are the same.

    Args:
        input_ids: (1, N) tokens of several sequences one after another.
        position_ids: (1, N) their positions, from 0 in each.

    Returns:
        The M <= N tokens that are left, (1, M), their positions, (1, M), and the place among them
        of each of the N tokens, (N,).
    """
    lengths, _ = sequence_lengths(position_ids)
    sequences = [part.tolist() for part in input_ids[0].split(lengths)]
    first, begin, taken = sequences[0], 0, 0
    kept: list[int] = []
    places: list[int] = []
    for index, sequence in enumerate(sequences):
        most = min(len(first), len(sequence)) - 1  # so that each keeps a token of its own
        pairs = zip(first[:most], sequence[:most], strict=True)
        same = next((at for at, (a, b) in enumerate(pairs) if a != b), most) if index else 0
        if index and same == len(sequences[index - 1]):
            same -= 1  # its positions would go on where those of the one before end
        own = len(sequence) - same
        kept += range(begin + same, begin + len(sequence))
        places += [*range(same), *range(taken, taken + own)]
        begin, taken = begin + len(sequence), taken + own
    return input_ids[:, kept], position_ids[:, kept], torch.tensor(places, device=input_ids.device)


def use_packed_attention(model: Any) -> bool:
    """Switch a model to the attention of this module, if it computes the same for this model.

    Args:
        model: a causal language model of Transformers; changed in place, or left as it is.

    Returns:
        Whether it was switched. Sequences may share a row only then: a model with sliding windows,
        capped scores, sinks, convolutions or linear attention is trained on padded rows, with
        Transformers' own attention.
    """
    if not is_plain_causal(model.config):
        return False
    model.set_attn_implementation(ATTENTION)
    return True


AttentionInterface.register(ATTENTION, _varlen_attention)
