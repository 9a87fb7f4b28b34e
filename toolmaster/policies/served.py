"""A policy behind inference servers that take and return token ids.

Each conversation stays with one server, whose prefix cache holds it. A request holds the whole
conversation, so one that failed is repeated at any server, and no state of one rollout can reach
another. A server that does not answer is left out, and taken back once it answers again and holds
the present weights.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from toolmaster.chat import ChatFormat
from toolmaster.errors import InputError, PermanentPolicyError, PolicyError
from toolmaster.policies.base import EndpointSettings, Sampling
from toolmaster.policies.endpoint import from_environment
from toolmaster.policies.endpoint_errors import RateLimitedError, RetryableError
from toolmaster.policies.names import ServedModel
from toolmaster.policies.token_server import TokenServer, Weights
from toolmaster.policies.tokens import Sampled, TokenConversation, sample_turn
from toolmaster.progress import tell
from toolmaster.system.plain import plain
from toolmaster.types import Message

WAIT_S = 120.0
"""Seconds to wait for a server to come back when none answers; vLLM takes about 40 to start."""
_FIRST_LOOK_S, _LAST_LOOK_S = 0.5, 10.0
"""Seconds between two looks at a server that does not answer, doubled each time."""


@dataclass(slots=True)
class _Rollout:
    """Generates the turns of one conversation at one server, as long as that server answers."""

    policy: ServedPolicy
    server: TokenServer | None = None

    async def generate(self, token_ids: list[int], limit: int) -> tuple[list[int], list[float]]:
        """Sample one turn."""
        return await sample_turn(self._sample, self.policy.chat, token_ids, limit)

    async def _sample(self, token_ids: Sequence[int], limit: int, stop: Sequence[str]) -> Sampled:
        policy, failures = self.policy, 0
        while True:
            if self.server is None or self.server not in policy.live:
                self.server = await policy.choose()
            try:
                return await self.server.generate(
                    token_ids,
                    limit,
                    temperature=policy.sampling.temperature,
                    end_id=policy.chat.end_of_turn_id,
                    weights=policy.weights,
                    stop=stop,
                )
            except RetryableError as error:
                failures += 1
                if failures > policy.retries:
                    raise
                if isinstance(error, RateLimitedError):
                    await asyncio.sleep(max(error.wait_s, 0.5 * 2.0**failures))
                else:
                    policy.leave_out(self.server, error)


class ServedPolicy:
    """Generates with a model behind one or several inference servers.

    Args:
        servers: The servers, all of one model.
        chat: The chat format of the model.
        sampling: Temperature and limits of the generation.
        name: Shown in trajectories.
        retries: The most repetitions of a request.
        wait_s: Seconds to wait for a server to come back when none answers.

    Example:
        >>> policy = load_served(ServedModel(["http://localhost:8000"], ""), Sampling())
        ... # doctest: +SKIP
    """

    def __init__(
        self,
        servers: Sequence[TokenServer],
        chat: ChatFormat,
        sampling: Sampling,
        *,
        name: str = "served",
        retries: int = 4,
        wait_s: float = WAIT_S,
    ) -> None:
        self.servers = list(servers)
        self.chat = chat
        self.sampling = sampling
        self.name = name
        self.retries = retries
        self.live: list[TokenServer] = []
        """The servers that answer and hold the present weights."""
        self.weights: Weights | None = None
        """What the servers were told to load; None for what they were started with."""
        self._wait_s = wait_s
        self._errors: dict[TokenServer, str] = {}
        """Why a server is left out."""
        self._looking: dict[TokenServer, asyncio.Task[None]] = {}

    def conversation(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> TokenConversation:
        """Begin a rollout."""
        prompt_ids = self.chat.prompt_ids(prompt, tools)
        return TokenConversation(self.chat, self.sampling, _Rollout(self).generate, prompt_ids)

    async def join(self, *, to_load: bool = False) -> None:
        """Look at all servers; those that do not answer are left out and named.

        Args:
            to_load: Whether weights will be loaded before anything is sampled, so that the servers
                may hold different ones now: one of them may have been restarted.

        Raises:
            InputError: A server has another model or tokenizer than the others, or less room than
                `sampling.context_tokens`.
            PermanentPolicyError: None answers.
        """
        await asyncio.gather(*map(self._join, self.servers))
        if not self.live:
            raise self._all_gone()
        roots = {server.root: server for server in self.live}
        if len(roots) > 1 and not to_load:
            shown = ", ".join(f"{s.address} serves {s.root!r}" for s in roots.values())
            raise InputError(f"the servers have different models: {shown}; name servers of one")
        self.sampling = self._fitting()

    def _fitting(self) -> Sampling:
        """Return the sampling with a context that every server has."""
        smallest = min(self.live, key=lambda s: s.context_tokens or self.sampling.context_tokens)
        room = smallest.context_tokens or self.sampling.context_tokens
        if room >= self.sampling.context_tokens:
            return self.sampling
        if "context_tokens" not in self.sampling.model_fields_set:
            return self.sampling.model_copy(update={"context_tokens": room})
        raise InputError(
            f"context_tokens is {self.sampling.context_tokens}, but {smallest.where} was started"
            f" with room for {room}; set context_tokens to at most {room}, or start it with more"
        )

    async def _join(self, server: TokenServer) -> None:
        """Take a server in if it answers."""
        try:
            await self._prepare(server)
        except RetryableError as error:
            self.leave_out(server, error)

    async def _prepare(self, server: TokenServer) -> None:
        """Check a server, give it the present weights, and take it in."""
        await server.greet()
        await server.check_tokenizer(self.chat)
        prompt = self.chat.turn_ids("<think>")
        await server.check_log_probs(self.sampling.temperature, prompt)
        if self.weights is not None:
            await server.hold(self.weights)
        self._errors.pop(server, None)
        if server not in self.live:
            self.live.append(server)

    async def load_weights(self, weights: Weights) -> None:
        """Make every server hold these weights; no rollout may be in flight.

        Servers that do not answer are left out and named, and get the weights when they are back.

        Raises:
            InputError: A server cannot load them.
            PermanentPolicyError: No server answers.
        """
        before, self.weights = self.weights, weights
        gone = [self._look_once(server) for server in self.servers if server not in self.live]
        await asyncio.gather(*(self._load(server, weights) for server in list(self.live)), *gone)
        await self.choose()
        if before is not None and before.adapter:
            await asyncio.gather(*(server.drop(before) for server in self.live))

    async def _load(self, server: TokenServer, weights: Weights) -> None:
        try:
            await server.hold(weights)
        except RetryableError as error:
            self.leave_out(server, error)

    async def choose(self) -> TokenServer:
        """Return the server with the fewest requests in flight; waits for one if none answers.

        Raises:
            PermanentPolicyError: None has answered for `wait_s` seconds.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._wait_s
        while not self.live:
            self._look_for_all()
            if loop.time() >= give_up_at:
                raise self._all_gone()
            await asyncio.sleep(min(_FIRST_LOOK_S, self._wait_s / 4))
        self._look_for_all()
        chosen = min(self.live, key=lambda server: (server.in_flight, server.begun))
        chosen.begun += 1
        return chosen

    def leave_out(self, server: TokenServer, error: Exception) -> None:
        """Use a server no more until it answers again."""
        if server in self.live:
            self.live.remove(server)
        if server not in self._errors:
            tell(f"left out until it answers again: {error}")
        self._errors[server] = str(error)
        self._look_for_all()

    def _look_for_all(self) -> None:
        """Begin to look for the servers that are left out."""
        loop = asyncio.get_running_loop()
        for server in self._errors:
            task = self._looking.get(server)
            if task is None or task.done() or task.get_loop() is not loop:
                self._looking[server] = loop.create_task(self._look_for(server))

    async def _look_for(self, server: TokenServer) -> None:
        """Take a server back as soon as it answers and holds the present weights."""
        pause_s = min(_FIRST_LOOK_S, self._wait_s / 4)
        while server not in self.live:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_LOOK_S)
            try:
                await self._prepare(server)
            except (PolicyError, InputError) as error:
                if str(error) != self._errors.get(server) and not isinstance(error, RetryableError):
                    tell(f"still left out: {error}")
                self._errors[server] = str(error)
            else:
                tell(f"{server.where} is back")

    async def _look_once(self, server: TokenServer) -> None:
        """Take a server back if it answers now."""
        with suppress(PolicyError, InputError, TimeoutError):
            async with asyncio.timeout(_LAST_LOOK_S):
                await self._prepare(server)
                tell(f"{server.where} is back")

    def _all_gone(self) -> PermanentPolicyError:
        reasons = "; ".join(self._errors.get(s, s.where) for s in self.servers)
        return PermanentPolicyError(f"no server of the model answers: {reasons}")

    async def close(self) -> None:
        """Stop looking for servers, and close the connections to all of them."""
        loop = asyncio.get_running_loop()
        for task in self._looking.values():
            if task.get_loop() is loop:
                task.cancel()
        await asyncio.gather(*(server.close() for server in self.servers))


