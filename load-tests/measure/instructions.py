"""Target 1: instructions in user space per request, under callgrind."""
import re
import socket
from pathlib import Path

from measure.context import Context
from measure.record import Failed, Figure, Section
from measure.references import Bare
from measure.servers import SERVER_CORE, Server
from measure.site import Waypost

NAME = "instructions"
CONNECTIONS = 8
# The difference between a long and a short run holds no start and no warming up.
SHORT_RUN, LONG_RUN = 2_000, 22_000


def measure(context: Context) -> Section:
    site = context.site
    waypost = per_request(context, Waypost(context.binaries["waypost"], site))
    bare = per_request(context, Bare(context.binaries["bare-hyper"], site.answer))
    figures = [
        Figure(1, "instructions per request, waypost", None, True, waypost, None, None, "instructions"),
        Figure(1, "instructions per request, bare hyper", None, True, bare, None, None, "instructions"),
        Figure(1, "instructions, waypost / bare hyper", 1.25, True, waypost / bare, None, None, "times"),
    ]
    return Section(NAME, figures, {"per_request": {"waypost": waypost, "bare hyper": bare}})


def per_request(context: Context, server: Server) -> float:
    short, long = (run_of(context, server, count) for count in (SHORT_RUN, LONG_RUN))
    return (long - short) / (LONG_RUN - SHORT_RUN)


def run_of(context: Context, server: Server, count: int) -> int:
    """Instructions of the whole run: start, `count` requests, end."""
    context.say(f"  {server.name} under callgrind, {count} requests")
    name = f"{server.name.replace(' ', '-')}-{count}"
    out = context.work / f"callgrind.{name}"
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    # One core: the service then runs one worker, as the bare server does.
    context.servers.start(name, valgrind + server.command, core=SERVER_CORE)
    server.wait(context.servers, name)
    send(context.site.requests, server.port, count)
    context.servers.stop(name)
    total = re.search(r"^(?:totals|summary): (\d+)", out.read_text(errors="replace"), re.MULTILINE)
    if not total:
        raise Failed(f"no total in {out}: see {context.servers.log(name)}")
    return int(total.group(1))


def send(requests: Path, port: int, count: int) -> None:
    """`count` requests over CONNECTIONS kept-alive connections: one on each, then their answers, then the next."""
    lines = requests.read_text().splitlines()
    connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(CONNECTIONS)]
    buffers = [b""] * CONNECTIONS
    for start in range(0, count, CONNECTIONS):
        for n, connection in enumerate(connections):
            path, address = lines[(start + n) % len(lines)].split()
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: curl/7.88.1\r\n"
                               f"Accept: */*\r\nX-Forwarded-For: {address}\r\n\r\n".encode())
        for n, connection in enumerate(connections):
            buffers[n] = read_answer(connection, buffers[n])
    for connection in connections:
        connection.close()


def read_answer(connection: socket.socket, buffer: bytes) -> bytes:
    """Reads one answer and returns what came after it."""
    while True:
        head, end, rest = buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head) if end else None
        size = int(length.group(1)) if length else 0
        if end and len(rest) >= size:
            if not head.startswith(b"HTTP/1.1 302"):
                raise Failed(f"not a redirect: {head.decode(errors='replace')}")
            return rest[size:]
        more = connection.recv(65536)
        if not more:
            raise Failed("the server closed a connection that it was to keep alive")
        buffer += more
