"""One inference server that takes token ids and returns token ids: vLLM, SGLang or ours.

vLLM and `toolmaster serve-model` have the same routes: `/v1/completions` with `return_token_ids`,
and `/collective_rpc` to load weights. SGLang has its own: `/generate` and
`/update_weights_from_disk`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolmaster.chat import ChatFormat
from toolmaster.errors import InputError, PolicyError
from toolmaster.policies.connection import HttpConnection
from toolmaster.policies.endpoint_errors import (
    RefusalError,
    RetryableError,
    one_line,
    status_error,
)
from toolmaster.policies.rate_limiter import RateLimiter
from toolmaster.policies.tokens import Sampled
from toolmaster.tags import CLOSING_TAGS, TAGS

SERVED_API_KEY = "SERVED_API_KEY"
"""The environment variable with the token of the servers."""
_SGLANG, _VLLM = "sglang", "vllm"
_ABSENT = 404
"""The status of a route that a server does not have, or of a model that it does not hold."""
_LOADING = {"method": "reload_weights"}
_PLAIN = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sampling from the whole distribution, which a checkpoint's generation_config.json may change."""
_SAME = 1e-4
"""Log-probabilities that differ by less are the same."""
_PROBED = 512
"""Number of tokens of the vocabulary by which tokenizers are compared."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights in a folder that every server can read."""

    folder: Path
    version: str
    """What a server reports that holds them; no other weights ever had this name."""
    adapter: bool = False
    """Whether it is a LoRA adapter over the weights that the servers started with."""


class StaleWeightsError(RetryableError):
    """A server holds other weights than it should: it was restarted, or never got them."""


