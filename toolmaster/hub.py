"""Models of the Hugging Face Hub, through its own client and local cache."""

from __future__ import annotations

import re
from pathlib import Path

from toolmaster.errors import InputError
from toolmaster.extras import require

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
"""Configuration, weights, tokenizer and chat template; no code and no other format of weights."""
_LEFT_OUT = ["*/*", "consolidated*"]
"""Conversions in subfolders, and a second copy of the weights."""


def is_hub_name(name: str) -> bool:
    """Return whether a name has the form OWNER/NAME or OWNER/NAME@REVISION."""
    return bool(_HUB_NAME.fullmatch(name))


def download(name: str) -> Path:
    """Return the local snapshot of a model, completed over the network where there is one.

    Args:
        name: see `is_hub_name`.

    Raises:
        InputError: the model cannot be had, or holds no configuration or weights in safetensors.
    """
    require("train", "huggingface_hub")
    from huggingface_hub import errors, snapshot_download  # noqa: PLC0415 - heavy

    repository, _, revision = name.partition("@")
    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
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
        cause = (
            "HF_HUB_OFFLINE is set" if _offline() else f"the Hub cannot be reached: {_why(error)}"
        )
        reason = (
            f"it is not whole in the local cache, and {cause}. Connect once, or give the folder of"
            " a checkpoint"
        )
    except Exception as error:  # noqa: BLE001 - the network library's, the disk's, a malformed name
        reason = f"{type(error).__name__}: {one_line(error)}"
    else:
        return _whole(Path(folder), name)
    raise InputError(f"model {name!r} cannot be obtained: {reason}")


def _whole(folder: Path, name: str) -> Path:
    """The snapshot, if it holds what a model needs."""
    if not (folder / "config.json").is_file():
        raise InputError(
            f"model {name!r} has no config.json at the Hub: it is no Transformers model"
        )
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"model {name!r} has no weights in safetensors at the Hub; other formats are not read"
        )
    return folder


def _offline() -> bool:
    from huggingface_hub import constants  # noqa: PLC0415 - heavy

    return bool(constants.HF_HUB_OFFLINE)


def _why(error: Exception) -> str:
    """What lies at the bottom of the Hub's error, in one line."""
    return one_line(error.__cause__ or error)


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
