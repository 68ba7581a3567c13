"""Write the README's table of numbers from the newest page in benchmarks/results.

    python benchmarks/readme_table.py [--check]

With --check nothing is written; exit code 1 where the README is not up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
START, END = "<!-- numbers: written by `make readme` -->", "<!-- end of numbers -->"


def cell(row: dict[str, Any]) -> str:
    """A value with its interval: "0.71 [0.65, 0.76], n = 400"."""
    if row["value"] is None:
        return "-"
    unit = f" {row['unit']}" if row["unit"] else ""
    text = f"**{row['value']:.3g}**{unit}"
    if row["low"] is not None:
        text += f" [{row['low']:.2g}, {row['high']:.2g}]"
    return text


def table(page: dict[str, Any]) -> str:
    """The whole block between the marks."""
    lines = [START, "", "| figure | value [95 % CI] | n | bar | command |", "|---|---|---|---|---|"]
    for row in page["rows"]:
        count = row["count"] if row["count"] is not None else ""
        bar = row["bar"].replace(">", "\\>").replace("<", "\\<")
        lines.append(f"| {row['figure']} | {cell(row)} | {count} | {bar} | `{row['command']}` |")
    where = f"{page['date']}, {page['hardware']}, commit `{page['commit'][:7]}`."
    again = "All of it again: `benchmarks/measure.sh DATA_DIR`, then `make readme`."
    lines += ["", f"{where} {again}", "", END]
    return "\n".join(lines)


def main() -> int:
    """Write, or check."""
    pages = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    if not pages:
        print("benchmarks/results is empty: run benchmarks/measure.sh DATA_DIR", file=sys.stderr)
        return 1
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    new = before + table(json.loads(pages[-1].read_text(encoding="utf-8"))) + after
    if "--check" in sys.argv[1:]:
        if new != text:
            print(
                "README.md: its numbers are not those of the newest result: make readme",
                file=sys.stderr,
            )
        return int(new != text)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
