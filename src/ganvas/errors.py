"""Errors and warnings that name rule, value and remedy; the command line prints them bare."""


class GanvasError(ValueError):
    """A fault that the user can mend; its message needs no traceback."""


class ConfigError(GanvasError):
    """A config that can't be run: unknown key, wrong type, out of range, impossible pair."""


class DataError(GanvasError):
    """Image data that is missing, unreadable or not what the config says."""


class CheckpointError(GanvasError):
    """A checkpoint that is missing, damaged or of another model."""


class RunError(GanvasError):
    """A run folder that is missing, damaged or in use."""


class UnfitError(GanvasError):
    """A measure that can't be taken of this model, split or network of features."""


class ProtocolError(GanvasError):
    """Values that were not measured alike and so may not be compared."""


class InterruptedRun(BaseException):
    """A signal asked the run to end; what it had to save is saved.

    Not an `Exception`: it may rise in the midst of a library's code, which would take it for a
    fault of its own and go on.

    Attributes:
        signal: its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"signal {signal}")
        self.signal = signal


class GanvasWarning(UserWarning):
    """What can be run but is better mended; shown once, without a place in the sources."""
