"""A Hub on the loopback interface, for tests.

It stores repositories with git's own hashes and speaks the protocol of the Hugging Face Hub as `huggingface_hub` 2.4 and
`@huggingface/hub` 2.17 use it, over real HTTP, in a process of its own. It has no Xet, like any self-hosted Hub: what is
under LFS goes through the LFS protocol, and is served by redirect from another port, the CDN, which takes signed
addresses and refuses a token.

    python -m tests.hub --port 0 --data FOLDER        prints http://127.0.0.1:PORT once it listens

Users: alice (token `hf_test`, or `hf_reader`, which may not write), bob (`hf_other`); alice is the only member of the
organization guild.

In a test:

    pytest_plugins = ["tests.hub.fixture"]    # in the test module

    def test_pull_goes_on_after_a_cut(hub):
        hub.api().create_repo("alice/pets")
        hub.fail(cut(after=1000), method="GET", path="/cdn/*", times=2)
        ...
        assert len(hub.downloads()) == 3
        assert all(request.token is None for request in hub.requests(side="cdn"))

A second Hub of another make, in a thread of the test, is `tests.hub.plain`.

What can go wrong is in `tests.hub.actions`; all of it is named here too. The same over HTTP, below `/_hub/`, which is
neither logged nor subject to faults:

    POST   /_hub/faults     {"method": "GET", "path": "*/resolve/*", "side": "*", "times": 2, "skip": 0,
                             "action": {"action": "cut", "after": 1000}}
    GET    /_hub/faults     each with its hits
    DELETE /_hub/faults     no more faults; what hangs goes on
    GET    /_hub/requests   method, path, query, side, headers, status, bytes sent, fault; DELETE forgets them
    PUT    /_hub/settings   {"page": 1000, "lfs_above": ..., "multipart_above": ..., "part": ...}
    POST   /_hub/commit     {"repository": "alice/pets", "files": {"../evil": BASE64}, "lfs": []}: no path is checked
    POST   /_hub/reset      everything as at the first start
"""

from .actions import (
    Action,
    cut,
    flip,
    hang,
    headers,
    lie,
    lose,
    refuse,
    reset,
    resize,
    revision,
    slow,
    status,
)
from .client import ALICE, BOB, READER, Hub
from .log import Entry

__all__ = [
    "ALICE", "BOB", "READER", "Action", "Entry", "Hub", "cut", "flip", "hang", "headers", "lie", "lose", "refuse", "reset",
    "resize", "revision", "slow", "status",
]  # fmt: skip
