"""The schedule of a TPU kernel: its loops, their VLIW bundles, and the units these keep busy.

A core starts one bundle a cycle, so bundles times trips are the cycles of a kernel that never waits
for memory. libtpu dumps three texts a kernel, which are read side by side: the bundles, one line
each; a table with a line for each bundle that counts the slots it uses; and the program before its
registers were assigned, which still knows how often each loop runs.
"""

import math
import re
from dataclasses import dataclass

# `  0x2e3 LB: >> { ... }`: address, kind, a `>` for each loop around it.
_BUNDLE = re.compile(r"^\s*(?:0x[0-9a-f]+|\d+)\s+([A-Z]{2})?\s*: (>*)\s*\{", re.MULTILINE)
_LOOP = re.compile(r"^\s*loop: start=(\S+), step=(\S+), limit=(\S+)", re.MULTILINE)
# A loop over windows runs two turns more: the first only loads, the last only stores.
_PIPELINED = "iteration index, stage"
_FILL_AND_DRAIN = 2
SPILL, FILL = "VSTORE:SPILL", "VLOAD:FILL"


@dataclass(frozen=True)
class Loop:
    """The bundles of one loop that are in no loop inside it, or (depth 0) in no loop at all.

    Args:
      depth: loops around these bundles, this one included.
      trips: turns of this loop; None where the program settles that when it runs.
      runs: how often its bundles run in all; a loop of unknown trips counts as one turn.
      bundles: in its body.
      used: slots that are used in one turn, by unit.
      slots: slots that a bundle has, by unit.
    """

    depth: int
    trips: int | None
    runs: int
    bundles: int
    used: dict[str, int]
    slots: dict[str, int]

    @property
    def cycles(self) -> int:
        return self.bundles * self.runs

    @property
    def spills(self) -> int:
        """Registers that a turn stores for want of room."""
        return self.used.get(SPILL, 0)

    @property
    def fills(self) -> int:
        """Registers that a turn loads again."""
        return self.used.get(FILL, 0)

    def use(self) -> dict[str, float]:
        """The part of each unit's slots that is used."""
        return {u: n / (self.bundles * self.slots[u]) for u, n in self.used.items() if self.bundles}


@dataclass(frozen=True)
class Schedule:
    """All bundles of a kernel, by loop, in the order of the program."""

    loops: tuple[Loop, ...]

    @property
    def bundles(self) -> int:
        return sum(loop.bundles for loop in self.loops)

    @property
    def cycles(self) -> int:
        """Of a run in which nothing waits for memory."""
        return sum(loop.cycles for loop in self.loops)

    @property
    def spills(self) -> int:
        return sum(loop.spills for loop in self.loops)

    @property
    def fills(self) -> int:
        return sum(loop.fills for loop in self.loops)

    def use(self) -> dict[str, float]:
        """The part of each unit's slots that is used, over the whole run."""
        total: dict[str, float] = {}
        for loop in self.loops:
            for unit, count in loop.used.items():
                total[unit] = total.get(unit, 0) + count * loop.runs / loop.slots[unit]
        return {unit: count / self.cycles for unit, count in total.items() if self.cycles}


def read_schedule(bundles: str, utilization: str, program: str) -> Schedule:
    """Reads `final_bundles`, `final_hlo-static-per-bundle-utilization` and
    `pre-finalize-registers-and-allocations` of one kernel."""
    slots, rows = _utilization(utilization)
    marks = [_Mark.of(match, bundles) for match in _BUNDLE.finditer(bundles)]
    if len(marks) != len(rows):
        raise ValueError(f"{len(marks)} bundles with the use of {len(rows)}: not of one kernel")
    trips = [_trips(*match.groups()) for match in _LOOP.finditer(program)]
    spans = _spans(marks)
    # Straight code first, then each loop as it begins; both texts have the loops in this order.
    known = len(trips) == len(spans)
    counts = [None, *(trips if known else [None] * len(spans))]
    members: list[list[list[int]]] = [[] for _ in counts]
    for place, row in enumerate(rows):
        members[_around(spans, place)[-1]].append(row)
    loops: list[Loop] = []
    for i, (count, mine) in enumerate(zip(counts, members, strict=True)):
        depth, runs = 0, 1
        if i:
            start, _ = spans[i - 1]
            if count is not None and marks[start].pipelined:
                count = max(1, count - _FILL_AND_DRAIN)
            outer = loops[_around(spans, start)[-2]]
            depth, runs = outer.depth + 1, outer.runs
        runs *= 1 if count is None else count
        used = {unit: sum(row[j] for row in mine) for j, unit in enumerate(slots)}
        loops.append(Loop(depth, count, runs, len(mine), used, slots))
    return Schedule(tuple(loops))


def _around(spans: list[tuple[int, int]], place: int) -> list[int]:
    """The loops around a bundle, from the outermost (0: none, then by the order of `spans`)."""
    return [0, *(i for i, (start, end) in enumerate(spans, 1) if start <= place <= end)]


@dataclass(frozen=True)
class _Mark:
    """What is written before a bundle."""

    begins: bool
    depth: int
    empty: bool
    pipelined: bool

    @classmethod
    def of(cls, match: re.Match[str], text: str) -> "_Mark":
        line = text[match.end() : text.find("\n", match.end())]
        return cls(match[1] == "LB", len(match[2]), line.startswith("}"), _PIPELINED in line)


def _spans(marks: list[_Mark]) -> list[tuple[int, int]]:
    """First and last bundle of each loop: to the last of its depth before another loop begins.

    Between them are bundles of less depth: some that were moved into the loop, and empty ones,
    which have none. Empty ones at its end are turns of the clock in which its branch is decided.
    """
    spans = []
    for start, mark in enumerate(marks):
        if mark.begins:
            end = start
            for place in range(start + 1, len(marks)):
                if marks[place].begins and marks[place].depth <= mark.depth:
                    break
                if marks[place].depth >= mark.depth:
                    end = place
            while end + 1 < len(marks) and marks[end + 1].empty:
                end += 1
            spans.append((start, end))
    return spans


def _utilization(text: str) -> tuple[dict[str, int], list[list[int]]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    names = [name.strip() for name in lines[1].split(",")]
    slots = dict(zip(names, map(int, lines[2].split()), strict=True))
    return slots, [[int(cell) for cell in line.split()] for line in lines[4:]]


def _trips(start: str, step: str, limit: str) -> int | None:
    try:
        return max(0, math.ceil((int(limit) - int(start)) / int(step)))
    except (ValueError, ZeroDivisionError):
        return None
