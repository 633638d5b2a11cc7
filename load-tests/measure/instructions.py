"""Target 1: instructions in user space per request, under callgrind, and whose they are."""
import re
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from measure import callgrind
from measure.context import Context
from measure.record import Failed, Figure, Section
from measure.references import everybody
from measure.servers import SERVER_CORE, Server

NAME = "instructions"
CONNECTIONS = 8
# The difference between a long and a short run holds no start and no warming up.
SHORT_RUN, LONG_RUN = 2_000, 22_000
# Functions of the listing.
SHOWN = 25


def measure(context: Context) -> Section:
    servers = everybody(context.binaries, context.site)
    counted = {server.name: per_request(context, server) for server in servers}
    figures = [Figure(1, f"instructions per request, {name}", None, True, count, None, None, "") for name, count in counted.items()]
    waypost = counted["waypost"]
    bounds = {"bare hyper": 1.25, "nginx": 0.75, "nginx, plain": None}
    figures += [Figure(1, f"instructions, waypost / {name}", bound, True, waypost / counted[name], None, None, "times")
                for name, bound in bounds.items()]
    of_waypost, of_bare = (functions(context, server) for server in servers[:2])
    groups = by_group(of_waypost, of_bare)
    tables = [group_table(groups), function_table(of_waypost, of_bare)]
    return Section(NAME, figures, {"per_request": counted, "groups": groups, "tables": tables})


def per_request(context: Context, server: Server) -> float:
    for count in (SHORT_RUN, LONG_RUN):
        run_of(context, server, count)
    short, long = (callgrind.total(out_of(context, server, count)) for count in (SHORT_RUN, LONG_RUN))
    return (long - short) / (LONG_RUN - SHORT_RUN)


def run_of(context: Context, server: Server, count: int) -> None:
    """The server under callgrind from its start to its end, with `count` requests between."""
    context.say(f"  {server.name} under callgrind, {count} requests")
    name, out = f"{server.name} {count}", out_of(context, server, count)
    # One core: the service then runs one worker, as the others do.
    context.servers.start(name, ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *server.command], core=SERVER_CORE)
    server.wait(context.servers, name)
    send(context.site.requests, server.port, count, server.scheme == "https")
    context.servers.stop(name)


def out_of(context: Context, server: Server, count: int) -> Path:
    return context.work / f"callgrind.{server.name.replace(' ', '-')}-{server.scheme}-{count}"


# ---- where they go ----


def functions(context: Context, server: Server) -> Counter[str]:
    long, short = (out_of(context, server, count) for count in (LONG_RUN, SHORT_RUN))
    return callgrind.difference(long, short, LONG_RUN - SHORT_RUN)


def by_group(waypost: Counter[str], bare: Counter[str]) -> dict[str, list[float]]:
    """Instructions per request by the crate whose function spends them, of both servers; the dearest first."""
    groups: dict[str, list[float]] = {}
    for column, counts in enumerate((waypost, bare)):
        for function, count in counts.items():
            groups.setdefault(callgrind.group(function), [0.0, 0.0])[column] += count
    return dict(sorted(groups.items(), key=lambda item: -item[1][0]))


def group_table(groups: dict[str, list[float]]) -> dict:
    def row(name: str, one: float, other: float) -> list[str]:
        return [name, f"{one:,.0f}", f"{other:,.0f}", f"{one - other:+,.0f}"]

    rows = [row(name, *counts) for name, counts in groups.items() if max(counts) >= 10]
    rows.append(row("all", *(sum(counts[column] for counts in groups.values()) for column in (0, 1))))
    return {"title": "Where the instructions go, by crate", "head": ["crate", "waypost", "bare hyper", "difference"], "rows": rows}


def function_table(waypost: Counter[str], bare: Counter[str]) -> dict:
    """The dearest functions of the service, by what they spend themselves."""
    rows = [[f"`{short(name)}`", f"{count:,.0f}", f"{bare[name]:,.0f}"] for name, count in waypost.most_common(SHOWN)]
    return {"title": f"The {SHOWN} dearest functions", "head": ["function", "waypost", "bare hyper"], "rows": rows}


def short(function: str) -> str:
    """Without hashes and type arguments, for a table."""
    function = re.sub(r"::h[0-9a-f]{16}|'\d+$", "", function)
    function = function.replace("|", "\\|")
    return function if len(function) <= 110 else function[:107] + "..."


# ---- the client ----


def send(requests: Path, port: int, count: int, tls: bool = False, authorization: Sequence[str] = ()) -> bytes:
    """`count` requests over CONNECTIONS kept-alive connections: one on each, then their answers, then the next. Each has the next
    of the `authorization` values, where there are any. Returns the last answer's head."""
    lines = requests.read_text().splitlines()
    connections = [connect(port, tls) for _ in range(CONNECTIONS)]
    # The mirrors have http, to which a request that came by https is never sent.
    more = "X-Forwarded-Proto: http\r\n" if tls else ""
    buffers, head = [b""] * CONNECTIONS, b""
    for start in range(0, count, CONNECTIONS):
        for n, connection in enumerate(connections):
            path, address = lines[(start + n) % len(lines)].split()
            token = f"Authorization: {authorization[(start + n) % len(authorization)]}\r\n" if authorization else ""
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: curl/7.88.1\r\n"
                               f"Accept: */*\r\nX-Forwarded-For: {address}\r\n{token}{more}\r\n".encode())
        for n, connection in enumerate(connections):
            head, buffers[n] = read_answer(connection, buffers[n])
    for connection in connections:
        connection.close()
    return head


def connect(port: int, tls: bool) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    if not tls:
        return connection
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return trusting.wrap_socket(connection)


def read_answer(connection: socket.socket, buffer: bytes) -> tuple[bytes, bytes]:
    """Reads one answer; returns its head and what came after it."""
    while True:
        head, end, rest = buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head) if end else None
        size = int(length.group(1)) if length else 0
        if end and len(rest) >= size:
            if not head.startswith(b"HTTP/1.1 302"):
                raise Failed(f"not a redirect: {head.decode(errors='replace')}")
            return head, rest[size:]
        more = connection.recv(65536)
        if not more:
            raise Failed("the server closed a connection that it was to keep alive")
        buffer += more
