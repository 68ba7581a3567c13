"""What the pages of runs share: one style, one policy that forbids every other source."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files

from hearken.metrics.tabulate import Table, cell

__all__ = ["asset", "section", "table", "whole"]


def whole(title: str, body: str, *, kind: str = "", script: str = "") -> str:
    """A page that holds all it shows.

    Args:
        title: as plain text; it is escaped here.
        body: HTML of what stands in `<main>`.
        kind: class of `<main>`.
        script: the one script that the page may run, by its hash; words that come as HTML
            in spite of everything run none.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{asset('page.css')}</style></head><body>"
        f'<main class="{kind}">{body}</main>'
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


@cache
def asset(name: str) -> str:
    """A text file of this package."""
    return (files("hearken.metrics") / name).read_text(encoding="utf-8")


def section(title: str, *parts: str, aside: str = "") -> str:
    """A section under its title; "" where nothing is in it."""
    inside = "".join(parts)
    note = f'<span class="small">{escape(aside)}</span>' if aside else ""
    return f"<section><h2>{escape(title)}{note}</h2>{inside}</section>" if inside else ""


def table(given: Table) -> str:
    """A table as HTML, its notes below."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in given.columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell(c))}</td>' for c in row)}</tr>" for row in given.rows
    )
    notes = "".join(f'<p class="small">{escape(n)}</p>' for n in given.notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
