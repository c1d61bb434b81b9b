"""Machines of their own for servers: network namespaces on one bridge, whose links the test cuts and heals.

Needs root and `ip` (iproute2). Everything made here carries the test's process id in its name and goes with
the `with` block; of the test's own namespace only one interface is used, on a net of the range that is kept
for measurements (198.18.0.0/15). A server in a namespace is reached through its Unix socket even when its
link is cut.
"""

import ipaddress
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from support.servers import Place

_numbers = itertools.count()


class IpError(Exception):
    """`ip` refused; carries its words."""


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise IpError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def obstacle() -> str | None:
    """Why namespaces cannot be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with network(1):
            return None
    except IpError as error:
        return f"network namespaces cannot be made: {error}"


def _unused_net() -> ipaddress.IPv4Network:
    taken = [ipaddress.ip_interface(line.split()[3]).network for line in _ip("-4", "-o", "addr").splitlines()]
    nets = ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=24)
    # Begin somewhere else in each process: two test runs that look at the same moment choose different nets.
    shifted = itertools.islice(itertools.cycle(nets), os.getpid() % 512, os.getpid() % 512 + 512)
    return next(net for net in shifted if not any(net.overlaps(other) for other in taken))


@dataclass(frozen=True, slots=True)
class Network:
    """Machines that reach each other, and that the test reaches, through one bridge."""

    hub: str
    places: tuple[Place, ...]

    def cut(self, machine: int) -> None:
        """Pull the cable of a machine: nothing passes, and nobody is told."""
        _ip("-n", self.hub, "link", "set", f"port{machine}", "down")

    def heal(self, machine: int) -> None:
        """Plug it in again; connections that lived go on."""
        _ip("-n", self.hub, "link", "set", f"port{machine}", "up")

    def heal_all(self) -> None:
        for machine in range(len(self.places)):
            self.heal(machine)


@contextmanager
def network(machines: int) -> Iterator[Network]:
    """So many namespaces with an address each, for the length of a `with` block."""
    name = f"rl{os.getpid()}n{next(_numbers)}"
    hub = f"{name}-hub"
    net = _unused_net()
    addresses = [str(address) for address in net.hosts()]

    with ExitStack() as stack:

        def namespace(called: str) -> None:
            _ip("netns", "add", called)
            stack.callback(_remove, called)
            _ip("-n", called, "link", "set", "lo", "up")

        def joined(called: str, port: str, address: str, *, inside: tuple[str, ...]) -> None:
            """One end at the bridge, the other, with an address, where `inside` says."""
            _ip("-n", hub, "link", "add", "name", port, "type", "veth", "peer", "name", called)
            _ip("-n", hub, "link", "set", port, "master", "bridge", "up")
            _ip("-n", hub, "link", "set", called, "netns", inside[1] if inside else str(os.getpid()))
            _ip(*inside, "addr", "add", f"{address}/{net.prefixlen}", "dev", called)
            _ip(*inside, "link", "set", called, "up")

        namespace(hub)
        # Without forward_delay 0 and STP a bridge port may be silent for its first seconds.
        _ip(
            "-n",
            hub,
            "link",
            "add",
            "name",
            "bridge",
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0",
        )
        _ip("-n", hub, "link", "set", "bridge", "up")
        joined(name, "test", addresses[-1], inside=())
        places = []
        for machine in range(machines):
            inside = f"{name}-{machine}"
            namespace(inside)
            joined("eth0", f"port{machine}", addresses[machine], inside=("-n", inside))
            places.append(Place(addresses[machine], ("ip", "netns", "exec", inside)))
        yield Network(hub, tuple(places))


def _remove(namespace: str) -> None:
    """Its interfaces, and their other ends, go with it."""
    with suppress(IpError):
        _ip("netns", "del", namespace)
