"""What a measurement says: figures held against a target, series for the plots, and how they are written down."""
import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path


class Failed(Exception):
    """A measurement that could not be made, and why. The others go on."""


@dataclass
class Figure:
    """One measured value and the bound of its target."""

    target: int
    """Number of the target in README.md."""
    what: str
    bound: float | None
    """None: shown, not judged."""
    at_most: bool
    """Whether the bound is an upper one."""
    median: float
    low: float | None
    """Least of the rounds; None where there was one measurement only. So with `high`."""
    high: float | None
    unit: str
    """"times" for a ratio."""
    note: str = ""

    def verdict(self) -> str:
        if self.bound is None:
            return ""
        if self.median <= self.bound if self.at_most else self.median >= self.bound:
            return "met"
        return f"missed by {abs(self.median / self.bound - 1):.0%}"

    def row(self) -> list[str]:
        bound = "" if self.bound is None else f"{'≤' if self.at_most else '≥'} {number(self.bound)}"
        spread = "" if self.low is None or self.high is None else f" ({number(self.low)} to {number(self.high)})"
        return [str(self.target), self.what, bound, f"{number(self.median)}{spread} {self.unit}".strip(), self.verdict(), self.note]


@dataclass
class Section:
    """What one measurement found."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    series: dict[str, object] = field(default_factory=dict)
    """Plain JSON, for the plots; under "tables" what the report shows: [{"title", "head": [], "rows": [[]]}]."""
    notes: list[str] = field(default_factory=list)


def spread(target: int, what: str, values: list[float], unit: str = "times", bound: float | None = None,
           at_most: bool = True, note: str = "") -> Figure:
    """The figure of several rounds: their median, least and most."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Figure(target, what, bound, at_most, median, ordered[0], ordered[-1], unit, note)


def number(value: float) -> str:
    """Whole from a hundred up, else three digits that count."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]


def entry(about: dict[str, str], sections: list[Section]) -> str:
    """The entry of one run in RESULTS.md: what was measured against each target, what stands beside it, the notes."""
    lines = [heading(about), "", f"{about['machine']}. {about['options']}.", ""]
    figures = sorted((figure for section in sections for figure in section.figures), key=lambda figure: figure.target)
    judged = [figure.row() for figure in figures if figure.bound is not None]
    shown = [[row[0], row[1], row[3], row[5]] for row in (figure.row() for figure in figures if figure.bound is None)]
    lines += table(["target", "what", "bound", "measured", "verdict", "note"], judged) if judged else []
    lines += ["", "### Beside the targets", "", *table(["target", "what", "measured", "note"], shown)] if shown else []
    for section in sections:
        for described in section.series.get("tables", []):
            lines += ["", f"### {described['title']}", "", *table(described["head"], described["rows"])]
    notes = [f"- {section.name}: {text}" for section in sections for text in section.notes]
    lines += ["", "### Notes", "", *notes] if notes else []
    return "\n".join(lines) + "\n"


def heading(about: dict[str, str]) -> str:
    return f"## {about['date']}"


def with_entry(results: str, about: dict[str, str], sections: list[Section]) -> str:
    """The text of RESULTS.md with this run's entry, in the place of an earlier entry of the same run or else at the end."""
    parts = re.split(r"^(?=## )", results, flags=re.MULTILINE)
    written = entry(about, sections)
    at = next((n for n, part in enumerate(parts) if part.startswith(heading(about) + "\n")), None)
    if at is None:
        parts.append(written)
    else:
        parts[at] = written
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def save(path: Path, about: dict[str, str], sections: list[Section]) -> None:
    content = {"about": about, "sections": [dataclasses.asdict(section) for section in sections]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> tuple[dict[str, str], list[Section]]:
    content = json.loads(path.read_text())
    sections = [Section(**{**section, "figures": [Figure(**figure) for figure in section["figures"]]})
                for section in content["sections"]]
    return content["about"], sections