def served_folder(model: ServedModel, endpoint: EndpointSettings | None = None) -> str:
    """Return the checkpoint of a served model: the one given, or else the one its servers name.

    Raises:
        PermanentPolicyError: No server answers.
    """
    return model.model or plain(_root_of(_servers(model, endpoint)))


async def _root_of(servers: Sequence[TokenServer]) -> str:
    errors = []
    try:
        for server in servers:
            try:
                await server.greet()
            except RetryableError as error:
                errors.append(str(error))
            else:
                return server.root
    finally:
        await asyncio.gather(*(server.close() for server in servers))
    raise PermanentPolicyError(f"no server of the model answers: {'; '.join(errors)}")


def _servers(model: ServedModel, endpoint: EndpointSettings | None) -> list[TokenServer]:
    settings = endpoint or EndpointSettings()
    headers = from_environment(settings.headers)
    return [
        TokenServer(address, timeout_s=settings.timeout_s, headers=headers)
        for address in model.addresses
    ]


def load_served(
    model: ServedModel,
    sampling: Sampling,
    *,
    endpoint: EndpointSettings | None = None,
    name: str | None = None,
    chat: ChatFormat | None = None,
    to_load: bool = False,
) -> ServedPolicy:
    """Return the policy of a served model, after a look at its servers.

    Args:
        model: The servers, and the checkpoint of the tokenizer.
        sampling: Temperature and limits of the generation.
        endpoint: Timeout, retries and headers of the requests.
        name: The policy's name in trajectories; None takes that of the checkpoint.
        chat: The chat format of the model; None reads it from the checkpoint.
        to_load: Whether the weights of a training will be loaded before anything is sampled.

    Raises:
        InputError: The tokenizer cannot be found, or a server has another one.
        PermanentPolicyError: No server answers.
    """
    folder = name or ""
    if chat is None:
        from toolmaster.models.checkpoints import find_model, load_tokenizer  # noqa: PLC0415 - heavy

        folder = served_folder(model, endpoint)
        try:
            chat = ChatFormat(load_tokenizer(find_model(folder)))
        except InputError as error:
            raise InputError(
                f"{error}; the tokenizer of a served model is needed here: write"
                f" served:{','.join(model.addresses)} model=FOLDER"
            ) from None
    settings = endpoint or EndpointSettings()
    policy = ServedPolicy(
        _servers(model, endpoint),
        chat,
        sampling,
        name=name or folder,
        retries=settings.retries,
    )
    plain(_looked_at(policy, to_load=to_load))
    return policy


async def _looked_at(policy: ServedPolicy, *, to_load: bool) -> None:
    """Look at the servers in an event loop that ends with it."""
    try:
        await policy.join(to_load=to_load)
    finally:
        await policy.close()
