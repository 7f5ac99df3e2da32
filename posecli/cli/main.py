"""Where the program starts, and the one place where every way to end becomes an exit status.

Everything heavier than this file is imported inside `main`: Ctrl-C is answered from the first moment.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from types import FrameType

from posecli.errors import ExitCode, PosecliError


def run() -> None:
    """Entry point: runs the command line and exits with an `ExitCode`."""
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal or a batch queue must not leave half a file either
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave)
    sys.unraisablehook = _interrupt_again
    sys.exit(main(sys.argv[1:]))


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """A Ctrl-C that fell into a destructor or a weak reference's callback is dropped by Python: send it anew."""
    if lost.exc_type is KeyboardInterrupt:
        # From another thread and a moment later: sent from here it would fall into this very hook.
        threading.Timer(0.01, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit status. With --debug, errors come through as exceptions."""
    debug = "--debug" in arguments
    try:
        from posecli.cli.app import WrongUse, dispatch

        try:
            code = dispatch(arguments)
        except WrongUse as error:
            return _failed(str(error), ExitCode.USAGE)
    except PosecliError as error:
        if debug:
            raise
        return _failed(str(error), error.code)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.filename is not None:  # a path that cannot even be looked at
            return _failed(f"{error.filename}: {error.strerror or error}", ExitCode.INPUT)
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            return _failed(
                "there is not enough memory for this input; give less of it at a time", ExitCode.ERROR
            )
        message = f"{type(error).__name__}: {error} (a bug in posecli; --debug shows where)"
        return _failed(message, ExitCode.ERROR)
    if code == ExitCode.INTERRUPTED:
        return _failed("interrupted; what was finished before is kept", ExitCode.INTERRUPTED)
    return code


def _failed(message: str, code: ExitCode) -> ExitCode:
    from posecli.cli.console import Output

    sys.stdout.flush()
    Output().error(message)
    return code
