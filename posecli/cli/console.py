"""What the commands share: progress on a terminal, plain lines elsewhere, warnings and errors on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from posecli.reporting import Advance

ANYWHERE = "Anywhere on the line: -v/--verbose, -q/--quiet, --debug."


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(
            "" if speed is None else f"{speed:.{0 if speed >= 10 else 1}f}/s", style="progress.data.speed"
        )


@dataclass
class Output:
    """The two streams, and how much to say. A `Reporter`."""

    verbose: bool = False
    quiet: bool = False
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True))

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Progress of one stage: a bar with rate and time left on a terminal, lines now and then elsewhere."""
        if self.quiet:
            yield lambda done, total=None: None
        elif self.err.is_terminal:
            with self._bar(name, total) as advance:
                yield advance
        else:
            with self._lines(name, total, unit) as advance:
                yield advance

    @contextmanager
    def _bar(self, name: str, total: int | None) -> Iterator[Advance]:
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.err, transient=True) as progress:
            task = progress.add_task(name, total=total)

            def advance(done: int, total: int | None = total) -> None:
                # Counts in headers are not believed: a bar never says 120 of 100.
                progress.update(task, completed=done, total=None if total is None else max(total, done))

            yield advance

    @contextmanager
    def _lines(self, name: str, total: int | None, unit: str, every_s: float = 10.0) -> Iterator[Advance]:
        began = said = time.monotonic()
        count, first = 0, None

        def advance(done: int, total: int | None = total) -> None:
            nonlocal said, count, first
            count = done
            now = time.monotonic()
            if first is None:  # what goes on where it was stopped does not begin with one
                first, said = (done, now), now
            elif now - said >= every_s:
                said = now
                rate = (done - first[0]) / (now - first[1])
                of = "" if total is None else f" of {max(total, done)}"
                left = "" if total is None or not rate else f", {max(total - done, 0) / rate:.0f} s left"
                self.err.print(f"{name}: {done}{of} {unit}, {rate:.1f}/s{left}", markup=False)

        yield advance
        if count:
            took = time.monotonic() - began
            units = unit.removesuffix("s") if count == 1 else unit
            self.err.print(f"{name}: {count} {units} in {took:.1f} s", markup=False)

    def warn(self, message: str) -> None:
        self.err.print(Text("warning: ", style="yellow") + Text(one_line(message), style="default"))

    def note(self, message: str) -> None:
        if not self.quiet:
            self.err.print(one_line(message), markup=False)

    def error(self, message: str) -> None:
        self.err.print(Text("error: ", style="bold red") + Text(one_line(message), style="default"))

    def say(self, message: str = "") -> None:
        """A line of the result, on stdout."""
        if not self.quiet:
            self.out.print(message, markup=False)

    def fact(self, subject: str, text: str) -> None:
        """A line of a summary."""
        if not self.quiet:
            self.out.print(Text(f"{subject:<8} ", style="bold") + Text(one_line(text), style="not bold"))

    def check(self, ok: bool, subject: str, text: str) -> None:
        """A line of a check-up; said even when quiet if it is bad."""
        if not (ok and self.quiet):
            mark = Text("ok ", style="green") if ok else Text("BAD", style="bold red")
            self.out.print(mark + Text(f"  {subject:<16} {text}", style="default"))

    def table(self, *headings: str, rows: Sequence[tuple[str, ...]]) -> None:
        """A table on a terminal, tab-separated lines elsewhere (for `cut` and `grep`)."""
        if not self.out.is_terminal:
            for row in rows:
                self.out.file.write(
                    "\t".join(map(_cell, row)) + "\n"
                )  # Console.print would turn tabs into spaces
            return
        table = Table(*headings, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(Text(_cell(cell)) for cell in row))
        self.out.print(table)


def _cell(text: str) -> str:
    """Of a table: its lines stay."""
    return "\n".join(map(one_line, text.split("\n")))


def one_line(message: str) -> str:
    """A message as one line that cannot steer the terminal, whatever a file is called."""
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(message.splitlines())
    )
