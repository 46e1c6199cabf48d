"""What the Hugging Face hub answers, as sentences: which of the many reasons it is, and the way out."""

import errno
from pathlib import Path

from lexiseg.core.errors import ModelError
from lexiseg.core.messages import printable
from lexiseg.io.named_models import near_names


class UnreachableError(ModelError):
    """The hub did not answer; what is in the cache may do."""


class NoSuchFileError(ModelError):
    """A repository is there, but lacks a file."""


def hub_cache() -> Path:
    """The folder of the hub's cache."""
    from huggingface_hub import constants  # here, as in every function below, because few commands need it

    return Path(constants.HF_HUB_CACHE)


def told(error: Exception, name: str) -> ModelError:
    """What went wrong with a model's name, as one sentence."""
    from huggingface_hub import errors

    near = near_names(name)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return not_cached(name)
    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{name} is gated: ask for access at {endpoint()}/{name}, log in with 'hf auth login' or set HF_TOKEN, "
            "and try again."
        )
    status = getattr(getattr(error, "response", None), "status_code", "an error")
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return ModelError(
            f"the Hugging Face hub has no model {name}, or it is private: {near or 'check the name'}; if it is yours, "
            "log in with 'hf auth login' or set HF_TOKEN."
        )
    if isinstance(error, errors.HFValidationError):
        return ModelError(f"{printable(name)} is no name of the Hugging Face hub: {near or 'give owner/name'}.")
    if isinstance(error, errors.HfHubHTTPError):
        kind = UnreachableError if status == 429 or str(status).startswith("5") else ModelError
        return kind(f"the Hugging Face hub at {endpoint()} answered {status} for {name}: try again later.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelError(
            f"the disk is full at {printable(hub_cache())}: free some space, or set HF_HOME to a folder on a larger "
            "disk; the same command goes on from there."
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return ModelError(f"{printable(error.filename)} can't be written ({error.strerror}): set HF_HOME to another.")
    if type(error).__name__ == "TooManyRedirects":
        return ModelError(f"{endpoint()} sends on from address to address without an end for {name}: try another.")
    reason = " ".join(str(error).split())[:80]
    return UnreachableError(
        f"the Hugging Face hub can't be reached at {endpoint()} ({type(error).__name__}{reason and ': '}{reason}), "
        f"and {name} is not whole in the cache: check the network; or run 'hf download {name}' on a machine that has "
        f"one, and copy its folder {printable(hub_cache())}."
    )


def not_cached(name: str) -> ModelError:
    """Without a network, and without the model in the cache."""
    return ModelError(
        f"HF_HUB_OFFLINE forbids the network, and {name} is not whole in the cache {printable(hub_cache())}: run "
        f"'hf download {name}' on a machine with a network and copy that folder, or unset HF_HUB_OFFLINE."
    )


def endpoint() -> str:
    """The hub's address."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def size_told(count: int) -> str:
    """Bytes as a person reads them."""
    if count < 10**3:
        return f"{count} bytes"
    return f"{count / 1e6:,.0f} MB" if count >= 10**6 else f"{count / 1e3:,.0f} kB"
