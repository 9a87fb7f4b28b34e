"""The interfaces of hosted vendors (Anthropic, Gemini, Bedrock ...), through any-llm.

The library translates between OpenAI's chat completions and each vendor's own interface, and keeps
what a vendor needs back with its own turn. Requests and refusals are handled as those of any other
endpoint. This is the only module that imports it.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from toolmaster.errors import ConfigError, InputError, PolicyError, did_you_mean
from toolmaster.policies.endpoint_errors import (
    UnreachableError,
    one_line,
    status_error,
    timed_out,
)
from toolmaster.policies.replies import Reply, reply_of
from toolmaster.system.extras import require
from toolmaster.system.redaction import (
    Redactor,
    bare_address,
    hide_everywhere,
    is_secret_name,
    secrets_in,
)

_WHOLE_SCHEMAS = ("gemini", "vertexai")
"""Vendors for which the library shortens a schema, unless it has `$defs`."""
_STATUS = {
    "RateLimitError": 429,
    "AuthenticationError": 401,
    "ModelNotFoundError": 404,
    "InsufficientFundsError": 402,
    "InvalidRequestError": 400,
    "UnsupportedParameterError": 400,
    "ContextLengthExceededError": 400,
    "ContentFilterError": 400,
    "UpstreamProviderError": 502,
    "GatewayTimeoutError": 504,
}
"""The HTTP status that an error of the library stands for, if the vendor sent none."""


class VendorConnection:
    """A connection to one vendor.

    Args:
        vendor: The library's name of the vendor, such as "anthropic".
        title: The model, for messages.
        base_url: An address in place of the vendor's own.
        roles_key: The environment variable that is read before the vendor's own; "" for none.
        timeout_s: Seconds that a reply may take.
        headers: Further headers of each request.

    Raises:
        InputError: The library or the vendor's part of it is not installed.
        ConfigError: The library does not know the vendor.
        PolicyError: There is no key, or something else that the vendor needs.
    """

    def __init__(
        self,
        vendor: str,
        title: str,
        base_url: str | None,
        *,
        roles_key: str,
        timeout_s: float,
        headers: Mapping[str, str],
    ) -> None:
        try:
            require("vendors", "any_llm")
        except InputError as error:
            reason = f"{error}; a model of an OpenAI-compatible server is openai:NAME"
            raise InputError(f"{title} of {vendor}: {reason}") from None
        from any_llm import AnyLLM  # noqa: PLC0415 - an extra, and heavy
        from any_llm import exceptions as fault  # noqa: PLC0415

        self._vendor, self._timeout_s, self._headers = vendor, timeout_s, dict(headers)
        self._fault: Any = fault.AnyLLMError
        self.where = f"{title} of {vendor}"
        if base_url:
            self.where += f" at {bare_address(base_url)}"
        try:
            cls = AnyLLM.get_provider_class(vendor)
            variables = [*filter(None, [roles_key]), *str(cls.ENV_API_KEY_NAME).split("/")]
            self._keys = " or ".join(variables)
            options: dict[str, Any] = {"api_base": base_url, "unified_exceptions": True}
            if vendor == "groq":  # the library gives its client no address
                options["base_url"] = base_url
            if key := os.environ.get(roles_key, "").strip():
                options["api_key"] = key
            if cls.MAX_RETRIES_SUPPORT != "unsupported":
                options["max_retries"] = 0
            create: Any = AnyLLM.create
            self._open = partial(create, vendor, **options)
            self._client: Any = self._open()
        except fault.UnsupportedProviderError as error:
            hint = did_you_mean(vendor, error.supported_providers)
            known = ", ".join(sorted(error.supported_providers))
            raise ConfigError(
                f"no vendor {vendor!r}{hint}; known are {known}. A model of an OpenAI-compatible"
                " server is openai:NAME, with --base-url (base_url)"
            ) from None
        except fault.MissingApiKeyError:
            raise PolicyError(f"no key for {self.where}: set {self._keys}") from None
        except (ImportError, fault.AnyLLMError, ValueError) as error:  # no region, no project
            kind = InputError if isinstance(error, ImportError) else PolicyError
            raise kind(f"{self.where}: {one_line(str(error))}") from None
        named = [*os.environ.items(), *headers.items()]  # a vendor can read several variables
        secrets = [(name, value) for name, value in named if is_secret_name(name)]
        self._redactor = Redactor([*secrets, *secrets_in(base_url or "")])
        own = {*variables, *headers}
        hide_everywhere((name, value) for name, value in secrets if name in own)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, body: Mapping[str, Any], limit: int) -> Reply:
        """Send one request and return its reply; see `HttpConnection.send`."""
        if self._loop is not asyncio.get_running_loop():
            if self._loop is not None or self._client is None:  # its connections have ended
                self._client = self._open()
            self._loop = asyncio.get_running_loop()
        arguments = {key: value for key, value in body.items() if key != "stream"}
        if self._headers:
            arguments["extra_headers"] = self._headers
        if self._client.TIMEOUT_SUPPORT != "unsupported":
            arguments["timeout"] = self._timeout_s
        if "tools" in body and self._vendor in _WHOLE_SCHEMAS:
            arguments["tools"] = [_whole(tool) for tool in body["tools"]]
        try:
            async with asyncio.timeout(self._timeout_s):
                completion = await self._client.acompletion(**arguments)
        except TimeoutError:
            raise timed_out(self.where, self._timeout_s) from None
        except self._fault as error:
            raise self._error(error, body) from None
        except (ValueError, TypeError, LookupError, AttributeError, NotImplementedError) as error:
            # the library could not translate a request or an answer
            reason = self._redactor.text(f"{type(error).__name__}: {one_line(str(error))}")
            raise PolicyError(f"{self.where}: {reason}") from None
        return reply_of(completion.model_dump(mode="json", exclude_none=True), body, limit)

    async def close(self) -> None:
        """Close the connections that were opened in the running event loop."""
        if self._loop is not asyncio.get_running_loop():
            return
        client: Any = getattr(self._client, "client", None)
        self._client = self._loop = None
        opened: Any
        for opened in (getattr(client, "aio", None), client):
            if hasattr(opened, "__aexit__"):
                await opened.__aexit__(None, None, None)
            elif hasattr(opened, "close"):
                opened.close()

    def _error(self, error: Any, body: Mapping[str, Any]) -> Exception:
        """Return the error of a request that the vendor or the library refused."""
        text = self._redactor.text(error.message)
        answer = getattr(error.original_exception, "response", None)  # AWS gives it as a dict
        metadata = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
        status = error.status_code or metadata.get("HTTPStatusCode")
        status = status or _STATUS.get(type(error).__name__)
        if status is None:
            return UnreachableError(f"{self.where}: {one_line(text)}")
        said = {"error": _said(text), "param": error.param, "code": error.code}
        wait = {"retry-after": str(getattr(error, "retry_after", None) or "")}
        return status_error(self.where, status, json.dumps(said), wait, body, keys=self._keys)


def _whole(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a tool whose schema the library does not shorten."""
    function = tool["function"]
    parameters = {"$defs": {}, **function["parameters"]}
    return {**tool, "function": {**function, "parameters": parameters}}


def _said(text: str) -> Any:
    """Return the answer of a vendor in the text of an SDK's error, or that text."""
    found = re.search(r"\{.*\}", text, re.DOTALL)
    for read in (json.loads, ast.literal_eval):
        try:
            return read(found[0]) if found else re.sub(r"^Error code: \d+ - ", "", text)
        except (ValueError, SyntaxError, RecursionError):
            continue
    return text
