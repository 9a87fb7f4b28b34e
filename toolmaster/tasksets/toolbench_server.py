"""What StableToolBench itself answers calls with: its server, and its folder of real responses."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from toolmaster.errors import InputError, PolicyError
from toolmaster.tasksets.resource import Held
from toolmaster.tasksets.responses import Answering, Known, Recording, canonical
from toolmaster.tasksets.simulator import Visit
from toolmaster.tools import Tool, ToolRefusal

TIMEOUT_S = 60.0


def toolbench_server(address: str | None) -> Answering:
    """StableToolBench's server as the one that answers.

    Args:
        address: such as http://localhost:8080/virtual; its key is read from TOOLBENCH_KEY. None
            where something else answers.
    """
    client = Held(lambda: httpx.AsyncClient(timeout=TIMEOUT_S))

    async def answer(tool: Tool, arguments: dict[str, Any], _visits: Sequence[Visit]) -> Any:
        if address is None:
            raise PolicyError("no StableToolBench server is named; give server=URL")
        category, tool_name, api_name = tool.own_name.split("/")
        question = {
            "category": category,
            "tool_name": tool_name,
            "api_name": api_name,
            "tool_input": arguments,
            "strip": "truncate",
            "toolbench_key": os.environ.get("TOOLBENCH_KEY", ""),
        }
        try:
            response = await client.now.post(address, json=question)
            response.raise_for_status()
            return _unpacked(response.json())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise PolicyError(f"the server at {address}: {type(error).__name__}: {error}") from None

    return Answering("live", "StableToolBench server", answer, client.open)


def cached_responses(folder: Path) -> Known:
    """Real responses that the original keeps: CATEGORY/TOOL_for_CATEGORY/API.json.

    Args:
        folder: the original's `tool_response_cache`.

    Returns:
        A function that finds the response of a call; it raises PolicyError for a file that is not
        as the original writes it.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"cache {folder}: no such folder; give the folder tool_response_cache")

    @lru_cache(maxsize=1024)
    def responses(own_name: str) -> Mapping[str, Recording]:
        category, tool_name, api_name = own_name.split("/")
        file = folder / category / f"{tool_name}_for_{category}" / f"{api_name}.json"
        return _read_cache(file, own_name) if file.is_file() else {}

    def find(tool: Tool, arguments: dict[str, Any]) -> Recording | None:
        return responses(tool.own_name).get(canonical(arguments))

    return find


def _read_cache(file: Path, own_name: str) -> dict[str, Recording]:
    found = {}
    try:
        for written, answer in json.loads(file.read_text("utf-8")).items():
            arguments = ast.literal_eval(written)
            said: dict[str, Any] = {"tool": own_name, "arguments": arguments}
            try:
                said["result"] = _unpacked(answer)
            except ToolRefusal as refusal:
                said |= {"result": str(refusal), "refused": True}
            found[canonical(arguments)] = Recording.model_validate(said)
    except (OSError, ValueError, SyntaxError, AttributeError) as error:
        raise PolicyError(f"{file}: not a cache of responses: {error}") from None
    return found


def _unpacked(answer: Any) -> Any:
    """The response in the original's envelope of error and response.

    Raises:
        ToolRefusal: it holds an error.
        ValueError: it is no such envelope.
    """
    if not isinstance(answer, dict) or "response" not in answer:
        raise ValueError(f"expected an object with error and response, got {str(answer)[:100]!r}")
    if answer.get("error"):
        raise ToolRefusal(str(answer["error"]))
    return answer["response"]
