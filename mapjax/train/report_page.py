"""The page of a report: HTML without scripts of its own, readable in light and in dark."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; }
td { border-bottom: 1px solid #8884; padding: .2rem 1rem .2rem 0; vertical-align: top; }
td:first-child { opacity: .7; }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem; }
.row > svg { flex: 1 1 26rem; height: auto; max-width: 36rem; min-width: 16rem; }
.pair { display: flex; flex-wrap: wrap; gap: .5rem; }
figure { margin: 0; }
figcaption { opacity: .7; }
pre { overflow-x: auto; }
"""


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole page of sections, each a heading (none where it is empty) and its HTML."""
    body = "".join(
        (f"<h2>{html.escape(heading)}</h2>" if heading else "") + content + "\n"
        for heading, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{html.escape(title)}</h1>\n{body}</body>\n</html>\n"
    )


def table(rows: Mapping[str, Any]) -> str:
    """A table of names and values; nothing where there are none."""
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>" if cells else ""
