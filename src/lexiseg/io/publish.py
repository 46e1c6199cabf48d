"""Uploading model folders to the Hugging Face hub, by huggingface_hub's own client."""

from pathlib import Path

from lexiseg.core.errors import ModelError
from lexiseg.core.messages import printable
from lexiseg.io.folder_format import __version__
from lexiseg.io.shipped import HUB_NAME

_REFUSED = {
    401: "nobody is logged in to the Hugging Face hub, or the token is not valid: run 'hf auth login', or pass a token",
    403: "your token has no right to write there: take a repository of your own, or a token with the right to write",
    404: "there is no such account, or your token may not see it: check the name, or log in with 'hf auth login'",
}
"""What a status means to a person who uploads."""


def check_repository(repository: str) -> None:
    """Refuses a name that no repository can have.

    Raises:
        ModelError: if it is not "owner/name".
    """
    if not HUB_NAME.fullmatch(repository):
        raise ModelError(f"a repository of the Hugging Face hub is called OWNER/NAME, got {printable(repository)}.")


def upload(folder: Path, repository: str, *, private: bool | None, token: str | None, message: str) -> str:
    """Makes a repository if it is not there, and uploads a folder to it in one commit.

    Args:
        folder: the folder; hidden files stay here.
        repository: "owner/name".
        private: whether it is made so; the hub's default if None.
        token: of the account; the saved one if None.
        message: of the commit.

    Returns:
        The repository's address.

    Raises:
        ModelError: if the hub refuses or can't be reached, or it is public and was asked to be private.
    """
    from huggingface_hub import HfApi  # here, because almost nobody needs it
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    api, target = HfApi(token=token, library_name="lexiseg", library_version=__version__), printable(repository)
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise ModelError(f"{target} is there and public: make it private on the hub first, or name another.")
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=message, ignore_patterns=[".*", "**/.*"]
        )
    except HFValidationError as error:
        raise ModelError(f"the hub allows no repository of the name {target} ({_first_line(error)}).") from error
    except OfflineModeIsEnabled as error:
        raise ModelError(f"HF_HUB_OFFLINE forbids to upload {target}; unset it.") from error
    except HfHubHTTPError as error:
        told = _REFUSED.get(error.response.status_code, f"the hub refused it ({_first_line(error)})")
        raise ModelError(f"{target} was not uploaded: {told}.") from error
    except (HTTPError, OSError) as error:
        raise ModelError(
            f"{target} was not uploaded: the Hugging Face hub can't be reached ({_first_line(error)}); check the "
            "network and try again."
        ) from error
    return str(address)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}".rstrip(":. ")
