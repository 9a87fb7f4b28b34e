"""Optional dependencies: what is missing is told in one line that says what to install."""

from __future__ import annotations

from importlib import import_module

from toolmaster.errors import missing_package


def require(extra: str, *modules: str) -> None:
    """Make sure that the modules of an extra can be imported.

    Args:
        extra: Name of the extra of the distribution, such as "train".
        modules: Names of the modules that are needed.

    Raises:
        InputError: One of them is not installed.
    """
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise missing_package(str(error.name), extra) from None
