"""A Hub as a test holds it: the process, what it was asked, and what shall go wrong."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .actions import Action
from .log import HARNESSES, Entry

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ROOT = Path(__file__).resolve().parents[2]
ALICE, BOB, READER = "hf_test", "hf_other", "hf_reader"  # READER is alice's too, and may not write


@dataclass
class Hub:
    """A server process, its folder and its address. The address stays the same over stop and start."""

    folder: Path
    url: str = ""
    process: subprocess.Popen[str] | None = None

    # the process

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "tests.hub", "--port", port, "--data", str(self.folder)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the hub did not start"

    def stop(self) -> None:
        """Nothing listens afterwards; the repositories stay on disk."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def restart(self) -> None:
        """At the same address, with the same repositories; faults and log are gone."""
        self.stop()
        self.start()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def reset(self) -> None:
        """No repositories, faults, log or changed settings."""
        self._admin("POST", "reset")

    # what goes wrong

    def fail(
        self,
        action: Action,
        *,
        method: str = "*",
        path: str = "*",
        side: str = "*",
        times: int | None = 1,
        skip: int = 0,
    ) -> int:
        """Let `action` befall the next `times` requests that match (None: all), after `skip` of them.

        Patterns are those of fnmatch, on the decoded path without its query. `side` is "hub" or "cdn".
        Of several faults that match a request, the first set befalls it. Gives a number for `hits`.
        """
        values = {"method": method, "path": path, "side": side, "times": times, "skip": skip}
        return int(self._admin("POST", "faults", values | {"action": action.to_json()})["number"])

    def hits(self, number: int) -> int:
        """How often a fault has happened."""
        return int(self._admin("GET", "faults")[number]["hits"])

    def heal(self) -> None:
        """No more faults; what hangs goes on."""
        self._admin("DELETE", "faults")

    def settings(self, **values: int) -> None:
        """`page`, `lfs_above`, `multipart_above`, `part`: see context.Settings."""
        self._admin("PUT", "settings", values)

    def plant(self, repository: str, files: Mapping[str, bytes], lfs: Sequence[str] = ()) -> str:
        """Commit files that no client would, under whatever names, to an existing model; the paths in `lfs` under LFS."""
        content = {path: base64.b64encode(content).decode() for path, content in files.items()}
        return str(
            self._admin("POST", "commit", {"repository": repository, "files": content, "lfs": list(lfs)})["commit"]
        )

    # what it was asked

    def requests(self, method: str = "*", path: str = "*", side: str = "*") -> list[Entry]:
        """Those that match, in their order; see log.HARNESSES for the one that is left out."""
        entries = [Entry(**values) for values in self._admin("GET", "requests")]
        patterns = (method, path, side)
        entries = [entry for entry in entries if entry.path != HARNESSES or path == HARNESSES]
        return [e for e in entries if all(map(fnmatchcase, (e.method, e.path, e.side), patterns))]

    def downloads(self) -> list[Entry]:
        """Requests for the content of files that were not merely sent elsewhere."""
        found = self.requests("GET", "*/resolve/*", "hub") + self.requests("GET", "/cdn/*", "cdn")
        return [entry for entry in found if entry.status != 302]

    def forget(self) -> None:
        """Empty the log."""
        self._admin("DELETE", "requests")

    # clients of it

    def api(self, token: str | bool = ALICE) -> HfApi:
        """The official client, in this process; False for nobody."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.url, token=token)

    def environment(self, home: Path, token: str | None = ALICE, **variables: str) -> dict[str, str]:
        """Of a process that takes this for its Hub and `home` for its HF_HOME."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        values = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        return inherited | values | ({"HF_TOKEN": token} if token else {}) | variables

    def _admin(self, method: str, name: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_hub/{name}", data, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return json.load(response)
