"""glibc's allocator, tuned for training on CPU.

PyTorch takes large tensors from the system and returns them at once; every step then pays for fresh
pages. Keeping the memory, in huge pages, made training steps 1.4 times as fast on the machine in
docs/results. The settings are read at process start only, so the command line starts itself again.
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
    """Start this process again with the tuned allocator, unless it is so already or not glibc."""
    if "GLIBC_TUNABLES" not in os.environ and platform.libc_ver()[0] == "glibc":
        os.environ["GLIBC_TUNABLES"] = _TUNABLES
        restart()


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
