"""The processes of a run by name, and the servers that are measured."""
import os
import resource
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from measure.record import Failed

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER_CORE, CLIENT_CORE = 0, 1


def run(command: list, timeout: float = 600, errors_too: bool = False) -> str:
    """Runs a program to its end; returns what it printed, on standard error as well where asked."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=timeout, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} was not done within {timeout} s") from None
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + (done.stderr if errors_too else "")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def children_cpu() -> float:
    """Seconds of CPU of the programs that `run` has run so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Servers:
    """The processes that this run started, by name."""

    def __init__(self, work: Path):
        self.work = work
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, name: str, command: list, core: int | None = None) -> subprocess.Popen:
        """Starts a program that stays; what it prints goes to NAME.log in the work folder."""
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        with open(self.log(name), "ab") as log:
            self.running[name] = subprocess.Popen([str(part) for part in pinned + list(command)],
                                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.running[name]

    def log(self, name: str) -> Path:
        return self.work / f"{name.replace(' ', '-')}.log"

    def stop(self, name: str) -> None:
        process = self.running.pop(name, None)
        if process is None:
            return
        if process.poll() is not None:
            raise Failed(f"{name} ended early with {process.returncode}: see {self.log(name)}")
        process.terminate()
        end(process, 60)

    def stop_all(self, but: tuple[str, ...] = ()) -> None:
        """Stops what runs, whatever became of it, but for those names."""
        ending = {name: process for name, process in self.running.items() if name not in but}
        for process in ending.values():
            process.terminate()
        for name, process in ending.items():
            end(process, 10)
            del self.running[name]

    def wait_for_port(self, name: str, port: int, seconds: float = 120) -> None:
        """Until the server of that name takes connections."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.running[name].poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=seconds).close()
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise Failed(f"{name} takes no connections on port {port}: see {self.log(name)}")

    def cpu(self, name: str) -> tuple[float, float]:
        """Seconds of CPU that the process has used so far: in user space, and in all."""
        fields = Path(f"/proc/{self.running[name].pid}/stat").read_text().rsplit(")", 1)[1].split()
        user, system = (int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in fields[11:13])
        return user, user + system


def end(process: subprocess.Popen, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Certificate:
    """Certificate and key in PEM."""

    chain: Path
    key: Path


class Server:
    """A server that is measured: its name in tables, its command and where it listens on loopback."""

    def __init__(self, name: str, command: list, port: int, tls: Certificate | None = None):
        self.name, self.command, self.port = name, command, port
        self.scheme = "https" if tls else "http"

    def start(self, servers: Servers) -> None:
        servers.start(self.name, self.command, core=SERVER_CORE)
        self.wait(servers)

    def wait(self, servers: Servers, name: str | None = None) -> None:
        """Until it answers as it will; `name` where it runs under another one."""
        servers.wait_for_port(name or self.name, self.port)
