"""The `posecli` program: gathers the commands, and turns every way to end into an exit status."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from posecli import __version__
from posecli.cli import data, detect, info, lift, weights
from posecli.cli import demo as demo_command
from posecli.cli import train as train_command
from posecli.cli.console import ANYWHERE, Output, output
from posecli.errors import ExitCode, PosecliError

app = typer.Typer(
    name="posecli",
    help="Ordinary video to 3D human motion: BVH, metric joints with their spread, and a video to look at.",
    epilog=f"{ANYWHERE}\n\nStart with:  posecli demo   or   posecli lift video.mp4",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="lift", epilog=lift.EPILOG)(lift.lift)
app.command(name="detect", epilog=detect.EPILOG)(detect.detect)
app.command(name="demo", epilog=demo_command.EPILOG)(demo_command.demo)
app.command(name="train", epilog=train_command.EPILOG)(train_command.train)
app.command(name="methods")(info.methods)
app.command(name="detectors")(info.detectors)
app.command(name="doctor")(info.doctor)
app.add_typer(weights.app, name="weights")
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"posecli {__version__}")
        raise typer.Exit


@app.callback()
def _settings(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Output(verbose=verbose, quiet=quiet)


_GLOBAL = {"-v", "--verbose", "-q", "--quiet", "--debug"}


def run() -> None:
    """Entry point: runs the command line and exits with an `ExitCode`."""
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal or a batch queue must not leave half a file either
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave)
    sys.exit(main(sys.argv[1:]))


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit status. With --debug, errors come through as exceptions."""
    # The global options may stand anywhere; Typer wants them before the command.
    given = [a for a in arguments if a in _GLOBAL] + [a for a in arguments if a not in _GLOBAL]
    debug = "--debug" in given
    try:
        return int(app(given, standalone_mode=False) or ExitCode.OK)
    except PosecliError as error:
        if debug:
            raise
        output().error(str(error))
        return error.code
    except typer.TyperException as error:
        if debug:
            raise
        if message := error.format_message():  # without arguments, the help was printed instead
            command = getattr(getattr(error, "ctx", None), "command_path", "posecli")
            output().error(f"{message.rstrip('.')}; see: {command} --help")
        return ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        output().error("interrupted; whatever was finished before is kept")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # or Python complains when it flushes at exit
        return ExitCode.OK
    except Exception as error:
        if debug:
            raise
        output().error(f"{type(error).__name__}: {error} (a bug in posecli; --debug shows where)")
        return ExitCode.ERROR
