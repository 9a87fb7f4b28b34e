"""`open_sources`: tools of any kind, each named in one line, as one `ToolSet`.

    tools.py                            the public functions of a Python file that have a docstring
    tools.py:NAME                       one function, class or object in it
    package.module, package.module:NAME the same of a module that can be imported
    mcp.json                            every server of an `mcpServers` file
    api.json, api.yaml                  an OpenAPI or Swagger document
    https://host/path                   a service that serves one, or the document's own address

The kind is recognised from the line, or from the content of a JSON file. Options follow after
spaces as `key=value`, see `SourceOptions`:

    api.json base_url=http://localhost:8080 auth.bearer=MY_TOKEN only=get_*,list_* trials=live
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError, InputError, near_file
from toolmaster.system.redaction import refuse_credentials
from toolmaster.tools.merging import merge
from toolmaster.tools.tool import ToolSet
from toolmaster.types import Effect, TrialMode

ALLOWED = (
    "allowed are a Python file (tools.py, tools.py:NAME) or module (package.module,"
    " package.module:NAME), an mcpServers file (mcp.json), and an OpenAPI document (api.json,"
    " api.yaml) or address (https://host/path)"
)
_OPTION = re.compile(r"\s+(?=[A-Za-z_][\w.-]*=)")
_CONTENTS = (
    (re.compile(r"""\b(openapi|swagger)["']?\s*:\s*["']?\d"""), "openapi"),
    (re.compile(r'mcpServers|"servers"\s*:\s*\{\s*[/"]'), "mcp"),
    (re.compile(r"openapi|swagger"), "openapi"),
)
"""What the content of a file shows of its kind, the surest first."""
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def _patterns(value: object) -> object:
    """Split `a,b`, as on a command line; leave a list, as in a settings file."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]


class SourceOptions(Settings):
    """What can be said about one source."""

    trials: TrialMode | None = None
    """How trials run the calls: on a `fork`, `read_only`, or `live` for real. None takes `fork` for
    Python where walls can be had around a fork, and `read_only` for anything else."""
    only: Patterns = ()
    """Names of the tools wanted, `*` and `?` as in file names; empty for all."""
    read: Patterns = ()
    """Names of tools that are known to read only, whatever they declare; trials run them."""
    timeout_s: float = Field(30.0, gt=0)
    """Seconds one call may take."""
    base_url: str | None = None
    """OpenAPI: the URL that the paths are appended to; None for the one that the document names."""
    auth: dict[str, str] = Field(default_factory=dict)
    """OpenAPI: environment variables that hold credentials, by kind: `auth.bearer=VAR`,
    `auth.basic=VAR`, `auth.header.NAME=VAR`, `auth.query.NAME=VAR`, `auth.cookie.NAME=VAR`, or
    `auth.SCHEME=VAR` for a security scheme of the document."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source: recognised, but not opened."""

    kind: str
    """"python", "mcp" or "openapi"."""
    place: str
    """The file, module or address."""
    name: str | None
    """The function, class or object of a Python source; None for all of it."""
    options: SourceOptions

    @property
    def label(self) -> str:
        """A short name, put in front of the name of a tool that another source has as well."""
        if self.kind == "python" and not self.place.endswith(".py"):
            return self.place.rpartition(".")[2]
        return urlsplit(self.place).hostname or Path(self.place).stem


@asynccontextmanager
async def open_sources(
    specs: Sequence[str], *, trials: TrialMode | None = None
) -> AsyncIterator[ToolSet]:
    """Open sources of any kind and yield their tools for as long as the context lasts.

    The set can serve many sessions at once, in the event loop in which it was opened; calls in
    execution change the one real state behind it.

    Args:
        specs: One line per source, as in the module's docstring.
        trials: The trial mode of sources whose lines do not set it.

    Yields:
        One tool set, every tool with its `source` and `trials` set. Tools that share a name have
        the label of their source in front.

    Raises:
        ConfigError: There is no source, a source cannot be recognised, or an option cannot be used.
        InputError: A source is missing, is broken or has no tools; the message says which.

    Example:
        async with open_sources(["shop.py", "mcp.json only=read_*"]) as tools:
            print(*tools.names())
    """
    sources = parse_sources(specs, trials)
    async with AsyncExitStack() as stack:
        python = iter(await stack.enter_async_context(_python(sources)))
        parts = []
        for source in sources:
            is_python = source.kind == "python"
            opening = None if is_python else stack.enter_async_context(open_source(source))
            parts.append((source.label, await opening if opening else next(python)))
        yield merge(parts)


@asynccontextmanager
async def _python(sources: Sequence[Source]) -> AsyncIterator[list[ToolSet]]:
    """Load the Python sources among some in one host and yield their tools."""
    opened = await asyncio.to_thread(python_tools, sources)
    try:
        yield opened
    finally:
        if opened:
            await asyncio.to_thread(opened[0].state.close)


def parse_sources(specs: Sequence[str], trials: TrialMode | None = None) -> list[Source]:
    """Return the source of each line; for arguments and errors see `open_sources`."""
    sources = {}
    for source in [parse_source(spec, trials) for spec in specs]:
        if (source.place, source.name) in sources:
            raise ConfigError(f"{source.place}: given twice; once is enough")
        sources[source.place, source.name] = source
    if not sources:
        raise ConfigError(f"no tools: name at least one source; {ALLOWED}")
    return list(sources.values())


