"""The servers that Waypost is held against."""
from pathlib import Path

from measure.servers import Server, free_port


class Bare(Server):
    """hyper with one constant answer, the recorded one."""

    def __init__(self, binary: Path, answer: Path, name: str = "bare hyper"):
        port = free_port()
        super().__init__(name, [binary, port, "--answer", answer, "--threads", "1"], port)
