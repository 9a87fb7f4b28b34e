"""Python files and modules as tools: their public functions, or one object that they hold.

A module says what its tools may do in a mapping of its own, so that it need not import toolmaster:

    EFFECTS = {"find_book": "read", "lend": "write", "discard": "destructive"}
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from toolmaster.errors import InputError, near_file
from toolmaster.tools.functions import from_function, is_function, marks, name_of, usable
from toolmaster.tools.libraries import is_library_tool
from toolmaster.tools.objects import from_object
from toolmaster.tools.tool import Tool, ToolSet
from toolmaster.types import Effect


def load_python(place: str, name: str | None = None, *, timeout_s: float = 30.0) -> ToolSet:
    """Return the tools of a Python file or module, which runs in this process.

    Args:
        place: a file that ends in `.py`, or a dotted module name.
        name: what to take from it: a function, a class or a factory (called without arguments), an
            object, a `Tool` or a `ToolSet`. None for all functions that it defines whose names are
            public and that have a docstring; those in `__all__` where it has one. Of these, and of
            the methods of an object, those that cannot be tools are left out.
        timeout_s: seconds one call may take.

    Returns:
        The tools. Their object, which a check gets, is the module if they are functions.

    Raises:
        InputError: it is not there, fails on import, or holds nothing that can be a tool.
    """
    module = _import(place)
    found = None if name is None else _attribute(module, name, place)
    effects = _effects(module, found, place)
    source = str(Path(place).resolve()) if place.endswith(".py") else place
    functions = ToolSet((), object_of=lambda _: module)

    def made(one: Callable[..., Any]) -> Tool:
        effect = effects.get(name_of(one))
        return replace(from_function(one, effect=effect, timeout_s=timeout_s), source=source)

    if name is None:
        tools, left_out = usable(_functions(module), made)
        if not tools:
            raise InputError(
                f"{place}: no tools: it defines no public function with a docstring;"
                f" name one thing in it with {place}:NAME"
            )
        return replace(functions, tools=tools, left_out=left_out)
    source = f"{source}:{name}"
    if isinstance(found, FunctionType) and makes_tools(found):
        found = _made_by(found, source)
    if isinstance(found, Tool):
        found = replace(functions, tools=(found,))
    if isinstance(found, ToolSet):
        return replace(
            found, tools=tuple(replace(tool, source=tool.source or source) for tool in found.tools)
        )
    if is_function(found):
        return replace(functions, tools=(made(found),))
    return _object_tools(found, effects, source, timeout_s)


def find_object(named: str) -> Any:
    """Return the Python object that `file.py:NAME` or `package.module:NAME` names.

    Raises:
        InputError: the file or module is missing or fails, or has nothing of this name.
    """
    place, colon, name = named.rpartition(":")
    if not colon or not name.isidentifier():
        raise InputError(f"{named!r}: write it as file.py:NAME or package.module:NAME")
    return _attribute(_import(place), name, place)


PLAIN = (str, bytes, int, float, bool, list, dict, tuple, set, type(None))
"""What a tool returns, and a factory does not."""


def makes_tools(found: Any) -> bool:
    """Return whether something from a module makes another object each time that it is called.

    That is a class, or a function without parameters, unless its return annotation names plain
    data (`-> str`, `-> list[int]`), as that of a tool does.
    """
    if not isinstance(found, FunctionType):
        return isinstance(found, type)
    if inspect.signature(found).parameters or inspect.iscoroutinefunction(found) or marks(found):
        return False
    try:
        returned = typing.get_type_hints(found).get("return", object)
    except Exception:  # noqa: BLE001 - `from_function` says what is wrong with the hints
        return False
    return (typing.get_origin(returned) or returned) not in PLAIN


def _made_by(factory: FunctionType, source: str) -> Any:
    """Return what a factory makes."""
    try:
        made = factory()
    except Exception as error:
        raise InputError(f"{source}: it fails: {type(error).__name__}: {error}") from error
    if isinstance(made, PLAIN):
        raise InputError(
            f"{source}: a function without parameters is to make the tools' object; it returned"
            f" {made!r}. A tool says what it returns, as in `def {factory.__name__}() -> str:`"
        )
    return made


def _object_tools(
    found: Any, effects: Mapping[str, Effect], source: str, timeout_s: float
) -> ToolSet:
    """Return the methods of an object."""
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise InputError(
                f"{source}: cannot be made without arguments ({error}); name an object instead,"
                " or a ToolSet"
            ) from error
    public = {name for name in dir(type(found)) if not name.startswith("_")}
    known = {name: effect for name, effect in effects.items() if name in public}
    tools = from_object(found, effects=known, timeout_s=timeout_s)
    if not tools.tools:
        kind = type(found).__name__
        raise InputError(f"{source}: no tools: {kind} has no public method that is a function")
    return replace(tools, tools=tuple(replace(tool, source=source) for tool in tools.tools))


_files: dict[Path, tuple[tuple[int, int], ModuleType]] = {}
"""What was run, with time and size that the file had then."""


def _import(place: str) -> ModuleType:
    return _import_file(Path(place)) if place.endswith(".py") else _import_module(place)


def _import_file(path: Path) -> ModuleType:
    """The module of a file, which is run once, and again when it was changed."""
    path = path.expanduser().resolve()
    if not path.is_file():
        raise InputError(f"{path}: no such file{near_file(path)}")
    found = path.stat()
    stamp = (found.st_mtime_ns, found.st_size)
    if path not in _files or _files[path][0] != stamp:
        _files[path] = (stamp, _run_file(path))
    return _files[path][1]


def _run_file(path: Path) -> ModuleType:
    """Run a file as a module of its own name; its folder can be imported from, as with `python`."""
    unique = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{unique}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pydantic look for it
    _importable(path.parent)
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[spec.name]
        raise _import_error(error, str(path), path) from error
    return module


def _import_module(name: str) -> ModuleType:
    _importable(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{name}: there is no module {error.name!r} here or among the installed packages;"
                " a file is named with its ending, as in tools.py"
            ) from None
        raise _import_error(error, name) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _import_error(error, name) from error


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_error(error: BaseException, place: str, path: Path | None = None) -> InputError:
    """Return the error of an import, with the last line of the file that was reached."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f" at line {lines[-1]}" if lines else ""
    return InputError(f"{place}: fails on import{where}: {type(error).__name__}: {error}")


