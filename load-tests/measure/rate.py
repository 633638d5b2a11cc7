"""Target 2: requests per second and CPU per request, in interleaved slices of one second."""
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure.context import Context
from measure.record import Failed, Figure, Section, spread
from measure.references import Bare, everybody
from measure.servers import CLIENT_CORE, Server, children_cpu, run

NAME = "rate"
SCRIPT = Path(__file__).resolve().parent.parent / "requests.lua"


@dataclass
class Slice:
    """What one server did in one slice."""

    rate: float
    """Requests per second."""
    user: float
    """Seconds of user CPU of the server per request."""
    server: float
    """Share of its core that the server used. The slice counts from the client's start to its end."""
    client: float


def measure(context: Context) -> Section:
    tested = everybody(context.binaries, context.site)
    tested.append(Bare(context.binaries["bare-hyper"], context.site, "bare hyper, again"))
    rounds = interleave(context, tested)
    figures = [
        ratio(rounds, "rate", "requests per second", "waypost", "bare hyper", bound=0.80, at_most=False),
        ratio(rounds, "user", "user CPU per request", "waypost", "nginx", bound=0.75),
        ratio(rounds, "rate", "requests per second", "waypost", "nginx"),
        ratio(rounds, "user", "user CPU per request", "waypost", "bare hyper"),
        ratio(rounds, "rate", "requests per second", "bare hyper, again", "bare hyper",
              note="the same program twice: what the method sees where nothing is"),
    ]
    figures += [spread(2, f"requests per second, {server.name}", [of[server.name].rate for of in rounds], "",
                       note=use(rounds, server)) for server in tested]
    figures += [spread(2, f"user CPU per request, {server.name}", [of[server.name].user * 1e6 for of in rounds], "µs")
                for server in tested]
    return Section(NAME, figures, {"rounds": {name: [vars(of[name]) for of in rounds] for name in rounds[0]}})


def ratio(rounds: list[dict[str, Slice]], key: str, what: str, one: str, other: str, bound: float | None = None,
          at_most: bool = True, note: str = "", target: int = 2) -> Figure:
    """One server's value over another's, formed inside each round."""
    values = [getattr(of[one], key) / getattr(of[other], key) for of in rounds if getattr(of[other], key) > 0]
    return spread(target, f"{what}, {one} / {other}", values, bound=bound, at_most=at_most, note=note)


def use(rounds: list[dict[str, Slice]], server: Server) -> str:
    """How busy both sides were: a busy client hides what a server could do."""
    cores = [statistics.median(getattr(of[server.name], side) for of in rounds) for side in ("server", "client")]
    return f"server's core {cores[0]:.0%} in use, client's {cores[1]:.0%}"


def interleave(context: Context, tested: list[Server]) -> list[dict[str, Slice]]:
    """Rounds of slices with all servers alive."""
    for server in tested:
        server.start(context.servers)
    rounds = in_rounds(context, tested, slice_of)
    for server in tested:
        context.servers.stop(server.name)
    return rounds


def in_rounds(context: Context, tested: list[Server], slice_of: Callable[[Context, Server], Slice]) -> list[dict[str, Slice]]:
    """Slices in changing order. Ratios are formed inside a round: a slow moment hits all of it."""
    for server in tested:
        slice_of(context, server)  # warms up, not counted
    rounds = []
    for n in range(context.options.rounds):
        first = n % len(tested)
        order = tested[first:] + tested[:first]
        slices = {server.name: slice_of(context, server) for server in (order if n % 2 == 0 else order[::-1])}
        rounds.append(slices)
        context.say(f"  round {n + 1}: " + ", ".join(f"{server.name} {slices[server.name].rate:,.0f}/s" for server in tested))
    return rounds


def slice_of(context: Context, server: Server) -> Slice:
    """One second of wrk."""
    def client() -> tuple[int, float]:
        said = run(["taskset", "-c", CLIENT_CORE, "wrk", "-t1", "-c32", "-d1s", "-s", SCRIPT,
                    f"{server.scheme}://localhost:{server.port}", "--", context.site.requests], timeout=30)
        errors = re.search(r"Socket errors.*|Non-2xx.*", said)
        if errors:
            raise Failed(f"{server.name}: {errors.group()}")
        count = int(re.search(r"(\d+) requests in", said).group(1))
        return count, float(re.search(r"Requests/sec:\s*([\d.]+)", said).group(1))

    return timed(context, server, client)


def timed(context: Context, server: Server, client: Callable[[], tuple[int, float]]) -> Slice:
    """Runs a client, which returns how much it did and at which rate; CPU is taken around it."""
    used, (user, busy), start = children_cpu(), context.servers.cpu(server.name), time.monotonic()
    count, rate = client()
    wall, (user_after, busy_after) = time.monotonic() - start, context.servers.cpu(server.name)
    return Slice(rate, (user_after - user) / max(count, 1), (busy_after - busy) / wall, (children_cpu() - used) / wall)
