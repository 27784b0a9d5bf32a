"""What `mj.check` found: a table for people, JSON for machines, one exception for tests."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mapjax.op.table import Table

Status = Literal["ok", "failed", "note", "skipped"]
_RANK: tuple[Status, ...] = ("failed", "note", "ok", "skipped")
_MARK = {"ok": "ok", "failed": "FAILED", "note": "note", "skipped": "-"}


class CheckError(AssertionError):
    """An operation did not pass; the message is the table of what failed."""


@dataclass(frozen=True)
class Finding:
    """What one check found in one case: fine, wrong, worth knowing, or not applicable."""

    case: str
    status: Status
    text: str = ""


@dataclass(frozen=True)
class Row:
    """One check of one implementation over all its cases."""

    check: str
    implementation: str
    findings: tuple[Finding, ...]
    cause: str = ""

    @property
    def status(self) -> Status:
        present = {finding.status for finding in self.findings}
        for status in _RANK:
            if status in present:
                return status
        return "skipped"

    @property
    def cases(self) -> int:
        """In how many cases there was something to check."""
        return sum(finding.status != "skipped" for finding in self.findings)

    @property
    def text(self) -> str:
        """The first finding that explains the status, where else it holds, and the cause."""
        same = [f for f in self.findings if f.status == self.status and f.text]
        if not same:
            return ""
        parts = [f"{same[0].case}: {same[0].text}" if same[0].case else same[0].text]
        if self.status == "failed":
            others = list(dict.fromkeys(f.case for f in same[1:] if f.case))
            right = list(dict.fromkeys(f.case for f in self.findings if f.status == "ok"))
            if others:
                parts.append(f"also at: {'; '.join(others)}")
            if right:
                parts.append(f"right at: {'; '.join(right)}")
            if self.cause:
                parts.append(f"usual cause: {self.cause}")
        return "\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "implementation": self.implementation,
            "status": self.status,
            "cases": self.cases,
            "text": self.text,
            "findings": [vars(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class Report:
    """The rows of one check of one operation.

    It prints as a table, is drawn as one in a notebook, and `raise_if_failed()` makes a test of it.
    """

    operation: str
    signature: str
    platform: str
    versions: dict[str, str]
    seconds: float
    rows: tuple[Row, ...] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "failed")

    @property
    def table(self) -> Table:
        return self._table(self.rows)

    def raise_if_failed(self) -> "Report":
        """The report itself, or `CheckError` with the rows that failed."""
        if self.failures:
            raise CheckError(self._table(self.failures).to_text(width=120))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers."""
        return {
            "operation": self.operation,
            "signature": self.signature,
            "platform": self.platform,
            "versions": self.versions,
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            "rows": [row.as_dict() for row in self.rows],
        }

    def to_json(self, indent: int | None = 2) -> str:
        return json.dumps(self.to_dict(), indent=indent)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __str__(self) -> str:
        return str(self.table)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def _table(self, rows: Sequence[Row]) -> Table:
        failed = len(self.failures)
        verdict = f"{failed} of {len(self.rows)} checks failed" if failed else "passed"
        where = f"{self.platform}, jax {self.versions['jax']}, {self.seconds:.1f} s"
        return Table(
            f"{self.signature}: {verdict} ({where})",
            ("check", "implementation", "result", "cases", "what"),
            tuple((r.check, r.implementation, _MARK[r.status], r.cases, r.text) for r in rows),
        )
