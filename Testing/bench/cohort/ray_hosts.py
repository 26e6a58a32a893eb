"""A Ray cluster of two hosts on this machine, with one processor each; the first one is its head."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from Testing.bench.cohort.cohort_call import ACTOR, VARIABLES, Place
from Testing.hosts.two_hosts import ADDRESSES, TwoHosts

PORT = 6379
START_LIMIT_S = 300.0
RUNS = f"{ACTOR}.run"  # how Ray calls the process of a worker that has a case


class RayHosts:
    """Both hosts, from the start of Ray on them to the end of all that runs on them.

    Args:
        folder: for what the programs say.
    """

    def __init__(self, folder: Path) -> None:
        self.hosts = TwoHosts()
        self._folder = folder
        # A short path: names of sockets have 107 characters at most.
        self._temporary = tempfile.TemporaryDirectory(prefix="mtsray", ignore_cleanup_errors=True)
        # Ray lets nobody in who has not the token of the cluster.
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
        self._variables = {**VARIABLES, **token}

    def __enter__(self) -> RayHosts:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.hosts.__enter__()
        try:
            self.start_head()
            self._start(1, "--address", f"{ADDRESSES[0]}:{PORT}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.hosts.__exit__()
        self._temporary.cleanup()

    def start_head(self) -> None:
        """Start the head; also once more, after it was lost."""
        words = ["--head", "--port", str(PORT), "--include-dashboard", "false"]
        self._start(0, *words, "--temp-dir", tempfile.mkdtemp(dir=self._temporary.name))

    def begin(self, place: Place, said: str, workers: int = 2) -> subprocess.Popen[bytes]:
        """Start a cohort on the first host; ``said``: the file of the folder for what it says."""
        words = [*place.words(workers, retries=2), "--address", f"{ADDRESSES[0]}:{PORT}"]
        with (self._folder / said).open("wb") as told, (self._folder / f"{said}.json").open("wb") as counts:
            return self.hosts.begin(0, words, self._variables, told, counts)

    def workers(self, host: int) -> list[int]:
        """Processes of the workers on a host that have a case now."""
        return [number for number, name in self.hosts.processes(host).items() if name.startswith(RUNS)]

    def _start(self, host: int, *words: str) -> None:
        options = ["--node-ip-address", ADDRESSES[host], "--num-cpus", "1", "--object-store-memory", str(100 << 20)]
        with (self._folder / f"ray{host}.log").open("ab") as told:
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, *options]
            process = self.hosts.begin(host, command, self._variables, told)
            end_s = time.monotonic() + START_LIMIT_S
            while process.poll() is None and time.monotonic() < end_s:
                time.sleep(0.1)
        if process.poll() != 0:
            raise RuntimeError(f"Ray did not start on host {host}; see {told.name}")