def _attribute(module: ModuleType, name: str, place: str) -> Any:
    found = getattr(module, name, None)
    if found is None:
        public = [key for key in vars(module) if not key.startswith("_")]
        hint = _close(name, public)
        raise InputError(f"{place}: there is nothing called {name!r} in it{hint}")
    return found


def _functions(module: ModuleType) -> Iterator[Callable[..., Any]]:
    """Yield what a module has of functions, and of what wraps one, such as a cached function."""
    named = getattr(module, "__all__", None)
    for name in named if named is not None else list(vars(module)):
        value = getattr(module, name, None)
        if not is_function(value):
            continue
        place = getattr(value, "__module__", None)
        made_here = place == module.__name__ or is_library_tool(value)
        if named is not None or (made_here and not name.startswith("_") and value.__doc__):
            yield value


def _effects(module: ModuleType, found: Any, place: str) -> dict[str, Effect]:
    """Return the module's own `EFFECTS`, checked."""
    written = getattr(module, "EFFECTS", {})
    allowed = ", ".join(effect.value for effect in Effect)
    if not isinstance(written, Mapping):
        raise InputError(f"{place}: EFFECTS is to be a dict of name -> one of {allowed}")
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    known = {*vars(module), *dir(found), *(name for cls in classes for name in dir(cls))}
    effects = {}
    for name, value in written.items():
        try:
            effects[name] = Effect(value)
        except ValueError:
            raise InputError(
                f"{place}: EFFECTS[{name!r}] is {value!r}; allowed: {allowed}"
            ) from None
        if name not in known:
            hint = _close(str(name), known)
            raise InputError(f"{place}: EFFECTS names {name!r}, which is not there{hint}")
    return effects


def _close(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
