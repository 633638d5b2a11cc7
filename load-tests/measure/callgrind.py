"""Reading what callgrind wrote: how many instructions were counted, and in whose functions."""
import re
from collections import Counter
from pathlib import Path

from measure.record import Failed

# A function belongs to the first group whose pattern its name matches.
GROUPS = [
    ("allocator", r"^(malloc|free|calloc|realloc|cfree|_int_|unlink_chunk|tcache|je_|mi_|_mi_|__rdl|__rust_(de|re)?alloc|sysmalloc|arena_)"),
    ("memory copied, compared, filled", r"^_*(mem(cpy|move|cmp|set|chr|rchr)|bcmp|str(len|cmp|n?casecmp))"),
    ("system calls and the C library", r"^(__)?(libc_)?(recv|send|writev?|readv?|epoll|clock_gettime|accept|pthread|sigprocmask|syscall|__errno)"),
]
CRATES = ["hyper_util", "hyper", "httparse", "http_body_util", "httpdate", "http", "h2", "tokio_rustls", "rustls", "tokio", "mio", "bytes", "arc_swap",
          "prometheus", "hashbrown", "ipnet", "percent_encoding", "url", "tracing", "tracing_core", "futures_util", "futures_core"]
STANDARD = "std, core, alloc"


def total(out: Path) -> int:
    """Instructions of the whole run."""
    found = re.search(r"^(?:totals|summary): (\d+)", out.read_text(errors="replace"), re.MULTILINE)
    if not found:
        raise Failed(f"no total in {out}: did the process end as it should?")
    return int(found.group(1))


def by_function(out: Path) -> Counter[str]:
    """Instructions spent in each function itself, not in what it calls."""
    names: dict[str, str] = {}
    cost: Counter[str] = Counter()
    function, called = "", False
    with open(out, errors="replace") as lines:
        for line in lines:
            first = line[0]
            if first.isdigit() or first in "+-*":
                # "POSITION COST"; the line after calls= holds what the callee spent.
                if not called:
                    cost[function] += int(line.rsplit(" ", 1)[1]) if " " in line else 0
                called = False
            elif line.startswith(("fn=", "cfn=")):
                number, _, name = line.partition("=")[2].strip().partition(" ")
                if name:
                    names[number] = name
                if first == "f":
                    function = names[number]
            elif line.startswith("calls="):
                called = True
    return cost


def group(function: str, service: str = "waypost") -> str:
    """Whose code a function is: a crate's, with the service's own told apart by room."""
    for name, pattern in GROUPS:
        if re.match(pattern, function):
            return name
    # <impl Trait for Type>::method and generic code belong to the type that they were written for.
    path = re.sub(r"^[<&(*\[ ]+(mut |dyn |const )*", "", function)
    room = re.match(rf"{service}::(\w+)(?:::(\w+))?", path)
    if room:
        return f"{service}::{room.group(1)}"
    crate = re.match(r"(\w+)::", path)
    if crate and crate.group(1) in CRATES:
        return crate.group(1)
    if crate and crate.group(1) in ("core", "alloc", "std"):
        return STANDARD
    return f"{service}, other" if crate and crate.group(1) == service else "other"


def difference(long: Path, short: Path, requests: int) -> Counter[str]:
    """Instructions per request in each function: the long run's less the short one's."""
    more = by_function(long)
    more.subtract(by_function(short))
    return Counter({name: count / requests for name, count in more.items()})
