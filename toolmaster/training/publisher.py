"""Gives the trained weights to the servers that sample the rollouts, through a folder.

The main process writes a step's weights, all or a LoRA adapter, into a folder that every server can
read. Then each server is told to load it, and is asked what it holds. A folder gets its name only
once it is whole, so that no server reads half of one.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object

from toolmaster.errors import InputError
from toolmaster.models.checkpoints import fast_dtype
from toolmaster.policies.served import ServedPolicy
from toolmaster.policies.token_server import Weights
from toolmaster.runs import no_space
from toolmaster.system.processes import is_main
from toolmaster.training.collector import together
from toolmaster.training.sharding import base_model, is_sharded, plain_weights


class Publisher:
    """Publishes weights to the servers of a policy.

    Args:
        runner: the event loop of the training.
        policy: the policy of this process; every process has one, of the same servers.
        folder: where the weights go; what it held before is removed.
    """

    def __init__(self, runner: asyncio.Runner, policy: ServedPolicy, folder: Path) -> None:
        self._runner, self._policy = runner, policy
        self._folder = folder.absolute()
        if is_main():
            shutil.rmtree(self._folder, ignore_errors=True)

    def publish(self, trainer: Any, step: int) -> None:
        """Make all servers hold the present weights; all processes call it.

        Servers that do not answer are left out and named; they get the weights when they are back.

        Raises:
            InputError: the disk is full, or a server cannot load the weights.
            PermanentPolicyError: no server answers.
        """
        model = trainer.accelerator.unwrap_model(trainer.model)
        adapter = hasattr(model, "peft_config") and not is_sharded()  # a shard is no adapter
        weights = {} if adapter else _cast(trainer)
        name = f"step-{step}-{secrets.token_hex(4)}"
        together(lambda: self._write(model, weights, name) if is_main() else None)
        name = gather_object([name])[0]
        self._hold(Weights(self._folder / name, name, adapter=adapter))
        if is_main():
            for old in self._folder.iterdir():
                if old.name != name:
                    shutil.rmtree(old, ignore_errors=True)

    def finish(self, model: Path) -> None:
        """Make all servers hold the trained model, and remove the weights of the last step."""
        version = gather_object([f"trained-{secrets.token_hex(4)}"])[0]
        self._hold(Weights(model.absolute(), version))
        if is_main():
            shutil.rmtree(self._folder, ignore_errors=True)

    def _hold(self, weights: Weights) -> None:
        """Let the main process give the weights to all servers, and then the others check."""
        together(lambda: self._load(weights) if is_main() else None)
        together(lambda: None if is_main() else self._load(weights))

    def _load(self, weights: Weights) -> None:
        self._runner.run(self._policy.load_weights(weights))

    def _write(self, model: Any, weights: dict[str, Any], name: str) -> None:
        """Write weights, or the adapter of a model that has one, into a folder of this name."""
        part = self._folder / f".{name}.part"
        try:
            part.mkdir(parents=True)
            if weights:
                base_model(model).save_pretrained(part, state_dict=weights)
            else:
                model.save_pretrained(part)
            part.rename(self._folder / name)
        except Exception as error:
            full = no_space(error, self._folder)
            shutil.rmtree(part, ignore_errors=True)
            if not full:
                raise
            raise InputError(
                f"no space left for the weights in {self._folder}; the step is not lost: free some"
                " space and start the same command again"
            ) from None


def _cast(trainer: Any) -> dict[str, Any]:
    """Return the weights as the servers hold them, in the main process; all processes call it."""
    import torch  # noqa: PLC0415 - heavy

    dtype, weights = getattr(torch, fast_dtype()), {}
    for name, tensor in plain_weights(trainer):
        if is_main():
            weights[name] = tensor.to(dtype).cpu()
    return weights
