"""What one call of untrusted source may use, and the refusal that says which limit it broke."""

from __future__ import annotations

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.tools.tool import ToolRefusal


class SandboxLimits(Settings):
    """What one call may use. A call is always one process with one thread and no network."""

    wall_s: float = Field(10.0, gt=0)
    """Seconds on the clock, from the moment a worker takes the call."""
    cpu_s: int = Field(5, ge=1)
    """Whole seconds of processor time; source that ignores signals is killed at twice as many."""
    memory_mib: int = Field(512, ge=64)
    """Address space, in MiB; the interpreter itself takes about 20 of them."""
    scratch_mib: int = Field(16, ge=1)
    """Size of the scratch folder, and of any one file, in MiB."""
    scratch_files: int = Field(64, ge=1)
    """Files and folders in the scratch folder."""
    open_files: int = Field(64, ge=16)
    """Files open at once."""
    result_kib: int = Field(256, ge=1)
    """Size of the returned JSON text, in KiB."""


class LimitBroken(ToolRefusal):
    """A call that was ended because it broke a limit.

    Args:
        limit: the field of `SandboxLimits`, or "process" when the call's process died by itself.
        text: what the policy is told.
    """

    def __init__(self, limit: str, text: str) -> None:
        super().__init__(text)
        self.limit = limit
