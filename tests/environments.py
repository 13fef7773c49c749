"""Virtual environments of their own for tests that install things, without a network."""

import importlib.metadata
import json
import os
import site
import subprocess
import venv
from pathlib import Path


def _links_to(packages, folder, without):
    """A folder with a link to everything in site-packages that those distributions did not put there."""
    gone = {
        file.parts[0]
        for distribution in importlib.metadata.distributions(path=[str(packages)])
        if distribution.name in without
        for file in distribution.files
    }
    folder.mkdir()
    for path in packages.iterdir():
        if path.name not in gone:
            (folder / path.name).symlink_to(path)
    return folder


class Environment:
    """A virtual environment that sees the packages of this one, and has a site-packages of its own.

    Those called `without` are as if uninstalled: nothing that their installer put down is seen.
    """

    def __init__(self, folder, *, without=()):
        venv.create(folder, with_pip=False)
        self.folder, self.work = folder, folder.parent
        (own,) = folder.glob("lib/python*/site-packages")
        parents = [Path(path) for path in site.getsitepackages() if Path(path).is_dir()]
        self.own = own
        if without:
            parents = [_links_to(path, folder / f"packages-{n}", without) for n, path in enumerate(parents)]
        lines = [f"import site; site.addsitedir({str(path)!r})\n" for path in parents]
        (own / "parents.pth").write_text("".join(lines))
        # Neither an index nor an environment of their own for builds: what is here must do.
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "UV_OFFLINE": "1", "UV_NO_BUILD_ISOLATION": "1"}
        for name in ("zoo", "pip"):
            self._script(name)
        path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        offline |= {"PATH": path, "VIRTUAL_ENV": str(folder)}
        self.variables = os.environ | offline | {"PIP_NO_CACHE_DIR": "1", "UV_CACHE_DIR": str(self.work / "uv")}

    def _script(self, name):
        """What an installer would have put there: the command of the packages that are seen from here."""
        module = {"zoo": "zoo_core"}.get(name, name)
        script = self.folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{self.folder}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)

    def shell(self, line):
        """A line of a page, as a reader types it."""
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.work,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def zoo(self, *arguments, **variables):
        command = [str(self.folder / "bin" / "python"), "-m", "zoo_core", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=self.work,
            env=self.variables | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def plugins(self):
        return {facts["distribution"]: facts for facts in json.loads(self.zoo("plugins", "list", "--json").stdout)}
