"""Subclasses of TRL's `GRPOTrainer`; the loss stays TRL's.

`RolloutTrainer` uses the log-probabilities with which tokens were sampled, and can give each phase
its own advantage. `PackedTrainer` also scores rollouts in one row without padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal

import torch
from accelerate.utils import gather_object
from trl import GRPOTrainer

from toolmaster.rewards import PhaseReward, Rewarded
from toolmaster.types import Phase, Trajectory

EPSILON = 1e-4
"""Added to a standard deviation before dividing by it, as TRL does."""


class RolloutTrainer(GRPOTrainer):
    """A `GRPOTrainer` that uses the trajectories behind its rows."""

    collected: tuple[Sequence[Trajectory], Sequence[Rewarded]] = ((), ())
    """Trajectories and rewards of the rows of this process, in order; the collector sets them."""

    def correct_sampling(self) -> None:
        """Let TRL correct for rollouts of other weights than those of the step before.

        TRL weights them with the ratio of the probabilities under both, as it does with vLLM, from
        the log-probabilities that `rollout_func` returns.
        """
        self.use_vllm, self._last_loaded_step = True, -1
        loaded: Any = SimpleNamespace(sync_weights=lambda: None)  # the collector does it
        self.vllm_generation = loaded

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)
        trajectories, rewards = self.collected
        width = output["completion_ids"].shape[1]
        sampled = sampled_log_probs(trajectories, width)
        if sampled is not None and not self.use_vllm:
            # The policy that sampled these tokens is the old policy of the ratio (arXiv 1707.06347,
            # Eq. 6), which then corrects for differences between sampling and training kernels.
            output["old_per_token_logps"] = sampled.to(output["completion_ids"].device)
        everyone = gather_object(list(rewards))
        if any(isinstance(reward, PhaseReward) for reward in everyone):
            by_phase = phase_advantages(everyone, self.num_generations or 1, self.scale_rewards)
            start = self.accelerator.process_index * len(rewards)
            own = by_phase[start : start + len(rewards)]
            advantages = spread_over_tokens(own, trajectories, width)
            output["advantages"] = advantages.to(output["completion_ids"].device)
        return output


def sampled_log_probs(trajectories: Sequence[Trajectory], width: int) -> torch.Tensor | None:
    """Return the log-probabilities with which tokens were sampled.

    Args:
        trajectories: B trajectories.
        width: T, the number of completion tokens of the longest one.

    Returns:
        (B, T) float32, 0 on other tokens and on padding; None if a trained token has none.
    """
    rows = torch.zeros(len(trajectories), width)
    for index, trajectory in enumerate(trajectories):
        tokens = trajectory.completion()
        for place, (trained, log_prob) in enumerate(
            zip(tokens.mask, tokens.log_probs, strict=True)
        ):
            if trained and log_prob is None:
                return None
            rows[index, place] = log_prob if trained and log_prob is not None else 0.0
    return rows


def phase_advantages(
    rewards: Sequence[Rewarded],
    group_size: int,
    scale: Literal["group", "batch", "none"] | str | bool,
) -> torch.Tensor:
    """Return the group-relative advantage of each phase.

    For each phase p, with R_p the rewards of a group in p: A_p = (R_p - mean R_p) / (std + 1e-4),
    where std is over the group or over the whole batch (Eq. 6 of arXiv 2601.12762, phase by phase).
    A plain number counts for both phases.

    Args:
        rewards: B rewards, those of a group adjacent; None is left out of its group.
        group_size: the number of rollouts of one task.
        scale: which standard deviation to divide by: the group's, the batch's, or none.

    Returns:
        (B, 2) float32: trial and execution; 0 if the reward is None.

    Example:
        >>> phase_advantages([PhaseReward(1, 0), PhaseReward(0, 0)], 2, "none").tolist()
        [[0.5, 0.0], [-0.5, 0.0]]
    """
    pairs = [phase_pair(reward) or (math.nan, math.nan) for reward in rewards]
    batch = torch.tensor(pairs, dtype=torch.float32)
    groups = batch.view(-1, group_size, 2)
    centred = groups - groups.nanmean(dim=1, keepdim=True)
    if scale in ("group", True):
        centred = centred / (_nan_std(groups, 1) + EPSILON)
    elif scale == "batch":
        centred = centred / (_nan_std(batch, 0) + EPSILON)
    return centred.view(-1, 2).nan_to_num(0.0)


def phase_pair(reward: Rewarded) -> tuple[float, float] | None:
    """Return a reward as (trial, execution); a plain number counts for both."""
    if reward is None or isinstance(reward, PhaseReward):
        return reward
    return float(reward), float(reward)


def _nan_std(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the standard deviation over a dimension as TRL has it, with n - 1; NaN is ignored."""
    known = ~values.isnan()
    count = known.sum(dim, keepdim=True)
    squares = (values - values.nanmean(dim, keepdim=True)) ** 2
    return (squares.nansum(dim, keepdim=True) / (count - 1).clamp_min(1)).sqrt()


def spread_over_tokens(
    advantages: torch.Tensor, trajectories: Sequence[Trajectory], width: int
) -> torch.Tensor:
    """Return the advantage of each completion token: that of its phase.

    Args:
        advantages: (B, 2), trial and execution.
        trajectories: B trajectories.
        width: T, the number of completion tokens of the longest one.

    Returns:
        (B, T), 0 on padding.
    """
    rows = torch.zeros(len(trajectories), width)
    for index, trajectory in enumerate(trajectories):
        phases = trajectory.completion().phases
        places = torch.tensor([int(phase is Phase.EXECUTION) for phase in phases], dtype=torch.long)
        rows[index, : len(phases)] = advantages[index][places]
    return rows


class PackedTrainer(RolloutTrainer):
    """A `RolloutTrainer` whose forward pass holds a batch as one row without padding."""

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,  # noqa: ARG002 - TRL's signature
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Return log-probabilities and entropies of completions, (B, C), zero on padding.

        Args:
            model: the trained or the reference model.
            input_ids: (B, T) prompts padded on the left, completions on the right.
            attention_mask: (B, T), 1 on real tokens.
            logits_to_keep: C, the number of completion positions at the end.
            batch_size: the most sequences in one row; None puts the whole batch in one row.
            compute_entropy: whether to return entropies.
            compute_aux_loss: ignored; it is for mixtures of experts.
        """
        size = batch_size or len(input_ids)
        parts = [
            self._score_row(model, ids, mask, logits_to_keep, entropy=compute_entropy)
            for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
        ]
        log_probs = torch.cat([part for part, _ in parts])
        entropy = torch.cat([part for _, part in parts]) if compute_entropy else None
        return log_probs, entropy, None

    def _score_row(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *,
        entropy: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the caller returns, for a batch in one row without padding."""
        real = attention_mask.bool()
        positions = (attention_mask.cumsum(1) - 1)[real].unsqueeze(0)
        completion = torch.zeros_like(real)
        completion[:, -logits_to_keep:] = True
        labels = input_ids.masked_fill(~completion, -100)[real].unsqueeze(0)
        with self.accelerator.autocast():
            scored = model(
                input_ids=input_ids[real].unsqueeze(0),
                position_ids=positions,
                labels=labels,
                fused_lm_head=True,
            )

        def unpack(values: torch.Tensor) -> torch.Tensor:
            row = torch.cat([values.new_zeros(1), values[0].float()])  # of position t, not t - 1
            padded = row.new_zeros(real.shape).masked_scatter(real, row)
            return padded[:, -logits_to_keep:]

        return unpack(scored.log_probs), unpack(scored.entropy if entropy else scored.log_probs)