def parse_source(spec: str, trials: TrialMode | None = None) -> Source:
    """Return the source of one line; see `parse_sources`."""
    place, *words = _OPTION.split(spec.strip())
    auth = {}
    try:
        refuse_credentials(spec)
    except ValueError as error:
        raise ConfigError(f"tools: {error}") from None
    for word in [word for word in words if word.startswith("auth.")]:
        key, _, variable = word.removeprefix("auth.").partition("=")
        auth[re.sub(r"^(header|query|cookie)\.", r"\1 ", key)] = variable
        words.remove(word)
    try:
        options = load_config(SourceOptions, None, words, {"auth": auth, "trials": trials})
    except ConfigError as error:
        raise ConfigError(f"tools {place!r}: {error}") from None
    kind, place, name = _recognise(place)
    if kind != "openapi" and (options.base_url or options.auth):
        raise ConfigError(f"tools {place!r}: base_url and auth are for OpenAPI, this is {kind}")
    return Source(kind, place, name, options)


def _recognise(place: str) -> tuple[str, str, str | None]:
    """Return the kind, the place, and the name after a colon."""
    if place.startswith(("http://", "https://")):
        return "openapi", place, None
    file = Path(place).expanduser()
    if file.suffix in (".json", ".jsonc", ".yaml", ".yml"):
        try:
            content = file.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}{near_file(file)}") from None
        for pattern, kind in _CONTENTS:
            if pattern.search(content):
                return kind, str(file), None
        raise InputError(
            f"{file}: neither an mcpServers file nor an OpenAPI document: 'mcpServers', 'servers',"
            " 'openapi' and 'swagger' do not occur in it"
        )
    before, colon, name = place.rpartition(":")
    module, name = (before, name) if colon and name.isidentifier() else (place, "")
    if module.endswith(".py"):
        return "python", str(Path(module).expanduser()), name or None
    if _MODULE.fullmatch(module):
        return "python", module, name or None
    what = " (a folder)" if file.is_dir() else ""
    raise ConfigError(f"tools {place!r}{what}: cannot tell what this is; {ALLOWED}")


@asynccontextmanager
async def open_source(source: Source) -> AsyncIterator[ToolSet]:
    """Open a source of another kind than Python and yield its tools, shaped by its options.

    Raises:
        ConfigError, InputError: as by `open_sources`.
    """
    options = source.options
    if source.kind == "mcp":
        from toolmaster.tools.mcp import open_mcp, read_mcp_servers  # noqa: PLC0415 - heavy

        servers = read_mcp_servers(Path(source.place))
        async with open_mcp(servers, timeout_s=options.timeout_s) as tools:
            yield _shaped(tools, source)
    else:
        from toolmaster.tools.openapi import load_document, open_openapi  # noqa: PLC0415 - heavy

        document = await asyncio.to_thread(load_document, source.place, auth=options.auth)
        async with open_openapi(
            document, base_url=options.base_url, auth=options.auth, timeout_s=options.timeout_s
        ) as tools:
            yield replace(_shaped(tools, source), live=True)


def python_tools(sources: Sequence[Source]) -> list[ToolSet]:
    """Load the Python sources among some in one host; return their tools in order.

    Raises:
        ConfigError, InputError: as by `open_sources`.
    """
    from toolmaster.tools.host import open_host  # noqa: PLC0415 - not needed for other sources

    python = [source for source in sources if source.kind == "python"]
    if not python:
        return []
    opened = open_host([(one.place, one.name, one.options.timeout_s) for one in python])
    return [_shaped(tools, source) for tools, source in zip(opened, python, strict=True)]


def _shaped(tools: ToolSet, source: Source) -> ToolSet:
    """Return the tools that the options name, with the effects and trial modes that they set."""
    options = source.options
    names = _matching(tools, options.only or ("*",), source)
    reading = _matching(tools, options.read, source)
    why = next((f" ({tool.obstacle})" for tool in tools.tools if tool.obstacle), "")
    if options.trials is TrialMode.FORK and (tools.copy_state is None or why):
        raise ConfigError(
            f"{source.place}: trials=fork needs a process that can be forked, which only Python"
            f" sources have{why}; use trials=read_only, or trials=live"
        )
    shaped = tuple(
        replace(
            tool,
            effect=Effect.READ if tool.name in reading else tool.effect,
            trials=options.trials or tool.trials,
        )
        for tool in tools.tools
        if tool.name in names
    )
    return replace(tools, tools=shaped)


_READING = re.compile(
    r"(get|list|read|search|find|fetch|show|describe|count|query|lookup)([_-]|(?=[A-Z]))"
)


def untried_hint(tools: ToolSet) -> str | None:
    """Return what to do if no trial can run any of the tools; None if a trial can run some.

    What a name promises is only a guess, which the user can confirm.
    """
    if any(map(tools.is_tried, tools.names())):
        return None
    found = (_READING.match(tool.own_name or tool.name) for tool in tools.tools)
    guess = ",".join(dict.fromkeys(f"{match[0]}*" for match in found if match)) or "NAME,NAME"
    return (
        "no trial can run any of these tools, for none declares that it only reads; if these do,"
        f' say so after their source: --tools "SOURCE read={guess}"'
    )


def _matching(tools: ToolSet, patterns: Sequence[str], source: Source) -> set[str]:
    if not tools.tools:
        raise InputError(f"{source.place}: it has no tools")
    matched: set[str] = set()
    for pattern in patterns:
        matches = {name for name in tools.names() if fnmatchcase(name, pattern)}
        if not matches:
            names = ", ".join(tools.names())
            raise ConfigError(f"{source.place}: no tool is called {pattern!r}; it has: {names}")
        matched |= matches
    return matched
