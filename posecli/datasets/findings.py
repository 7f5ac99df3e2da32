"""What a check of a data set has to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """ok None: neither good nor bad, only to be known."""

    ok: bool | None
    subject: str
    text: str
