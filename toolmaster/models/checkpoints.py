"""Finding and loading models.

A model is named by a checkpoint folder, by its id at the Hub, or as the quickstart's model, with or
without `hf:` before the name.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from toolmaster.errors import InputError
from toolmaster.models.hub import SMOLLM2, download, is_hub_name, one_line, quickstart_model
from toolmaster.policies.base import Room
from toolmaster.system.allocator import bound_kernels

RoomT = TypeVar("RoomT", bound=Room)
_LOADING = threading.Lock()
"""Held while a model is loaded: Transformers changes its own classes meanwhile."""


def find_model(name: str) -> Path:
    """Return the folder of a checkpoint, downloaded first if it is not on this machine.

    Args:
        name: a checkpoint folder, a model of the Hub ("Qwen/Qwen3-0.6B", or with a branch, tag or
            commit "Qwen/Qwen3-0.6B@main"), or "smollm2-135m-instruct", with or without "hf:" before
            it. A folder takes precedence over a model of the Hub with the same name.

    Returns:
        The folder; that of a model of the Hub is inside the local cache. `HF_HOME`,
        `HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_TOKEN` mean what they mean to `huggingface_hub`.

    Raises:
        InputError: there is no such model, or it cannot be downloaded.

    Example:
        >>> find_model("Qwen/Qwen3-0.6B@main")  # doctest: +SKIP
        PosixPath('.../models--Qwen--Qwen3-0.6B/snapshots/c1899de...')
    """
    name = name.removeprefix("hf:")
    folder = Path(name)
    if (folder / "config.json").is_file():
        return folder
    if name == SMOLLM2:
        return quickstart_model()
    if folder.exists() or not is_hub_name(name):
        endpoint = "NAME" if folder.exists() or "/" in name else name or "NAME"
        raise InputError(
            f"model {name!r} is not a checkpoint folder (no config.json in it); give a folder"
            f" written by save_pretrained, a model of the Hugging Face Hub as OWNER/NAME or"
            f" OWNER/NAME@REVISION, {SMOLLM2!r}, or for a model behind an endpoint"
            f" openai:{endpoint}"
        )
    return download(name)


def lasting_name(folder: Path) -> str:
    """Return a name by which the weights in a folder of `find_model` can be found again.

    Returns:
        OWNER/NAME@COMMIT for a model in the Hub's local cache; otherwise the folder.
    """
    cached = folder.parent.parent.name.split("--")
    if cached[0] != "models" or not re.fullmatch("[0-9a-f]{40}", folder.name):
        return str(folder)
    return f"{'/'.join(cached[1:])}@{folder.name}"


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a checkpoint, with a chat template that knows tools.

    Raises:
        InputError: see `chat.prepare_tokenizer`.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    from toolmaster.chat import prepare_tokenizer  # noqa: PLC0415

    with _loading(folder, "the tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return prepare_tokenizer(tokenizer)


@contextmanager
def _loading(folder: Path, failure: str) -> Iterator[None]:
    """Turn an error of the libraries that load files into an `InputError`."""
    from safetensors import SafetensorError  # noqa: PLC0415 - of the extra train

    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: {failure}: {one_line(error)}") from None


def fast_dtype() -> str:
    """Return the dtype with the fastest matrix products on this machine: "bfloat16" or "float32".

    A processor without bfloat16 instructions (AVX512-BF16, AMX or Arm BF16) emulates them at about
    a hundredth of the speed of float32.
    """
    import torch  # noqa: PLC0415 - heavy

    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        can = torch.cpu.get_capabilities()
        native = torch.backends.mkldnn.is_available() and any(
            can.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")
        )
    return "bfloat16" if native else "float32"


def load_model(folder: Path, dtype: str, *, on_gpu: bool = True) -> Any:
    """Return the causal language model of a checkpoint, on this process's GPU if there is one.

    Args:
        folder: an ordinary Transformers checkpoint.
        dtype: "float32" for training, `fast_dtype()` for generation.
        on_gpu: False leaves it on CPU, for a trainer that places the weights itself.

    Raises:
        InputError: the weights cannot be loaded.
    """
    import torch  # noqa: PLC0415 - heavy
    from transformers import AutoModelForCausalLM  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    bound_kernels()
    logging.disable_progress_bar()
    with _LOADING, _loading(folder, "the model cannot be loaded"):
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True
        )
    if torch.cuda.is_available():
        torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a plan for every new length
    if torch.cuda.is_available() and on_gpu:
        return model.to(torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))))
    return model


_PLAIN_CAUSAL = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "olmo2", "glm4", "phi3", "gemma"}
)
"""Architectures whose attention is plain causal attention unless their settings say otherwise."""
_LENGTH_DEPENDENT = frozenset({"dynamic", "longrope"})
"""Position encodings that change with the longest sequence of a batch."""


def is_plain_causal(config: Any) -> bool:
    """Return whether a configuration has plain causal attention, which our kernels compute.

    True only for architectures that a test compares with Transformers' own attention; all others,
    and sliding windows, use Transformers' own.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    return (
        text.model_type in _PLAIN_CAUSAL
        and not getattr(text, "sliding_window", None)
        and set(getattr(text, "layer_types", None) or ()) <= {"full_attention"}
        and rope.get("rope_type") not in _LENGTH_DEPENDENT
    )


def read_config(folder: Path) -> Any:
    """Return the Transformers configuration of a checkpoint, without its weights.

    Raises:
        InputError: the configuration cannot be read.
    """
    from transformers import AutoConfig  # noqa: PLC0415 - heavy

    with _loading(folder, "the configuration cannot be read"):
        return AutoConfig.from_pretrained(folder, local_files_only=True)


def context_limit(config: Any) -> int | None:
    """Return the tokens that a Transformers configuration allows a sequence; None if unlimited."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def fit_context(config: Any, sampling: RoomT, name: str) -> RoomT:
    """Return the sampling settings with a `context_tokens` that the model supports.

    Args:
        config: a Transformers configuration.
        sampling: settings of the generation; a default `context_tokens` is lowered to the limit.
        name: the model's name, for the message.

    Raises:
        InputError: `context_tokens` was set, and the model has fewer positions.
    """
    longest = context_limit(config)
    if longest is None or sampling.context_tokens <= longest:
        return sampling
    if "context_tokens" not in sampling.model_fields_set:
        return sampling.model_copy(update={"context_tokens": longest})
    raise InputError(
        f"context_tokens is {sampling.context_tokens}, but {name!r} was made for at most {longest}"
        f" tokens (max_position_embeddings); set context_tokens to at most {longest}"
    )


def add_tag_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Make each tag of the protocol one token, in place; return the ids of the new tokens.

    Without them a tag costs SmolLM2 three to five tokens; with them a trajectory is a quarter
    shorter. A new row of the embedding starts as the mean of the rows of the tokens that it
    replaces. Tags that are one token already stay.
    """
    import torch  # noqa: PLC0415 - heavy
    from transformers import AddedToken  # noqa: PLC0415

    from toolmaster.tags import RESPONSE_TAGS, TAGS  # noqa: PLC0415

    tags = [*TAGS, *RESPONSE_TAGS]
    pieces = {tag: tokenizer.encode(tag, add_special_tokens=False) for tag in tags}
    new = [tag for tag in tags if len(pieces[tag]) > 1]
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in new])
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    layers = {id(m): m for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for layer in layers.values():
            for tag in new:
                row = tokenizer.convert_tokens_to_ids(tag)
                layer.weight[row] = layer.weight[pieces[tag]].mean(0)
    return [int(tokenizer.convert_tokens_to_ids(tag)) for tag in new]
