"""A tokenizer made on the spot: no test needs the network."""

import asyncio

import pytest

from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.session import Limits
from toolmaster.teacher.oracle import Behaviours, OraclePolicy
from toolmaster.world import World
from toolmaster.world.quirks import FAMILIES

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="session")
def world():
    """The built-in world."""
    return World()


@pytest.fixture(scope="session")
def demonstrate(world):
    """A function: the oracle's trajectory of a task."""

    def run(task_id, protocol=Protocol.TRIAL, behaviours=Behaviours(), seed=0):  # noqa: B008
        drawn = world.draw(task_id)
        oracle = OraclePolicy(drawn, protocol, behaviours, seed)
        return asyncio.run(run_rollout(RolloutRequest(drawn.task), oracle, protocol, Limits()))

    return run


@pytest.fixture(scope="session")
def trained_bpe(world, demonstrate):
    """A byte-level BPE trained on a few hundred turns of demonstrations."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415

    texts = [
        message.content
        for task_id in world.ids("seen", 60, FAMILIES)
        for message in demonstrate(task_id).messages()
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@pytest.fixture
def bare_tokenizer(trained_bpe):
    """A tokenizer with ChatML's special tokens and no chat template."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    return PreTrainedTokenizerFast(
        tokenizer_object=trained_bpe,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
