"""The one exception a user can mend, and the exit status each kind of it ends in."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; `cli/main.py` is the only place that turns errors into these."""

    OK = 0
    ERROR = 1  # an error that is ours
    USAGE = 2  # wrong option or value (Typer's own status too)
    INPUT = 3  # a file is missing, damaged or of another kind
    NOBODY = 4  # no person was found
    OUTPUT = 5  # the result exists already, or cannot be written
    NETWORK = 6  # something must be fetched and cannot be
    INTERRUPTED = 130  # Ctrl-C


class PosecliError(Exception):
    """Something the user can mend: the message is one line that says what is wrong and what to do next."""

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.code = code


class InputError(PosecliError):
    """A file or folder given by the user is missing, unreadable or not what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.INPUT)


class UsageError(PosecliError):
    """An option or argument has a value that cannot work."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.USAGE)


class NobodyError(PosecliError):
    """Not one frame holds a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NOBODY)


class OutputError(PosecliError):
    """A result exists already or cannot be written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.OUTPUT)


class NetworkError(PosecliError):
    """Something has to be fetched and could not be (offline, no route, wrong checksum)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NETWORK)
