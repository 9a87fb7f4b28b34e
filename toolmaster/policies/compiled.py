"""Compiling the blocks of a model whose small steps are worth fusing, to train or generate."""

from __future__ import annotations

import shutil
import warnings
from functools import lru_cache, partial
from typing import Any

import torch


@lru_cache(maxsize=1)
def can_compile() -> bool:
    """Whether compiling is possible and pays: on CPU, with a C++ compiler.

    On a GPU it takes longer than a small model's steps are shortened by.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    return bool(compiler) and not torch.cuda.is_available()


_plain_losses = partial(torch.nn.functional.cross_entropy, reduction="none")


@lru_cache(maxsize=1)
def _fused_losses() -> Any:
    return torch.compile(_plain_losses, dynamic=True)


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each token, fused where that can be compiled.

    Args:
        logits: (N, V).
        targets: (N,) token ids.

    Returns:
        (N,) losses of the dtype of `logits`.
    """
    if not can_compile() or len(targets) == 0:
        return _plain_losses(logits, targets)
    with warnings.catch_warnings():  # of the compiler about itself
        warnings.simplefilter("ignore")
        losses: torch.Tensor = _fused_losses()(logits, targets)
    return losses


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile the feed-forward and normalisation blocks, where fusing their small steps pays.

    Whole layers do not compile well with rows that change length; these blocks do, once, in about
    ten seconds. Where `can_compile` says no, nothing is compiled.
    """
    if not can_compile():
        return
    for module in model.modules():
        if type(module).__name__.endswith(("MLP", "RMSNorm")):
            module.compile(dynamic=True)
