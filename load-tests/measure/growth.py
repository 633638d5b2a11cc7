"""Target 3: instructions per request do not grow with mirrors, assets and network rules."""
import re
from collections.abc import Iterable

from measure.context import Context
from measure.instructions import send
from measure.record import Failed, Figure, Section
from measure.worlds import Service, Shape, World

NAME = "growth"
WITHIN = 1.05
# The difference between a long and a short run holds no start and no warming up.
SHORT_RUN, LONG_RUN = 2_000, 22_000
# What stays small while the other grows.
MIRRORS, ASSETS = 10, 1000


def measure(context: Context) -> Section:
    cost: dict[Shape, float] = {}
    figures, series = [], {}
    for axis, points in axes(context.options.big).items():
        for _, shape in points:
            if shape not in cost:
                cost[shape] = per_request(context, context.worlds.of(shape))
        series[axis] = [[size, cost[shape]] for size, shape in points]
        figures += axis_figures(axis, series[axis])
    note = ("The thread that answers, under callgrind, a long run minus a short one; no probes, and an origin that cannot be "
            "read, so that nothing happens in the background but a look for due moves every second, in another thread.")
    return Section(NAME, figures, series, [note])


def axes(big: Shape) -> dict[str, list[tuple[int, Shape]]]:
    """For each axis its points: how much there is, and the world that has so much of it."""
    mirrors = [Shape(count, 1, 1, ASSETS) for count in steps(10, 100, big.mirrors)]
    assets = [Shape(MIRRORS, 1, 1, 100), Shape(MIRRORS, 1, 10, 1000), Shape(MIRRORS, big.products, big.releases, big.assets)]
    rules = [Shape(MIRRORS, 1, 1, ASSETS, count) for count in (0, 100, 10_000)]
    return {
        "mirrors": [(shape.mirrors, shape) for shape in mirrors],
        "assets": [(shape.all_assets, shape) for shape in assets if shape.all_assets <= big.all_assets],
        "network rules": [(shape.rules, shape) for shape in rules],
    }


def steps(*counts: int) -> Iterable[int]:
    return sorted({count for count in counts if count <= counts[-1]})


def axis_figures(axis: str, points: list[list[float]]) -> list[Figure]:
    """The dearest point over the first."""
    (first, base), (last, _) = points[0], points[-1]
    ratios = [cost / base for _, cost in points]
    note = ", ".join(f"{size:,}: {cost:,.0f}" for size, cost in points)
    what = f"instructions per request, {first:,} to {last:,} {axis}"
    return [Figure(3, what, WITHIN, True, max(ratios), min(ratios), max(ratios), "times", note)]


def per_request(context: Context, world: World) -> float:
    short, long = (run_of(context, world, count) for count in (SHORT_RUN, LONG_RUN))
    return (long - short) / (LONG_RUN - SHORT_RUN)


def run_of(context: Context, world: World, count: int) -> int:
    """Instructions of the thread that answers over the whole run: start, `count` requests, end."""
    context.say(f"  {world.shape}: {count} requests under callgrind")
    out = context.work / f"callgrind.{world.folder.name}-{count}"
    valgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"]
    head = world.head("growth", probe="1d", origin="nowhere")
    service = Service(context.binaries["waypost"], world, head, f"waypost-{world.folder.name}-{count}", valgrind)
    service.start(context.servers)
    send(world.requests, world.port, count)
    context.servers.stop(service.name)
    # Threads have no names here, and those that read the store at the start end in any order.
    answering = [text for path in context.work.glob(f"{out.name}-*") if "redirect::answer" in (text := path.read_text(errors="replace"))]
    totals = [re.search(r"^totals: (\d+)", text, re.MULTILINE) for text in answering]
    if len(totals) != 1 or not totals[0]:
        raise Failed(f"{len(answering)} threads answer in {out}-*: see {context.servers.log(service.name)}")
    return int(totals[0].group(1))
