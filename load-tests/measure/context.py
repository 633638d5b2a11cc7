"""What every measurement is given."""
import argparse
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from measure.servers import Servers
from measure.site import Site
from measure.worlds import Worlds


@dataclass
class Context:
    options: argparse.Namespace
    binaries: dict[str, Path]
    """By name: "waypost", "bare-hyper", "at-size"."""
    work: Path
    """`.cache/load-tests`: emptied when a run begins."""
    servers: Servers

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    @cached_property
    def site(self) -> Site:
        """The small site, its mirrors running and every copy verified; made when first asked for."""
        self.say("the small site")
        site = Site(self.work, self.options)
        site.build(self.binaries["waypost"])
        site.warm(self.servers, self.binaries["waypost"], self.say)
        return site

    @cached_property
    def worlds(self) -> Worlds:
        """Worlds of a given size; each is made when first asked for."""
        return Worlds(self.work, self.servers, self.binaries["at-size"], self.options.seed, self.say)

    def clean_up(self) -> None:
        """Stops what a measurement left behind. The mirrors of a site that others will ask for stay."""
        self.servers.stop_all(but=("mirrors",) if "site" in vars(self) else ())
