"""toolmaster's rollouts inside verl (0.9).

verl samples the turns and trains; tasks, tools, tokens, mask and rewards are those of every other
rollout. A row of verl's data names a task, and the recipe that has protocol, limits, rewards and
length of a turn; `examples/verl` writes such rows. verl needs versions that do not go with
`toolmaster[train]`: see `constraints-verl.txt`.
"""

from functools import lru_cache
from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput

from toolmaster import Sampling, taskset
from toolmaster.chat import ChatFormat, prepare_tokenizer
from toolmaster.config import load_config
from toolmaster.pipeline.recipe import Recipe, find_recipe
from toolmaster.policies.tokens import TokenConversation, sample_turn
from toolmaster.rewards.weighted import Rewards
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tags import CLOSING_TAGS

tasks_of = lru_cache(taskset)
recipe_of = lru_cache(lambda name: load_config(Recipe, find_recipe(name)))
chat_of = lru_cache(lambda tokenizer: ChatFormat(prepare_tokenizer(tokenizer)))


class VerlPolicy:
    """A policy whose turns verl's servers sample, for one rollout."""

    name = "verl"

    def __init__(self, loop: AgentLoopBase, params: dict[str, Any], sampling: Sampling) -> None:
        self.chat, self.sampling = chat_of(loop.tokenizer), sampling
        self._client, self._params = loop.server_manager, params
        self._request_id = uuid4().hex  # one for all turns: the server that has them in its cache

    def conversation(self, prompt: Any, tools: Any) -> TokenConversation:
        ids = self.chat.prompt_ids(prompt, tools)
        return TokenConversation(self.chat, self.sampling, self._generate, ids)

    async def _generate(self, ids: list[int], limit: int) -> tuple[list[int], list[float]]:
        return await sample_turn(self._sample, self.chat, ids, limit)

    async def _sample(self, ids: list[int], limit: int, stop: tuple[str, ...]) -> Any:
        params = {**self._params, "max_tokens": limit, "stop_token_ids": [self.chat.end_of_turn_id]}
        if stop:
            params |= {"stop": list(stop), "include_stop_str_in_output": True}
        turn = await self._client.generate(self._request_id, prompt_ids=ids, sampling_params=params)
        ids = list(turn.token_ids)
        return ids, list(turn.log_probs or ()), self.chat.text(ids).rstrip().endswith(CLOSING_TAGS)


class ToolmasterLoop(AgentLoopBase):
    """Runs the task that a row names, and scores it."""

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Return tokens, mask and reward of a rollout; one that broke has a mask of zeros."""
        recipe, tasks = recipe_of(row["recipe"]), tasks_of(row["tasks"])
        most, turn = self.rollout_config.response_length, recipe.grpo.sampling.turn_tokens
        room = self.rollout_config.prompt_length + most
        policy = VerlPolicy(self, sampling_params, Sampling(turn_tokens=turn, context_tokens=room))
        async with tasks.open():
            request, limits = RolloutRequest(tasks[row["task_id"]]), recipe.limits_for(tasks)
            done = await run_rollout(request, policy, recipe.protocol, limits)
            reward = await Rewards(recipe.grpo.rewards).of(done)
        tokens = done.completion()
        mask = [bit * (reward is not None) for bit in tokens.mask]
        probs = [prob or 0.0 for prob in tokens.log_probs] if any(tokens.log_probs) else None
        return AgentLoopOutput(
            prompt_ids=done.prompt_ids,
            response_ids=tokens.token_ids[:most] or [policy.chat.end_of_turn_id],
            response_mask=mask[:most] or [0],
            response_logprobs=probs and probs[:most],
            reward_score=float(getattr(reward, "total", reward) or 0.0),
            num_turns=2 * len(done.steps),
            metrics={},
            extra_fields={"reward_extra_info": {"success": float(done.success)}},
        )
