"""Memory that is free on this machine, within the limit of a container."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Estimate how many bytes can be allocated without evicting anything from memory.

    Linux reports this, and a lower limit of a container takes precedence. On other systems, half of the installed
    memory is assumed to be free.
    """
    try:
        available = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        available = None
    free = int(available[1]) * 1024 if available else _installed_memory() // 2
    limit = _container_limit()
    return free if limit is None else min(free, limit)


def _container_limit() -> int | None:
    """The bytes that a control group (version 2), such as that of a container, has left; None without a limit."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        # Cached pages of files count as used, but are evicted at once when memory is needed.
        cached = re.search(r"^inactive_file (\d+)", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - used + (int(cached[1]) if cached else 0))


def _installed_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 8 * 2**30
