"""Two hosts on this machine: network namespaces with an address each, joined by a cable that can be pulled."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

# Each namespace has addresses of its own: several pairs of hosts may use the same ones at once.
ADDRESSES = ("198.51.100.1", "198.51.100.2")  # of those that are kept for examples
NAMES = ("mtshost0", "mtshost1")
CABLES = ("mtsa", "mtsb")
HOSTS = Path("/etc/netns")  # "ip netns exec" lays what is here over /etc
# Programs find the name of their host, and by it the address, as on machines of their own.
NAMED = ("unshare", "--uts", "sh", "-c", 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"')
NAME = re.compile(r"mts(\d+)[ab]")
FAREWELL_S = 10.0


def missing() -> str:
    """Why there can be no two hosts here; empty where there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are of Linux"
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need root and the program ip"
    name = f"mts{os.getpid()}try"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "network namespaces need root and the program ip"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class TwoHosts:
    """Begin programs on either host; at the end of the block all of them are killed, and the hosts are gone.

    Folders and the numbers of processes are those of this machine.
    """

    def __init__(self) -> None:
        self._names = tuple(f"mts{os.getpid()}{letter}" for letter in "ab")
        self._begun: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> TwoHosts:
        _sweep()
        try:
            for name in self._names:
                _ip("netns", "add", name)
                (HOSTS / name).mkdir(parents=True)
                lines = [f"{address} {host}\n" for address, host in zip(ADDRESSES, NAMES, strict=True)]
                (HOSTS / name / "hosts").write_text("".join(["127.0.0.1 localhost\n", *lines]), encoding="utf-8")
            ends = [word for cable, name in zip(CABLES, self._names, strict=True) for word in (cable, name)]
            _ip("link", "add", ends[0], "netns", ends[1], "type", "veth", "peer", "name", ends[2], "netns", ends[3])
            for name, cable, address in zip(self._names, CABLES, ADDRESSES, strict=True):
                _ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
                _ip("-n", name, "link", "set", "lo", "up")
                _ip("-n", name, "link", "set", cable, "up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def begin(
        self, host: int, words: Sequence[str], more: Mapping[str, str], told: IO[bytes], said: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program.

        Args:
            host: 0 or 1.
            words: of its command line.
            more: variables beside those of this process.
            told: where what it says of itself goes.
            said: where its output goes; None: with the rest.
        """
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._names[host], *NAMED, NAMES[host], *words],
            env={**os.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=said or told,
            stderr=told,
        )
        self._begun.append(process)
        return process

    def processes(self, host: int) -> dict[int, str]:
        """By number, the command lines of all that runs on a host."""
        return _processes(self._names[host])

    def kill(self, host: int, spared: Sequence[int] = ()) -> int:
        """End all that runs on a host at once, but for some; how many processes there were."""
        killed: set[int] = set()
        end_s = time.monotonic() + FAREWELL_S
        while time.monotonic() < end_s and (left := self._alive(host) - set(spared)):
            for number in left:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            killed |= left
            time.sleep(0.05)
        return len(killed)

    def pull_cable(self) -> None:
        """From now on the hosts hear nothing of each other, and no connection is closed."""
        _ip("-n", self._names[1], "link", "set", CABLES[1], "down")

    def _alive(self, host: int) -> set[int]:
        for process in self._begun:
            process.poll()  # or what has ended here would be listed for ever
        return set(self.processes(host))

    def _remove(self) -> None:
        for host, name in enumerate(self._names):
            self.kill(host)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            shutil.rmtree(HOSTS / name, ignore_errors=True)
        for process in self._begun:
            process.wait()


def _processes(name: str) -> dict[int, str]:
    told = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    found = {}
    for number in map(int, told.stdout.split()):
        with suppress(OSError):
            found[number] = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return found


def _sweep() -> None:
    """Remove hosts whose maker was killed before it could."""
    told = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    for name in (line.split()[0] for line in told.splitlines()):
        made = NAME.fullmatch(name)
        if made and not Path("/proc", made[1]).exists():
            for number in _processes(name):
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            shutil.rmtree(HOSTS / name, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
