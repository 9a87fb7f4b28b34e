"""glibc's allocator, tuned for training on CPU.

PyTorch takes large tensors from the system and returns them at once; every step then pays for fresh
pages. Keeping the memory, in huge pages, made training steps 1.4 times as fast on the machine in
docs/results. The settings are read at process start only, so the command line starts itself again.

oneDNN keeps the code that it generates for each shape of a matrix product, about 1 MB a shape. Rows
of tokens change their length with every step, so `bound_kernels` limits how many shapes are kept.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
from typing import NoReturn

_TUNABLES = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.mmap_max=0",
        "glibc.malloc.trim_threshold=2147483647",
        "glibc.malloc.top_pad=268435456",
        "glibc.malloc.arena_max=1",
    )
)


def restart_tuned() -> None:
    """Start this process again with the tuned allocator, unless it is so already or not glibc.

    A thread that waits for another spins for a moment, well under a millisecond, and then sleeps.
    Threads that spin on take a core from the one they wait for: beside another program a training
    step took eight times as long. Threads that sleep at once cost a sixth of a step's time.
    """
    if "GLIBC_TUNABLES" not in os.environ and platform.libc_ver()[0] == "glibc":
        os.environ["GLIBC_TUNABLES"] = _TUNABLES
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
        restart()


def bound_kernels() -> None:
    """Limit how many generated kernels oneDNN, and PyTorch in front of it, keep: 128 each.

    Both keep 1024 otherwise, and training grew by 24 MB a step. The limits are read at the first
    matrix product of a process; they change nothing after it, or where the environment sets them.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "128")


def restart() -> NoReturn:
    """Start this process again, with the memory of a new one: kept pages are never all given back.

    It stays the same process for whoever waits for it or stops it.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def release() -> None:
    """Give what is no longer used back to the system, so that stages do not add up.

    What was compiled for one stage's model goes too: a limited number of variants is kept, and
    with those of the stage before the next one runs without.
    """
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
