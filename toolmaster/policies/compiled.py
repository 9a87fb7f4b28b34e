"""Compiles the parts of a model that gain from fused kernels, for training and generation."""

from __future__ import annotations

import shutil
import warnings
from functools import lru_cache, partial
from typing import Any

import torch


@lru_cache(maxsize=1)
def can_compile() -> bool:
    """Return whether compiling is possible and worth it: on CPU, with a C++ compiler.

    On a GPU, compiling takes longer than it saves for a small model.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    return bool(compiler) and not torch.cuda.is_available()


_plain_losses = partial(torch.nn.functional.cross_entropy, reduction="none")


@lru_cache(maxsize=1)
def _fused_losses() -> Any:
    return torch.compile(_plain_losses, dynamic=True)


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each token, with a compiled kernel where `can_compile()`.

    Args:
        logits: Scores of the next token, (N, V).
        targets: Token ids, (N,).

    Returns:
        Losses of the dtype of `logits`, (N,).
    """
    if not can_compile() or len(targets) == 0:
        return _plain_losses(logits, targets)
    with warnings.catch_warnings():  # the compiler warns about itself
        warnings.simplefilter("ignore")
        losses: torch.Tensor = _fused_losses()(logits, targets)
    return losses


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile the feed-forward and normalisation blocks of a model, in about ten seconds.

    Whole layers would be compiled again at each step, because the number of tokens changes; these
    blocks are compiled once. Nothing is compiled unless `can_compile()`.
    """
    if not can_compile():
        return
    for module in model.modules():
        if type(module).__name__.endswith(("MLP", "RMSNorm")):
            module.compile(dynamic=True)
