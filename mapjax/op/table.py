"""A table that reads well everywhere: text in a terminal, HTML in a notebook, JSON in a file."""

import html
import json
import math
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """Rows of named columns, under a title and above notes.

    A cell is a text, a number, a truth value or None, which is left blank. Rows print with numbers
    at three significant digits and long texts folded; `to_json` keeps every value as it is.

    >>> table = Table("Sizes", ("what", "bytes"), (("image", 12288), ("grid", None)))
    >>> print(table)
    Sizes
    what   bytes
    -----  -----
    image  12288
    grid
    >>> table.to_dict()["rows"][0]
    {'what': 'image', 'bytes': 12288}
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}: a row has {len(row)} cells for {len(self.columns)} "
                    f"columns: {row!r}"
                )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Cell]]:
        """The rows, as mappings from column to cell."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __str__(self) -> str:
        return self.to_text(shutil.get_terminal_size((100, 24)).columns)

    __repr__ = __str__

    def to_text(self, width: int = 100) -> str:
        """The table in lines of at most `width` characters, where its narrow columns leave room.

        The widest columns are folded, all to one width, but to no less than 24 characters: the
        others hold names and numbers.
        """
        texts = [[_text(cell) for cell in row] for row in self.rows]
        cells = [list(self.columns), *texts]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 24:
            widths[widths.index(max(widths))] -= 1
        lines = [self.title] * bool(self.title)
        if self.columns:
            lines += _lines(self.columns, widths, self._numeric())
            lines.append("  ".join("-" * w for w in widths))
        for row in texts:
            lines += _lines(row, widths, self._numeric())
        for note in self.notes:
            lines += textwrap.wrap(note, width)
        return "\n".join(lines)

    def _numeric(self) -> list[bool]:
        columns = [[row[i] for row in self.rows] for i in range(len(self.columns))]
        return [any(map(_is_number, c)) and not any(isinstance(x, str) for x in c) for c in columns]

    def _repr_html_(self) -> str:
        # No colours and no fonts: the notebook's theme, dark or light, sets them.
        numeric = self._numeric()

        def row(cells: Any, tag: str) -> str:
            align = (f"text-align:{'right' if number else 'left'}" for number in numeric)
            joined = "".join(
                f'<{tag} style="{style};vertical-align:top;white-space:pre-wrap">'
                f"{html.escape(_text(cell))}</{tag}>"
                for cell, style in zip(cells, align, strict=True)
            )
            return f"<tr>{joined}</tr>"

        caption = f'<caption style="text-align:left">{html.escape(self.title)}</caption>'
        body = "".join(row(cells, "td") for cells in self.rows)
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        head = row(self.columns, "th")
        return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>{notes}"

    def to_dict(self) -> dict[str, Any]:
        """Title, rows as mappings, and notes; a number that is not finite becomes None."""
        rows = [{name: _finite(cell) for name, cell in row.items()} for row in self]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def to_json(self, path: str | Path | None = None) -> str:
        """`to_dict` as JSON, also written to the file `path` where one is given."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _finite(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def _lines(cells: Any, widths: list[int], numeric: list[bool]) -> list[str]:
    folded = [
        [part for line in cell.split("\n") for part in (textwrap.wrap(line, width) or [""])]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(map(len, folded))
    lines = []
    for i in range(height):
        parts = (
            (part[i] if i < len(part) else "").rjust(width)
            if number
            else (part[i] if i < len(part) else "").ljust(width)
            for part, width, number in zip(folded, widths, numeric, strict=True)
        )
        lines.append("  ".join(parts).rstrip())
    return lines
