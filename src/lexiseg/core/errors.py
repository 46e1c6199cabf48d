"""Errors for users: each message is one sentence that says what was expected, what was found and what to do."""


class UsageError(ValueError):
    """A wrong value of an option or argument."""


class DeviceError(UsageError):
    """A device that this machine does not have."""


class VocabularyError(ValueError):
    """Text or a file that cannot be read as a vocabulary."""


class PictureError(ValueError):
    """A picture that can't be opened."""


class FormatError(ValueError):
    """A data set on disk that contradicts itself or its format."""


class ModelError(ValueError):
    """A model folder or checkpoint that can't be used."""


class WorkerError(ValueError):
    """A worker process that was killed from outside."""
