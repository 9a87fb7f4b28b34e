"""Compiling the blocks of a model whose small steps are worth fusing, to train or generate."""

from __future__ import annotations

import shutil

import torch


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile the feed-forward and normalisation blocks, where fusing their small steps pays.

    Whole layers do not compile well with rows that change length; these blocks do, once, in about
    ten seconds. Needs a C++ compiler on CPU; without one nothing is compiled.
    """
    if not (torch.cuda.is_available() or shutil.which("g++") or shutil.which("clang++")):
        return
    for module in model.modules():
        if type(module).__name__.endswith(("MLP", "RMSNorm")):
            module.compile(dynamic=True)
