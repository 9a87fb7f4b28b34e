"""A model behind the HTTP routes of inference servers; the engine is that of our own rollouts.

| route | what it does |
|---|---|
| `/health`, `/v1/models` | says that it lives, and what it serves |
| `/v1/completions` | token ids (or a text) in, token ids with log-probabilities out |
| `/v1/chat/completions` | messages and tools in, a message out: for `solve` and other agents |
| `/tokenize` | the tokens of a text |
| `/collective_rpc`, `/v1/load_lora_adapter`, `/weight_info`, ... | load weights, as in vLLM |

A turn ends as in training: at the end-of-turn token, or after a closing tag of the protocol.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from aiohttp import web

from toolmaster.errors import InputError, PolicyError
from toolmaster.models.checkpoints import load_model
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol, parse
from toolmaster.serving.engine import Engine
from toolmaster.tags import CLOSING_TAGS
from toolmaster.types import ActionKind, Message

MAX_BODY_BYTES = 64 * 2**20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _RefusedError(Exception):
    """A request that cannot be answered; `status` is that of the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ModelServer:
    """Serves one model.

    Args:
        policy: The model; its sampling says how long a sequence may be.
        folder: The checkpoint of the model.
        token: What a client must send as its key; "" lets everyone in.
    """

    def __init__(self, policy: TransformersPolicy, folder: Path, *, token: str = "") -> None:
        self.engine = Engine(policy)
        self.chat = policy.chat
        self.name = str(folder)
        self.weights = "default"
        """The version of the weights: the name of the folder that was loaded last."""
        self._policy, self._token = policy, token
        self._base = folder
        self._adapter: str | None = None

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._checked])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/v1/models", self._models),
                web.get("/weight_info", self._weight_info),
                web.post("/tokenize", self._tokenize),
                web.post("/v1/completions", self._completions),
                web.post("/v1/chat/completions", self._chat),
                web.post("/collective_rpc", self._reload),
                web.post("/reset_prefix_cache", self._health),  # loading weights has emptied it
                web.post("/update_weight_version", self._name_weights),
                web.post("/v1/load_lora_adapter", self._load_adapter),
                web.post("/v1/unload_lora_adapter", self._unload_adapter),
            ]
        )
        return app

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, or say why not."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.path != "/health" and not hmac.compare_digest(
            given.encode() if self._token else b"", self._token.encode()
        ):
            return _error("the key is missing or wrong", 401)
        if request.method == "POST" and request.content_type != "application/json":
            return _error("send JSON, with Content-Type: application/json", 415)  # no web page can
        try:
            return await handler(request)
        except _RefusedError as error:
            return _error(str(error), error.status)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            return _error(f"the request cannot be read: {type(error).__name__}: {error}", 400)
        except (InputError, PolicyError) as error:
            return _error(str(error), 400 if isinstance(error, InputError) else 500)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, _request: web.Request) -> web.Response:
        models: list[dict[str, Any]] = [
            {"id": self.name, "root": str(self._base.absolute()), "parent": None}
        ]
        if self._adapter is not None:
            models.append({"id": self._adapter, "parent": self.name})
        common = {
            "object": "model",
            "created": int(time.time()),
            "owned_by": "toolmaster",
            "max_model_len": self._policy.sampling.context_tokens,
        }
        return web.json_response({"object": "list", "data": [m | common for m in models]})

    async def _weight_info(self, _request: web.Request) -> web.Response:
        return web.json_response({"weight_version": self.weights})

    async def _tokenize(self, request: web.Request) -> web.Response:
        ids = self._encode((await request.json())["prompt"])
        return web.json_response({"count": len(ids), "tokens": ids})

    def _encode(self, text: str) -> list[int]:
        return list(self.chat.tokenizer.encode(text, add_special_tokens=False))

    async def _completions(self, request: web.Request) -> web.Response:
        """Sample one turn after token ids."""
        body = await request.json()
        prompt = body["prompt"]
        read = self._encode(prompt) if isinstance(prompt, str) else [int(token) for token in prompt]
        sampled, log_probs, cut = await self._turn(body, read)
        choice = {
            "index": 0,
            "text": self.chat.text(sampled),
            "token_ids": sampled,
            "prompt_token_ids": read,
            "finish_reason": "length" if cut else "stop",
            "stop_reason": None,  # the token after a closing tag was sampled already
            "logprobs": None,
        }
        if log_probs and body.get("logprobs") is not None:
            tokens = self.chat.tokenizer.convert_ids_to_tokens(sampled)
            choice["logprobs"] = {"tokens": tokens, "token_logprobs": log_probs}
        return self._answer("text_completion", choice, len(read), len(sampled))

    async def _chat(self, request: web.Request) -> web.Response:
        """Sample one turn after messages."""
        body = await request.json()
        tools = body.get("tools") or []
        read = self._conversation(body["messages"], tools)
        sampled, _, cut = await self._turn(body, read)
        text = self.chat.text(sampled)
        native = bool(tools) and body.get("tool_choice") != "none"
        message, finish = _as_message(text) if native else ({"content": text}, "stop")
        choice = {
            "index": 0,
            "message": {"role": "assistant", **message},
            "finish_reason": "length" if cut else finish,
        }
        return self._answer("chat.completion", choice, len(read), len(sampled))

    def _conversation(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[dict[str, Any]]
    ) -> list[int]:
        """Return the tokens of a conversation, each turn as in training."""
        begin = next(
            (i for i, message in enumerate(messages) if message["role"] in ("assistant", "tool")),
            len(messages),
        )
        opening = [Message(role=m["role"], content=m["content"]) for m in messages[:begin]]
        ids = self.chat.prompt_ids(opening, tools)
        for message in messages[begin:]:
            content = message.get("content") or ""
            if message["role"] == "assistant":
                ids += self.chat.turn_ids(content + _as_text(message.get("tool_calls") or ()))
            else:
                ids += self.chat.observation_ids(content, message["role"])
        return ids

    async def _turn(
        self, body: Mapping[str, Any], read: list[int]
    ) -> tuple[list[int], list[float], bool]:
        """Return the tokens of a turn, their log-probabilities, and whether the limit cut it."""
        served = self._adapter or self.name
        if body.get("model") not in (None, served):
            raise _RefusedError(
                f"The model `{body['model']}` does not exist; this serves {served}", 404
            )
        stop = body.get("stop") or ()
        if set([stop] if isinstance(stop, str) else stop) - set(CLOSING_TAGS) or body.get("stream"):
            raise _RefusedError(
                f"a turn ends at its end or after {', '.join(CLOSING_TAGS)}, and is not streamed;"
                " leave out other `stop` texts and `stream`"
            )
        most = self._policy.sampling.context_tokens
        room = most - len(read) - 1
        if not read or room < 1 or max(read) >= self._policy.model.config.vocab_size:
            raise _RefusedError(
                f"This model's maximum context length is {most} tokens, and the prompt has"
                f" {len(read)}, whose ids are below {self._policy.model.config.vocab_size}"
            )
        asked = body.get("max_completion_tokens") or body.get("max_tokens")
        limit = max(1, min(room, int(asked or self._policy.sampling.turn_tokens)))
        temperature = body.get("temperature")
        temperature = 1.0 if temperature is None else max(0.0, float(temperature))
        sampled, log_probs = await self.engine.generate(read, limit, temperature)
        ended = sampled[-1] == self.chat.end_of_turn_id
        closed = self.chat.text(sampled).rstrip().endswith(CLOSING_TAGS)
        return sampled, log_probs, not ended and not closed

    def _answer(self, kind: str, choice: dict[str, Any], read: int, written: int) -> web.Response:
        usage = {"prompt_tokens": read, "completion_tokens": written}
        return web.json_response(
            {
                "id": "1",
                "object": kind,
                "created": int(time.time()),
                "model": self._adapter or self.name,
                "weight_version": self.weights,
                "choices": [choice],
                "usage": {**usage, "total_tokens": read + written},
            }
        )

    async def _reload(self, request: web.Request) -> web.Response:
        """Load the weights in a folder."""
        body = await request.json()
        if body["method"] != "reload_weights":
            raise _RefusedError(f"`reload_weights` is the one method, not {body['method']!r}")
        folder = Path(body["kwargs"]["weights_path"])

        def load() -> None:
            self._load(load_model(folder, self._dtype()).state_dict(), folder)
            self._base, self._adapter = folder, None

        await self.engine.change(load)
        return web.json_response({"results": [None]})

    async def _name_weights(self, request: web.Request) -> web.Response:
        self.weights = str((await request.json())["new_version"])
        return web.json_response({"success": True, "new_version": self.weights})

    async def _load_adapter(self, request: web.Request) -> web.Response:
        """Load a LoRA adapter: its changes are added to the weights of the model."""
        body = await request.json()
        name, folder = str(body["lora_name"]), Path(body["lora_path"])

        def load() -> None:
            from peft import PeftModel  # noqa: PLC0415 - heavy

            if not (folder / "adapter_config.json").is_file():
                raise InputError(f"{folder} has no adapter: adapter_config.json is missing")
            model = load_model(self._base, self._dtype())
            merged: Any = PeftModel.from_pretrained(model, str(folder))
            self._load(merged.merge_and_unload().state_dict(), folder)
            self._adapter, self.weights = name, name

        await self.engine.change(load)
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_adapter(self, request: web.Request) -> web.Response:
        """Go back to the model without an adapter; other adapters are gone already."""
        name = str((await request.json())["lora_name"])

        def load() -> None:
            if self._adapter == name:
                self._load(load_model(self._base, self._dtype()).state_dict(), self._base)
                self._adapter, self.weights = None, self._base.name

        await self.engine.change(load)
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    def _dtype(self) -> str:
        return str(self._policy.model.dtype).removeprefix("torch.")

    def _load(self, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Load weights that fit; otherwise nothing changes.

        Raises:
            InputError: They do not fit.
        """
        ours = self._policy.model.state_dict()
        for name in ours.keys() | weights.keys():
            sizes = [list(w[name].shape) if name in w else None for w in (weights, ours)]
            if sizes[0] != sizes[1]:
                raise InputError(
                    f"the weights in {folder} do not fit: {name} has the shape {sizes[0]}, and"
                    f" {sizes[1]} in the model that is served, {self.name}"
                )
        self._policy.load_weights(weights)
        self.weights = folder.name


def _error(message: str, status: int) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status)


def _as_text(calls: Sequence[Mapping[str, Any]]) -> str:
    """Return tool calls of a message as the text of a turn."""
    blocks = []
    for call in calls:
        arguments = call["function"]["arguments"]
        shown = arguments if isinstance(arguments, str) else json.dumps(arguments)
        name = json.dumps(call["function"]["name"])
        blocks.append(f'<tool_call>{{"name": {name}, "arguments": {shown}}}</tool_call>')
    return "".join(blocks)


def _as_message(text: str) -> tuple[dict[str, Any], str]:
    """Return a turn as a message with a native call if it is one, and the reason of its end."""
    action = parse(text, Protocol.TRIAL)
    if action.kind is not ActionKind.CALL or action.call is None:
        return {"content": text}, "stop"
    thought = text.partition("<tool_call>")[0]
    function = {"name": action.call.name, "arguments": json.dumps(action.call.arguments)}
    call = {"id": f"call{hash(text) % 10**5:05}", "type": "function", "function": function}
    return {"content": thought, "tool_calls": [call]}, "tool_calls"
