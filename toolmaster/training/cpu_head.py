"""A faster language-model head for TRL's trainers on CPU.

TRL patches `model(..., labels=..., fused_lm_head=True)` to score labels without building all
logits. It is made for Triton kernels; its fallback takes half of a training step on CPU. This one
answers the same call with PyTorch's fused log-softmax over the trained positions only, and returns
the same numbers (a test compares them).

Shapes: B rows, T tokens, N trained positions, V vocabulary.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from trl.trainer.utils import FusedCausalLMOutput

from toolmaster.policies.compiled import token_losses
from toolmaster.training.attention import ATTENTION, share_prefixes

_LOGIT_CHANGES = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
)
"""Configuration keys of models that change their logits after the head."""


def use_cpu_head(model: Any, *, temperature: float = 1.0, entropy: bool = False) -> None:
    """Replace the head of a model that TRL's trainer has already patched.

    A model that is not on CPU, or that scales or caps its logits, keeps TRL's head.

    Args:
        model: a causal language model, without adapters around it.
        temperature: logits are divided by it.
        entropy: whether to compute the entropy of each trained position, at the cost of another
            pass; otherwise it is zero.
    """
    config = model.config.get_text_config()
    if model.device.type != "cpu" or any(getattr(config, key, None) for key in _LOGIT_CHANGES):
        return
    patched = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return patched(*args, **kwargs)
        labels = kwargs.pop("labels")[:, 1:]
        items = kwargs.pop("num_items_in_batch", None)
        kwargs["use_cache"] = False
        places = None
        if config._attn_implementation == ATTENTION and len(kwargs["position_ids"]) == 1:
            kwargs["input_ids"], kwargs["position_ids"], places = share_prefixes(
                kwargs["input_ids"], kwargs["position_ids"]
            )
        hidden = self.base_model(*args, **kwargs).last_hidden_state
        hidden = (hidden if places is None else hidden[:, places])[:, :-1]
        trained = labels != -100
        targets = labels[trained]
        logits = self.get_output_embeddings()(hidden[trained])  # (N, V)
        if temperature != 1.0:
            logits = logits / temperature
        losses = token_losses(logits, targets).float()
        with torch.no_grad():
            chosen = logits.gather(1, targets[:, None])[:, 0]
            top1 = chosen == logits.amax(-1)  # much faster than argmax
            entropies = _entropy(logits) if entropy else torch.zeros_like(losses)
        return FusedCausalLMOutput(
            loss=losses.sum() / (max(len(targets), 1) if items is None else items),
            log_probs=_at_positions(-losses, trained),
            entropy=_at_positions(entropies, trained),
            is_top1=_at_positions(top1, trained),
            label_mask=trained,
        )

    model.forward = types.MethodType(forward, model)


def _at_positions(values: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
    """Return (N,) values at the trained positions of a (B, T - 1) tensor that is zero elsewhere."""
    return values.new_zeros(trained.shape).masked_scatter(trained, values)


def _entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy of each row in nats, (N,), computed a few rows at a time."""
    parts = []
    for rows in logits.split(128):
        log_probs = torch.log_softmax(rows.float(), -1)
        parts.append(-(log_probs.exp() * log_probs).sum(-1))
    return torch.cat(parts) if parts else logits.new_zeros(0).float()
