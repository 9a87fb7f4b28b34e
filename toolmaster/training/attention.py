"""Packed attention: several sequences in one row, without padding and without leakage.

Registered with Transformers' attention interface. `position_ids` mark the sequences: they start
again at 0 in each. A sequence attends to itself only. A sequence whose positions start at p > 0
continues the first p tokens of the row's first sequence, and attends to those too.

On CPU this is faster than padding and than a dense block-diagonal mask, and plain batched products
are faster than `scaled_dot_product_attention`, whose CPU kernel reaches a seventh of the matrix
units' speed in bfloat16. The scores, (R * N, N) per head, are recomputed in the backward pass:
keeping them took half of a training step's memory. On a GPU PyTorch's `varlen_attn` computes all
sequences of a row in one kernel.

Shapes: N tokens of the row, K key-value heads, R query heads per key-value head, D head size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface

from toolmaster.models.checkpoints import is_plain_causal

ATTENTION = "toolmaster_varlen"


def _varlen_attention(
    module: torch.nn.Module,  # noqa: ARG001 - the interface's signature
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - the positions mark the sequences
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    position_ids: torch.Tensor,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return causal attention for query (1, K * R, N, D), key and value (1, K, N, D)."""
    unknown = [key for key in ("sliding_window", "softcap", "s_aux") if kwargs.get(key) is not None]
    if unknown or dropout:
        name = unknown[0] if unknown else "dropout"
        raise ValueError(f"{name} is not plain causal attention; see use_packed_attention")
    scale = scaling if scaling is not None else query.shape[3] ** -0.5
    version = 0 if position_ids.is_inference() else position_ids._version
    spans = _spans(position_ids, version)
    if query.is_cuda and value.dtype != torch.float32 and not any(spans.firsts):
        return _flash(query, key, value, scale, spans), None
    inputs = query.to(value.dtype), key.to(value.dtype), value
    out = checkpoint(_each, *inputs, scale, spans, use_reentrant=False, preserve_rng_state=False)
    return out.transpose(1, 2), None


def _each(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, spans: _Spans
) -> torch.Tensor:
    """Return the attention of a row, one sequence after the other, (1, K * R, N, D)."""
    lengths, firsts = spans.lengths, spans.firsts
    keys, values = key.split(lengths, 2), value.split(lengths, 2)
    attended = []
    for q, k, v, first in zip(query.split(lengths, 2), keys, values, firsts, strict=True):
        if first:  # it continues the first tokens of the row's first sequence
            k, v = (torch.cat([t[0][:, :, :first], own], 2) for t, own in ((keys, k), (values, v)))  # noqa: PLW2901
        attended.append(_products(q, k, v, scale))
    return torch.cat(attended, 2)


@dataclass(frozen=True, slots=True)
class _Spans:
    """The sequences of a row; see `sequence_lengths`."""

    lengths: list[int]
    firsts: list[int]
    ends: torch.Tensor
    """(sequences + 1,) int32: 0, then the end of each sequence in the row."""


@lru_cache(maxsize=1)  # every layer needs it, and reading a tensor of a GPU waits for the GPU
def _spans(position_ids: torch.Tensor, _version: int) -> _Spans:
    lengths, firsts = sequence_lengths(position_ids)
    ends = torch.tensor([0, *lengths], device=position_ids.device).cumsum(0, dtype=torch.int32)
    return _Spans(lengths, firsts, ends)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, spans: _Spans
) -> torch.Tensor:
    """Return the attention of a row, computed by one kernel, (1, N, K * R, D)."""
    q, k, v = (x[0].transpose(0, 1).to(value.dtype) for x in (query, key, value))  # (N, heads, D)
    longest = max(spans.lengths)
    out = varlen_attn(
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
    return out.unsqueeze(0)  # type: ignore[union-attr]


def _products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Return the attention of one sequence of n tokens by batched products, (1, K * R, n, D)."""
    heads, count, head_dim = query.shape[1:]
    kv_heads = key.shape[1]
    rows = (query * scale).reshape(kv_heads, -1, head_dim)  # (K, R * N, D)
    mask = _causal(count, key.shape[2], heads // kv_heads, rows.dtype).to(rows.device)
    scores = torch.bmm(rows, key[0].transpose(1, 2)) + mask
    out = torch.bmm(torch.softmax(scores, -1).to(value.dtype), value[0])
    return out.view(1, heads, count, head_dim)


@lru_cache(maxsize=64)  # the masks of a row serve all layers; each has megabytes
def _causal(count: int, seen: int, repeats: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive causal mask of the last `count` of `seen` tokens, (R * count, seen)."""
    hidden = torch.full((count, seen), float("-inf"), dtype=dtype)
    return torch.triu(hidden, 1 + seen - count).repeat(repeats, 1)


def sequence_lengths(position_ids: torch.Tensor) -> tuple[list[int], list[int]]:
    """Return the number of tokens and the first position of each sequence in a row.

    Args:
        position_ids: (1, N).

    Example:
        >>> sequence_lengths(torch.tensor([[0, 1, 2, 0, 1]]))
        ([3, 2], [0, 0])
    """
    positions = position_ids[0]
    breaks = ((positions[1:] - positions[:-1] != 1).nonzero()[:, 0] + 1).tolist()
    starts = [0, *breaks]
    ends = [*breaks, len(positions)]
    return [e - s for s, e in zip(starts, ends, strict=True)], positions[starts].tolist()


def share_prefixes(
    input_ids: torch.Tensor, position_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Remove from each sequence the prefix it shares with the first one, to compute it once.

    All tasks share the system message, and the rollouts of a task share the whole prompt. Shared
    prefixes have the same hidden states, because a token attends only to the tokens before it.

    Args:
        input_ids: (1, N) tokens of several sequences one after another.
        position_ids: (1, N) their positions, from 0 in each.

    Returns:
        The remaining M <= N tokens, (1, M); their positions, (1, M); and for each of the N tokens
        its index among the M, (N,).
    """
    lengths, _ = sequence_lengths(position_ids)
    sequences = [part.tolist() for part in input_ids[0].split(lengths)]
    first, begin, taken = sequences[0], 0, 0
    rest: list[int] = []
    places: list[int] = []
    for index, sequence in enumerate(sequences):
        most = min(len(first), len(sequence)) - 1  # each keeps at least one token of its own
        pairs = zip(first[:most], sequence[:most], strict=True)
        same = next((at for at, (a, b) in enumerate(pairs) if a != b), most) if index else 0
        if index and same == len(sequences[index - 1]):
            same -= 1  # otherwise its positions would continue those of the sequence before
        own = len(sequence) - same
        rest += range(begin + same, begin + len(sequence))
        places += [*range(same), *range(taken, taken + own)]
        begin, taken = begin + len(sequence), taken + own
    return input_ids[:, rest], position_ids[:, rest], torch.tensor(places, device=input_ids.device)


def use_packed_attention(model: Any) -> bool:
    """Switch a model to packed attention if its architecture has plain causal attention.

    Args:
        model: a causal language model of Transformers; changed in place, or left as it is.

    Returns:
        Whether it was switched; only then may sequences share a row. A model with sliding windows,
        capped scores, sinks, convolutions or linear attention is trained on padded rows with
        Transformers' own attention, and so is one with dropout in its attention.
    """
    dropout = getattr(model.config.get_text_config(), "attention_dropout", 0.0)
    if dropout or not is_plain_causal(model.config):
        return False
    model.set_attn_implementation(ATTENTION)
    return True


AttentionInterface.register(ATTENTION, _varlen_attention)
