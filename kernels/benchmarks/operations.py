"""Every operation beside the other ways to compute it: time and memory, forward and backward.

    python kernels/benchmarks/operations.py [--list] [--only NAME ...] [--seconds 2] [--json FILE]

The cases are in the files `cases_*.py` beside this one: JAX's own functions, Flax's, automatic
differentiation of the plain form, and PyTorch where it is installed. A ratio is how many times more
a form takes than the first of its case, which is our own.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import importlib
import json
import os
import sys
from pathlib import Path

import jax
from comparison import Case, Row, compare, table

HERE = Path(__file__).resolve().parent


def registry() -> dict[str, Case]:
    """All cases by name. Names are those of the operation, then of the sizes."""
    cases: dict[str, Case] = {}
    for path in sorted(HERE.glob("cases_*.py")):
        found = importlib.import_module(path.stem).CASES
        if twice := cases.keys() & found.keys():
            raise ValueError(f"{path.name} has a second {', '.join(twice)}")
        cases |= found
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", default=["*"], help="names or patterns such as 'attention*'"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing, for each form")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    options = parser.parse_args()
    if os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "0") not in ("0", "", "false", "False"):
        sys.exit("JAX_DISABLE_MOST_OPTIMIZATIONS is set: these would be times of unoptimised code")
    cases = registry()
    if options.list:
        print("\n".join(cases))
        return
    names = [n for n in cases if any(fnmatch.fnmatch(n, pattern) for pattern in options.only)]
    if not names:
        sys.exit(f"no case matches {' '.join(options.only)}; there are:\n" + "\n".join(cases))
    device = jax.devices()[0].device_kind
    print(f"{device}, jax {jax.__version__}")
    rows: list[Row] = []
    for name in names:
        found = compare(name, cases[name], options.seconds)
        print("\n" + table(found), flush=True)
        rows += found
    if options.json is not None:
        head = {"device": device, "jax": jax.__version__}
        body = {**head, "rows": [dataclasses.asdict(row) for row in rows]}
        options.json.write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()
