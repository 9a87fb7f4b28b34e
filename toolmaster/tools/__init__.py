"""Tools: what a policy can call, as a JSON schema plus a function over a state."""

from toolmaster.tools.functions import from_function, tool
from toolmaster.tools.objects import from_object
from toolmaster.tools.tool import Tool, ToolRefusal, ToolSet

__all__ = ["Tool", "ToolRefusal", "ToolSet", "from_function", "from_object", "tool"]
