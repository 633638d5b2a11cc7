"""What a run needs from Debian, and its installation."""
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from measure.references import GEOIP2
from measure.site import GEOIP

PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "h2load": "nghttp2-client", "valgrind": "valgrind", "openssl": "openssl",
            "curl": "curl", "taskset": "util-linux"}
POLICY = Path("/usr/sbin/policy-rc.d")


def need() -> None:
    """Installs what is missing, as root; says what to install otherwise, and ends."""
    # Debian's nginx lies in /usr/sbin, rustup's cargo in ~/.cargo/bin; a plain shell may know neither.
    os.environ["PATH"] += f":{Path.home()}/.cargo/bin:/usr/sbin:/sbin"
    packages = missing()
    if packages and os.geteuid() == 0:
        install(packages)
        packages = missing()
    if packages:
        sys.exit(f"load-tests/run: missing: apt-get install --no-install-recommends {' '.join(packages)}")
    if not shutil.which("cargo"):
        sys.exit("load-tests/run: cargo is missing: install Rust with rustup (README.md says how)")
    if not sorted(GEOIP.glob("*.mmdb")):
        sys.exit("load-tests/run: no city database in .cache/geoip: tests/run fetches it")
    if (os.cpu_count() or 1) < 2:
        sys.exit("load-tests/run: needs two cores, one for the server and one for the client")


def missing() -> list[str]:
    packages = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not GEOIP2.exists():
        packages.append("libnginx-mod-http-geoip2")
    importlib.invalidate_caches()
    if not importlib.util.find_spec("matplotlib"):
        packages.append("python3-matplotlib")
    return packages


def install(packages: list[str]) -> None:
    """From Debian. apt would start nginx, which would take port 80: for that long a policy says no, unless there is one."""
    print(f"installing from Debian: {' '.join(packages)}", file=sys.stderr)
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", *command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    except subprocess.CalledProcessError as problem:
        sys.exit(f"load-tests/run: {problem}")
    finally:
        if ours:
            POLICY.unlink()
