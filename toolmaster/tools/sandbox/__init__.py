"""Python source that nobody trusts, run in worker processes under limits and isolation."""

from toolmaster.tools.sandbox.limits import LimitBroken, SandboxLimits
from toolmaster.tools.sandbox.pool import Sandbox
from toolmaster.tools.sandbox.walls import IsolationLevel

__all__ = ["IsolationLevel", "LimitBroken", "Sandbox", "SandboxLimits"]