class TokenServer:
    """One server.

    Args:
        address: Its address, without "/v1".
        timeout_s: Seconds that an answer may take.
        headers: Further headers of each request.
    """

    def __init__(
        self, address: str, *, timeout_s: float = 600.0, headers: Mapping[str, str] | None = None
    ) -> None:
        self.address = address
        self._connection = HttpConnection(
            "the server",
            address,
            key=os.environ.get(SERVED_API_KEY, "").strip(),
            keys=SERVED_API_KEY,
            timeout_s=timeout_s,
            headers=headers or {},
        )
        self.where = self._connection.where
        self.model = ""
        """The name of its model in requests."""
        self.root = ""
        """The checkpoint of its model, as it names it."""
        self.context_tokens: int | None = None
        """The most tokens of a sequence; None if it does not say."""
        self.in_flight = 0
        self.begun = 0
        """Number of conversations that it was given."""
        self._sglang = self._vllm = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def greet(self) -> None:
        """Ask the server what it serves.

        Raises:
            RetryableError: It does not answer.
            PolicyError: It is no server of a model.
        """
        found = await self._ask("/v1/models")
        try:
            own: Any = next((model for model in found["data"] if not model.get("parent")), None)
            self.model, self.root = str(own["id"]), str(own.get("root") or own["id"])
        except (LookupError, TypeError, AttributeError):
            shown = one_line(json.dumps(found))
            raise PolicyError(
                f"{self.where}: /v1/models names no model: {shown}; start a server with"
                " `toolmaster serve-model`, vLLM or SGLang"
            ) from None
        self.context_tokens = own.get("max_model_len")
        self._sglang, self._vllm = (own.get("owned_by") == owner for owner in (_SGLANG, _VLLM))

    async def check_tokenizer(self, chat: ChatFormat) -> None:
        """Refuse a server whose tokenizer is another one; one that does not show it passes.

        Raises:
            InputError: It is another one.
        """
        step = max(1, len(chat.tokenizer) // _PROBED)
        probed = [*range(0, len(chat.tokenizer), step), chat.end_of_turn_id]
        text = "\n".join([*TAGS, *(str(chat.tokenizer.decode([token])) for token in probed)])
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        found = await self._ask("/tokenize", body, absent_ok=True)
        ours = chat.tokenizer.encode(text, add_special_tokens=False)
        if found is not None and list(found.get("tokens", ())) != list(ours):
            raise InputError(
                f"{self.where} serves {self.root!r}, whose tokenizer is not that of"
                f" {chat.tokenizer.name_or_path!r}; start it with that checkpoint, or leave its"
                " address out"
            )

    async def check_log_probs(self, temperature: float, prompt: Sequence[int]) -> None:
        """Refuse vLLM if its log-probabilities are those before the temperature.

        The most likely token then has the same log-probability at every temperature.

        Args:
            temperature: The temperature of the sampling.
            prompt: Any tokens.

        Raises:
            InputError: They are.
        """
        if not self._vllm or temperature in (0.0, 1.0):
            return
        tops = []
        for value in (1.0, temperature):
            body = {"prompt": list(prompt), "max_tokens": 1, "logprobs": 1, "temperature": value}
            reply = await self._ask("/v1/completions", {"model": self.model, **body, **_PLAIN})
            try:
                [shown] = reply["choices"][0]["logprobs"]["top_logprobs"]
                tops.append(max(map(float, shown.values())))
            except (LookupError, TypeError, AttributeError, ValueError):
                raise self._no_tokens(reply) from None
        if abs(tops[0] - tops[1]) < _SAME and tops[0] < -_SAME:
            raise InputError(
                f"{self.where} gives log-probabilities from before the temperature; start vLLM with"
                f" --logprobs-mode processed_logprobs, or sample at temperature 1 instead of"
                f" {temperature:g}"
            )

    async def generate(
        self,
        token_ids: Sequence[int],
        limit: int,
        *,
        temperature: float,
        end_id: int,
        weights: Weights | None = None,
        stop: Sequence[str] = CLOSING_TAGS,
    ) -> Sampled:
        """Sample tokens after others.

        Args:
            token_ids: The conversation so far.
            limit: The most tokens to sample.
            temperature: The temperature of the sampling.
            end_id: The token that ends a turn.
            weights: What the server should hold; None for what it was started with.
            stop: Texts that end the turn.

        Raises:
            StaleWeightsError: It holds other weights.
            RetryableError: It does not answer, or only later.
            ContextFullError: The conversation is longer than its context.
            PolicyError: It refuses the request.
        """
        if self._loop is not asyncio.get_running_loop():
            self._loop, self._limiter = asyncio.get_running_loop(), RateLimiter()
        async with self._limiter.slot():
            self.in_flight += 1
            try:
                if self._sglang:
                    return await self._generate_sglang(
                        token_ids, limit, temperature, end_id, weights, stop
                    )
                return await self._complete(token_ids, limit, temperature, end_id, weights, stop)
            finally:
                self.in_flight -= 1

    async def _complete(
        self,
        token_ids: Sequence[int],
        limit: int,
        temperature: float,
        end_id: int,
        weights: Weights | None,
        stop: Sequence[str],
    ) -> Sampled:
        """Sample through `/v1/completions`, the route of vLLM and of our server."""
        adapter = weights is not None and weights.adapter
        body = {
            "model": weights.version if weights is not None and adapter else self.model,
            "prompt": list(token_ids),
            "max_tokens": limit,
            "temperature": temperature,
            "stop": list(stop),
            "stop_token_ids": [end_id],
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "return_token_ids": True,
            "logprobs": 0 if temperature else None,
            **_PLAIN,
        }
        reply = await self._ask("/v1/completions", body, absent_ok=adapter)
        if reply is None:
            raise StaleWeightsError(f"{self.where} does not hold the adapter {body['model']!r}")
        self._check_version(reply.get("weight_version"), weights)
        try:
            choice = reply["choices"][0]
            sampled, read = choice["token_ids"], choice.get("prompt_token_ids")
            log_probs = choice["logprobs"]["token_logprobs"] if temperature else []
            stopped_at = choice.get("stop_reason")
            return self._sampled(sampled, log_probs, stopped_at, read, token_ids)
        except (LookupError, TypeError, AttributeError):
            raise self._no_tokens(reply) from None

    async def _generate_sglang(
        self,
        token_ids: Sequence[int],
        limit: int,
        temperature: float,
        end_id: int,
        weights: Weights | None,
        stop: Sequence[str],
    ) -> Sampled:
        """Sample through SGLang's `/generate`."""
        body: dict[str, Any] = {
            "input_ids": list(token_ids),
            "sampling_params": {
                "max_new_tokens": limit,
                "temperature": temperature,
                "stop": list(stop),
                "stop_token_ids": [end_id],
                "no_stop_trim": True,
                "skip_special_tokens": False,
                **_PLAIN,
            },
            "return_logprob": True,
        }
        whole = None
        if weights is not None and weights.adapter:
            body["lora_path"] = weights.version
        else:
            whole = weights
        reply = await self._ask("/generate", body)
        try:
            about = reply["meta_info"]
            self._check_version(about.get("weight_version"), whole)
            pairs = about["output_token_logprobs"]
            sampled = [pair[1] for pair in pairs]
            log_probs = [pair[0] for pair in pairs] if temperature else []
            return self._sampled(sampled, log_probs, about["finish_reason"].get("matched"))
        except (LookupError, TypeError, AttributeError):
            raise self._no_tokens(reply) from None

    def _sampled(
        self,
        sampled: Sequence[int],
        log_probs: Sequence[float],
        stopped_at: object,
        read: Sequence[int] | None = None,
        sent: Sequence[int] = (),
    ) -> Sampled:
        """Return what a server answered, after a check that the answer is one to the request.

        Raises:
            TypeError: A token id or a log-probability is missing.
            RetryableError: It answers another request.
        """
        if read is not None and list(read) != list(sent):
            raise RetryableError(f"{self.where} answered another prompt than the one it was sent")
        ids, numbers = [int(token) for token in sampled], [float(value) for value in log_probs]
        if not ids or len(numbers) not in (0, len(ids)):
            raise TypeError
        return ids, numbers, isinstance(stopped_at, str)  # it stopped at a closing tag

    def _no_tokens(self, reply: Any) -> PolicyError:
        """Return the error of an answer without token ids."""
        return PolicyError(
            f"{self.where}: its answer has no token ids with log-probabilities:"
            f" {one_line(json.dumps(reply))}; it takes vLLM 0.11 or later, SGLang, or `toolmaster"
            " serve-model`"
        )

    def _check_version(self, held: object, weights: Weights | None) -> None:
        """Refuse an answer of other weights, if the server says which it holds."""
        if weights is not None and held is not None and held != weights.version:
            raise StaleWeightsError(
                f"{self.where} holds the weights {held!r} instead of {weights.version!r}"
            )

    async def version(self, weights: Weights) -> str | None:
        """Return the version of the weights that the server holds; None if it does not say.

        Args:
            weights: What it should hold, which says where to look.
        """
        if weights.adapter:
            found = await self._ask("/v1/models")
            held = {str(model.get("id")) for model in found.get("data", ())}
            return weights.version if weights.version in held else ""
        routes = ("/model_info", "/get_model_info") if self._sglang else ("/weight_info",)
        for route in routes:
            told = await self._ask(route, absent_ok=True)
            if told is not None:
                version = told.get("weight_version")
                return None if version is None else str(version)
        return None

    async def hold(self, weights: Weights) -> None:
        """Make the server hold these weights, and check that it does.

        Raises:
            RetryableError: It does not answer.
            InputError: It cannot load them.
            PolicyError: It still holds others.
        """
        if await self.version(weights) == weights.version:
            return
        try:
            await self._load(weights)
        except PolicyError as error:
            if isinstance(error, RetryableError) and not isinstance(error.__cause__, RefusalError):
                raise
            if await self.version(weights) != weights.version:  # another process was faster
                raise InputError(f"{error}; it was told to load {weights.folder}") from None
        held = await self.version(weights)
        if held not in (None, weights.version):
            raise PolicyError(
                f"{self.where} was told to load {weights.folder}, and still holds {held!r}"
            )

    async def _load(self, weights: Weights) -> None:
        """Send the requests that load weights."""
        folder, version = str(weights.folder), weights.version
        if weights.adapter:
            body = {"lora_name": version, "lora_path": folder}
            route = "/load_lora_adapter" if self._sglang else "/v1/load_lora_adapter"
            if await self._text(route, body, absent_ok=True) is None:
                raise PolicyError(
                    f"{self.where} takes no adapters; start vLLM with --enable-lora and"
                    " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, or SGLang with --enable-lora"
                )
            return
        if self._sglang:
            sent = {"model_path": folder, "weight_version": version, "flush_cache": True}
            await self._text("/update_weights_from_disk", sent)
            return
        sent = {**_LOADING, "kwargs": {"weights_path": folder}}
        if await self._text("/collective_rpc", sent, absent_ok=True) is None:
            raise PolicyError(
                f"{self.where} cannot load weights; start vLLM with VLLM_SERVER_DEV_MODE=1"
            )
        await self._text("/reset_prefix_cache", {})
        await self._text("/update_weight_version", {"new_version": version}, absent_ok=True)

    async def drop(self, weights: Weights) -> None:
        """Unload an adapter that is no longer needed; a server that has lost it is left alone."""
        route = "/unload_lora_adapter" if self._sglang else "/v1/unload_lora_adapter"
        with suppress(PolicyError):
            await self._text(route, {"lora_name": weights.version}, absent_ok=True)

    async def close(self) -> None:
        """Close the connections that were opened in the running event loop."""
        await self._connection.close()

    async def _ask(
        self, path: str, body: Mapping[str, Any] | None = None, *, absent_ok: bool = False
    ) -> Any:
        """Return the JSON of an answer; see `_text`."""
        text = await self._text(path, body, absent_ok=absent_ok)
        try:
            return None if text is None else json.loads(text)
        except ValueError:
            shown = one_line(text or "")
            raise PolicyError(f"{self.where}{path}: its answer is no JSON: {shown!r}") from None

    async def _text(
        self, path: str, body: Mapping[str, Any] | None = None, *, absent_ok: bool = False
    ) -> str | None:
        """Return the text of an answer; None for a route or a model that is not there.

        Raises:
            RetryableError: There is no answer, or the request may succeed later.
            PolicyError: The request is refused.
        """
        status, text, headers = await self._connection.exchange(path, body)
        if status == _ABSENT and absent_ok:
            return None
        if status >= 300:
            where = f"{self.where}{path}"
            error = status_error(where, status, text, headers, body or {}, keys=SERVED_API_KEY)
            if isinstance(error, RefusalError):
                raise error.error from error
            raise error
        return text
