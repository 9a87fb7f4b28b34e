"""Compiling the blocks of a model whose small steps are worth fusing, to train or generate."""

from __future__ import annotations

import shutil
from functools import lru_cache, partial
from typing import Any

import torch


def can_compile() -> bool:
    """Whether `torch.compile` can build here: on CPU it needs a C++ compiler."""
    return bool(torch.cuda.is_available() or shutil.which("g++") or shutil.which("clang++"))


@lru_cache(maxsize=1)
def token_losses() -> Any:
    """Cross-entropy of (N, V) logits and (N,) targets, one loss each, fused where it can be."""
    losses = partial(torch.nn.functional.cross_entropy, reduction="none")
    return torch.compile(losses, dynamic=True) if can_compile() else losses


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile the feed-forward and normalisation blocks, where fusing their small steps pays.

    Whole layers do not compile well with rows that change length; these blocks do, once, in about
    ten seconds. Needs a C++ compiler on CPU; without one nothing is compiled.
    """
    if not can_compile():
        return
    for module in model.modules():
        if type(module).__name__.endswith(("MLP", "RMSNorm")):
            module.compile(dynamic=True)
