"""`posecli weights list|pull|verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from posecli.cli.console import Output
from posecli.errors import InputError, UsageError

app = typer.Typer(help="Weights: what ships, what is fetched, whether it is intact.", no_args_is_help=True)


@app.command("list", epilog="[bold]Example[/bold]\n\n  posecli weights list")
def list_(context: typer.Context) -> None:
    """List the shipped lifter weights and the detector's networks."""
    from posecli.weights import fetch, store

    rows = [(w.name, w.method, f"{w.path.stat().st_size / 1e6:.1f} MB", str(w.path)) for w in store.shipped()]
    cached = fetch.blazepose_cached()
    where = str(fetch.cache_dir()) if cached else "not fetched: posecli weights pull blazepose"
    rows.append(("blazepose", "detector", "9.4 MB", where))
    context.obj.table("name", "for", "size", "where", rows=rows)


@app.command(epilog="[bold]Example[/bold]\n\n  posecli weights pull blazepose")
def pull(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to fetch: blazepose.")] = "blazepose",
) -> None:
    """Fetch the detector's networks now, so that later runs need no network."""
    from posecli.weights import fetch

    say: Output = context.obj
    if name != "blazepose":
        raise UsageError(
            f"nothing to fetch by the name {name!r}; one of: blazepose (the lifters' weights ship)"
        )
    with say.stage("fetch blazepose", fetch.WHEEL_BYTES // 10**6, "MB") as advance:
        fetch.blazepose_files(progress=lambda done, total: advance(done // 10**6))
    say.say(f"blazepose is in {fetch.cache_dir()}")


@app.command(epilog="[bold]Example[/bold]\n\n  posecli weights verify")
def verify(context: typer.Context) -> None:
    """Compare every weights file with its recorded SHA-256; exits non-zero where one differs."""
    from posecli.weights import fetch, store

    checked = store.verify()
    rows = [(c.weights.name, c.state, c.sha256) for c in checked]
    rows.append(("blazepose", "intact" if fetch.blazepose_cached() else "not fetched", ""))
    context.obj.table("name", "state", "sha256", rows=rows)
    if bad := [c.weights.name for c in checked if c.state != "intact"]:
        raise InputError(
            f"not as recorded in {store.shipped_folder() / 'SHA256SUMS'}: {', '.join(bad)}; reinstall posecli"
        )
