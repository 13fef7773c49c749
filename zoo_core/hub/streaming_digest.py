"""Hashing a download while it is written, so that verifying it costs next to no time of its own.

The bytes are read back from the file that is being written, by the same pages that a later load would map. What comes
out counts only for a file that has the inode and the size that were read: anything else is hashed from its beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

_PIECE = 2**20


class Follower:
    """Follows the writing of one file.

    Args:
        folder, name: of the file, as it is called while it is written: NAME.*.incomplete.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._descriptor: int | None = None
        self._digest, self._read = hashlib.sha256(), 0
        self._written, self._ended, self._forgotten = 0, False, False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def begin(self) -> None:
        """The file is there: from now on the newest of its name is followed."""
        if self._descriptor is not None or self._ended:
            return
        with contextlib.suppress(OSError, ValueError):
            candidates = self._folder.glob(f"{self._name}.*.incomplete")
            newest = max(candidates, key=lambda path: path.stat().st_mtime_ns)
            self._descriptor = os.open(newest, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            self._thread.start()

    def written(self, size: int) -> None:
        """The first `size` bytes are written, and stay as they are."""
        with self._news:
            self._written = size
            self._news.notify()

    def forget(self) -> None:
        """What was written is written anew: nothing that was read counts any more."""
        self._forgotten = True
        self.end()

    def end(self) -> None:
        """Nothing more will be written. Waits until the reading ends."""
        with self._news:
            self._ended = True
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def close(self) -> None:
        """Let go of the file."""
        self.end()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def sha256_of(self, path: Path) -> str | None:
        """The sha256 of the file that was followed, where it is at `path` now; None for any other."""
        self.end()
        if self._descriptor is None or self._forgotten:
            return None
        try:
            followed, there = os.fstat(self._descriptor), path.stat()
            same = (followed.st_ino, followed.st_dev, followed.st_size) == (there.st_ino, there.st_dev, there.st_size)
            if same and self._read <= there.st_size:
                self._take(there.st_size)
                return self._digest.hexdigest() if self._read == there.st_size else None
        except OSError:
            pass
        return None

    def _follow(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._ended or self._written - self._read >= _PIECE)
                if self._ended:
                    return
                until = self._written
            try:
                self._take(until)
            except OSError:
                return

    def _take(self, until: int) -> None:
        assert self._descriptor is not None
        os.lseek(self._descriptor, self._read, os.SEEK_SET)
        while self._read < until and (piece := os.read(self._descriptor, min(_PIECE, until - self._read))):
            self._digest.update(piece)
            self._read += len(piece)
