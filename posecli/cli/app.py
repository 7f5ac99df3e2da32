"""The `posecli` program: gathers the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from posecli import __version__
from posecli.cli import bench, data, detect, export, info, lift, refine, render, weights
from posecli.cli import demo as demo_command
from posecli.cli import inspect as inspect_command
from posecli.cli import train as train_command
from posecli.cli.console import ANYWHERE, Output
from posecli.errors import ExitCode

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
app.command(name="inspect", epilog=inspect_command.EPILOG)(inspect_command.inspect)
app.command(name="refine", epilog=refine.EPILOG)(refine.refine)
app.command(name="export", epilog=export.EPILOG)(export.export)
app.command(name="render", epilog=render.EPILOG)(render.render)
app.command(name="demo", epilog=demo_command.EPILOG)(demo_command.demo)
app.command(name="train", epilog=train_command.EPILOG)(train_command.train)
app.command(name="methods", epilog=info.METHODS_EPILOG)(info.methods)
app.command(name="detectors")(info.detectors)
app.command(name="doctor")(info.doctor)
app.add_typer(weights.app, name="weights")
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")


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


class WrongUse(Exception):
    """The command line cannot be understood; the message is one line that says where help is."""


def dispatch(arguments: list[str]) -> int:
    """Run one command line; returns its exit status, or raises what went wrong."""
    # The global options may stand anywhere; Typer wants them before the command.
    given = [a for a in arguments if a in _GLOBAL] + [a for a in arguments if a not in _GLOBAL]
    try:
        return int(app(given, prog_name="posecli", standalone_mode=False) or ExitCode.OK)
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # without arguments, the help was printed instead
            return ExitCode.USAGE
        command = getattr(getattr(error, "ctx", None), "command_path", "posecli")
        raise WrongUse(f"{message.rstrip('.')}; see: {command} --help") from error
    except typer.Abort:
        return ExitCode.INTERRUPTED
