"""Errors of the person at the keyboard, apart from failures of files and machines; imports nothing heavy."""


class UsageError(ValueError):
    """A wrong value of an option; the message is one sentence."""


class DeviceError(UsageError):
    """A device that this machine does not have."""
