"""toolmaster: language models that try unfamiliar tools safely first, then do the job.

    import toolmaster as tm

    agent = tm.Agent("openai:NAME", tools=[get_price, "mcp.json"])
    print(agent.run("What does one Wool Rug cost?").answer)

The public names stand in `__init__.pyi`. Each is loaded when it is first used: `import toolmaster`
is fast and needs no torch.
"""

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        from toolmaster.errors import not_installed  # noqa: PLC0415 - only here

        raise not_installed(error) from None
