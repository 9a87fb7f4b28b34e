"""The scratch folder: whether it holds too much, and clearing it away whatever it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any


def overfull(folder: str, limits: dict[str, Any]) -> bool:
    """Return whether a folder on disk holds more than the fields of `SandboxLimits` allow.

    What cannot be listed, being too deep, counts as too much: it could hide anything.
    """
    files, size, folders = 0, 0, [folder]
    try:
        while folders:
            with _listed(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        found = entry.stat(follow_symlinks=False)
                        size += max(found.st_size, found.st_blocks * 512)  # or kept free for it
                    if files > limits["scratch_files"] or size > limits["scratch_mib"] << 20:
                        return True
    except FileNotFoundError:  # the call changes things while we look; there is a next time
        return False
    except OSError:
        return True
    return False


def _listed(folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except PermissionError:  # the call took the right away, but the folder is ours too
        os.chmod(folder, 0o700)
        return os.scandir(folder)


def empty(folder: str) -> None:
    """Remove everything from the folder.

    What lies in a subfolder is moved up before the subfolder is removed, so no path ever grows
    long and nothing recurses, however deep untrusted code has gone.

    Raises:
        OSError: something cannot be removed.
    """
    token, moved = "", 0
    while entries := list(os.scandir(folder)):
        token = token or os.urandom(8).hex()
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            os.chmod(entry.path, 0o700)
            for inner in list(os.scandir(entry.path)):
                if inner.is_dir(follow_symlinks=False):
                    os.chmod(inner.path, 0o700)  # moving a folder changes its ".."
                moved += 1
                os.rename(inner.path, os.path.join(folder, f"{token}-{moved}"))
            os.rmdir(entry.path)


def remove(folder: str) -> None:
    """Remove the folder and everything in it; what cannot be removed, or is gone, is let be."""
    with suppress(OSError):
        empty(folder)
        os.rmdir(folder)
