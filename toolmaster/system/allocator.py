"""Memory settings for training on CPU.

PyTorch requests large tensors from the system and returns them at once, so that every step pays for
fresh pages. Keeping the memory, in huge pages, made training steps 1.4 times as fast on the machine
in docs/results. glibc reads these settings only when a process starts, so the command line restarts
itself.

oneDNN caches the code that it generates for each shape of a matrix product, about 1 MB per shape.
Rows of tokens have another length in every step, so `bound_kernels` limits this cache.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
from typing import NoReturn

_TUNABLES = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647"
    ":glibc.malloc.top_pad=268435456:glibc.malloc.arena_max=1"
)


def restart_tuned() -> None:
    """Restart this process with tuned glibc and OpenMP settings, unless it has them already.

    GOMP_SPINCOUNT lets a waiting thread spin for less than a millisecond before it sleeps. Threads
    that keep spinning take a core from the one they wait for: beside another program a training
    step took eight times as long. Threads that sleep at once cost a sixth of a step's time.
    """
    if "GLIBC_TUNABLES" not in os.environ and platform.libc_ver()[0] == "glibc":
        os.environ["GLIBC_TUNABLES"] = _TUNABLES
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
        restart()


def bound_kernels() -> None:
    """Limit the kernel caches of oneDNN and of PyTorch to 128 kernels each.

    The default is 1024, with which training grew by 24 MB per step. The limits are read at the
    first matrix product of a process. Limits set in the environment win.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "128")


def restart() -> NoReturn:
    """Restart this process under the same process id, which frees all of its memory."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def release() -> None:
    """Return unused memory to the system between two stages, and forget compiled code.

    PyTorch keeps a limited number of compiled variants; those of the last stage's model would leave
    no room for the next one's.
    """
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
