"""The plots, from the sections' series alone. The same series give the same files."""
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from measure.record import Section

COLOURS = {"waypost": "#0b6e4f", "bare hyper": "#7a8b99", "nginx": "#c9803b", "nginx, plain": "#e3c39d"}
PLAIN = "#4a7fb0"
# Bytes of memory that target 4 allows, in MB; how much target 3 lets a curve grow.
MEMORY_BOUND, GROWTH_BOUND = 500, 1.05


def draw(sections: list[Section], folder: Path) -> list[Path]:
    """Draws what these sections have series for; leaves the other plots as they are."""
    matplotlib.rcParams.update({"svg.hashsalt": "waypost", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
                                "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True, "grid.color": "#e6e6e6"})
    folder.mkdir(exist_ok=True)
    series = {section.name: section.series for section in sections if section.series}
    drawings = {
        "throughput": throughput(series.get("rate"), series.get("tls")),
        "latency": latency(series["latency"]) if "latency" in series else None,
        "instructions": instructions(series["instructions"]) if "instructions" in series else None,
        "growth": growth(series["growth"]) if "growth" in series else None,
        "memory": memory(series["size"]) if "size" in series else None,
    }
    return [write(drawing, folder / f"{name}.svg") for name, drawing in drawings.items() if drawing]


def write(drawing: Drawing, path: Path) -> Path:
    drawing.tight_layout()
    drawing.savefig(path, metadata={"Date": None})
    pyplot.close(drawing)
    return path


def throughput(rate: dict | None, tls: dict | None) -> Drawing | None:
    """Requests per second of each server: median, with the least and the most of the rounds."""
    panels = [("clear text", rate["rounds"])] if rate else []
    panels += [("HTTP/1.1 over TLS", tls["http1"]), ("HTTP/2 over TLS", tls["http2"]), ("full handshakes", tls["handshakes"])] if tls else []
    if not panels:
        return None
    widths = [len(rounds) for _, rounds in panels]
    drawing, axes = pyplot.subplots(1, len(panels), figsize=(2 + 0.8 * sum(widths), 3.6), width_ratios=widths, squeeze=False)
    for axis, (title, rounds) in zip(axes[0], panels):
        shown = {name: [of["rate"] for of in slices] for name, slices in rounds.items() if "again" not in name}
        bars(axis, shown)
        axis.set_title(title)
        axis.set_ylabel("per second, one core")
    return drawing


def bars(axis: Axes, shown: dict[str, list[float]]) -> None:
    medians = [statistics.median(values) for values in shown.values()]
    spread = [[median - min(values) for median, values in zip(medians, shown.values())],
              [max(values) - median for median, values in zip(medians, shown.values())]]
    axis.bar(list(shown), medians, yerr=spread, capsize=4, color=[COLOURS.get(name, PLAIN) for name in shown])
    axis.tick_params(axis="x", labelrotation=30)
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.grid(False, axis="x")


def latency(series: dict) -> Drawing:
    """Percentiles: the median of the rounds, and a band from the least to the most."""
    drawing, axis = pyplot.subplots(figsize=(6, 3.8))
    for name, rounds in series["rounds"].items():
        keys = [key for key in rounds[0] if key.startswith("p")]
        values = {key: [of[key] for of in rounds] for key in keys}
        axis.plot(keys, [statistics.median(values[key]) for key in keys], marker="o", label=name, color=COLOURS.get(name))
        axis.fill_between(keys, [min(values[key]) for key in keys], [max(values[key]) for key in keys], alpha=0.15, color=COLOURS.get(name))
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_minor_formatter("{x:,.0f}")
    axis.set_ylabel("µs")
    axis.set_title(f"Latency at {series['rate']:,.0f} requests/s, from when a request was due")
    axis.legend(frameon=False)
    return drawing


def instructions(series: dict) -> Drawing:
    """Instructions per request: of each server, and by crate."""
    drawing, (whole, crates) = pyplot.subplots(1, 2, figsize=(10, 4.6), width_ratios=[2, 3])
    bars(whole, {name: [count] for name, count in series["per_request"].items()})
    whole.set_title("Instructions per request")
    groups = sorted(series["groups"].items(), key=lambda item: max(item[1]))[-16:]
    places = range(len(groups))
    for shift, column, name in ((0.2, 0, "waypost"), (-0.2, 1, "bare hyper")):
        crates.barh([place + shift for place in places], [count[column] for _, count in groups], height=0.4, label=name, color=COLOURS[name])
    crates.set_yticks(list(places), [name for name, _ in groups])
    crates.xaxis.set_major_formatter("{x:,.0f}")
    crates.grid(False, axis="y")
    crates.set_title("… and whose they are")
    crates.legend(frameon=False, loc="lower right")
    return drawing


def growth(series: dict) -> Drawing:
    """Instructions per request over mirrors, assets and network rules, each with what its target allows."""
    axes_of = {axis: points for axis, points in series.items() if axis != "tables"}
    drawing, axes = pyplot.subplots(1, len(axes_of), figsize=(3.4 * len(axes_of), 3.2), sharey=True, squeeze=False)
    for axis, (name, points) in zip(axes[0], axes_of.items()):
        sizes, costs = zip(*points)
        axis.plot(sizes, costs, marker="o", color=COLOURS["waypost"])
        axis.axhspan(costs[0], costs[0] * GROWTH_BOUND, color=COLOURS["waypost"], alpha=0.12, linewidth=0)
        axis.set_xscale("symlog" if 0 in sizes else "log", **({"linthresh": 10} if 0 in sizes else {}))
        axis.set_xlabel(name)
        axis.set_ylim(0, max(costs[0] * 1.3, max(costs) * 1.1))
    axes[0][0].set_ylabel("instructions per request")
    axes[0][0].yaxis.set_major_formatter("{x:,.0f}")
    return drawing


def memory(series: dict) -> Drawing:
    drawing, axis = pyplot.subplots(figsize=(5, 3.4))
    bars(axis, {name: [value] for name, value in series["memory_mb"].items()})
    axis.axhline(MEMORY_BOUND, color="#b03a2e", linestyle="--", linewidth=1)
    axis.set_ylabel("MB")
    axis.set_title(f"Resident memory (allowed: {MEMORY_BOUND} MB)")
    return drawing
