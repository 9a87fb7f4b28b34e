"""A tokenizer and a tiny model made on the spot: no test needs the network."""

import asyncio
import itertools
import json
import sys

import pytest
from pets import PETS

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import Behaviours
from toolmaster.world.facts import Facts
from toolmaster.world.openapi import Documents
from toolmaster.world.tasks import World

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tiny models are faster so, and tests do not disturb each other's timing."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_compiling(monkeypatch):
    """No tiny model earns back the seconds that compiling takes."""
    monkeypatch.setattr("toolmaster.policies.transformers.compile_blocks", lambda model: None)


@pytest.fixture
def toolmaster(monkeypatch, capsys):
    """A function: run a command here; returns exit code, output and error output."""
    from toolmaster import cli  # noqa: PLC0415

    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or it would start this process again

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["toolmaster", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    return run


@pytest.fixture(scope="session")
def world():
    """The built-in world of short tasks."""
    return World(level="short")


@pytest.fixture(scope="session")
def task_ids(world):
    """A function: the first ids of a split, of all families or of some."""

    def find(split, count, *families):
        ids = (world.id_of(split, number) for number in itertools.count())
        fitting = (
            one for one in ids if not families or world.draw(one).task.labels["family"] in families
        )
        return list(itertools.islice(fitting, count))

    return find


@pytest.fixture(scope="session")
def pets(tmp_path_factory):
    """The file of a small OpenAPI document."""
    file = tmp_path_factory.mktemp("api") / "pets.json"
    file.write_text(json.dumps(PETS))
    return file


@pytest.fixture(scope="session")
def worlds(world, pets):
    """A world of each source, by name."""
    return {
        "short": world,
        "full": World(),
        "facts": World(Facts(), "full", "facts"),
        "pets": World(Documents(pets), "short", "pets"),
    }


@pytest.fixture(scope="session")
def demonstrate(worlds):
    """A function: the oracle's trajectory of a task of either level."""

    def run(task_id, protocol=Protocol.TRIAL, behaviours=Behaviours()):  # noqa: B008
        drawn = worlds["short" if task_id.startswith("v6s") else "full"].draw(task_id)
        oracle = OraclePolicy(drawn, protocol, behaviours)
        return asyncio.run(run_rollout(RolloutRequest(drawn.task), oracle, protocol, Limits()))

    return run


@pytest.fixture(scope="session")
def trained_bpe(world, demonstrate):
    """A byte-level BPE trained on a few hundred turns of demonstrations."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415

    texts = [
        message.content
        for number in range(60)
        for message in demonstrate(world.id_of("train", number)).messages()
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


@pytest.fixture(scope="session")
def tiny_folder(trained_bpe, tmp_path_factory):
    """A checkpoint folder: a random two-layer Llama and its tokenizer, as a user would bring."""
    import torch  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained_bpe,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def load_tiny(tiny_folder):
    """A function: the tiny model in float32, another copy at each call."""
    from toolmaster.models.checkpoints import load_model  # noqa: PLC0415

    return lambda: load_model(tiny_folder, "float32").eval()


@pytest.fixture
def tiny_model(load_tiny):
    """The tiny model in float32, fresh for each test."""
    return load_tiny()


@pytest.fixture
def tiny_chat(tiny_folder):
    """The chat format of the tiny model."""
    from toolmaster.chat import ChatFormat  # noqa: PLC0415
    from toolmaster.models.checkpoints import load_tokenizer  # noqa: PLC0415

    return ChatFormat(load_tokenizer(tiny_folder))


@pytest.fixture
def bare_tokenizer(trained_bpe):
    """A tokenizer with ChatML's special tokens and no chat template."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    return PreTrainedTokenizerFast(
        tokenizer_object=trained_bpe,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
