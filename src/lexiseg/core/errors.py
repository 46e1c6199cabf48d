"""Every error that is meant for a person: the message is one sentence, with what to change; imports nothing heavy."""


class UsageError(ValueError):
    """A wrong value of an option or argument."""


class DeviceError(UsageError):
    """A device that this machine does not have."""


class VocabularyError(ValueError):
    """Words that make no vocabulary."""


class PictureError(ValueError):
    """A picture that can't be opened."""


class FormatError(ValueError):
    """A data set on disk that contradicts itself or its format."""


class ModelError(ValueError):
    """A model folder or checkpoint that can't be used."""


class WorkerError(ValueError):
    """A worker process that was killed from outside."""
