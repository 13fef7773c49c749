"""A second Hub of another make: small, in a thread of the test, and with as little of the protocol as servers get by with.

It is shaped after self-hosted servers that people run: errors without X-Error-Code, no paths-info, no commit of its own
in a new repository, one address for everything. What else such servers leave out, or do in their own way, is a quirk:

    with plain_hub("spa", "no tree") as hub: ...

| quirk | what happens |
|---|---|
| `spa` | every address that is not known answers 200 with a web page |
| `no tree`, `no preupload`, `no validate-yaml`, `no verify` | there is no such route |
| `no digests` | nor does the description of a repository state any |
| `forbids` | 403 for what is not there |
| `first commit` | a new repository has a commit |
| `silent` | commits are answered with `{}` |
| `page after commit` | commits are answered with a web page |
| `redirects` | storage sends on to another address with 307 |
| `asks for headers` | storage takes only requests with the header that the LFS batch named |
| `lower case` | the names of headers are in lower case, and JSON is stated as text |
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"<!doctype html><html><title>Models</title><div id=app></div></html>"
TOKEN = "hf_test"


@dataclass
class Repository:
    """The state after each commit: files by name, as content."""

    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1] if self.commits else {}

    @property
    def head(self) -> str:
        return self.commits[-1][0] if self.commits else ""

    def commit(self, files: dict[str, bytes]) -> str:
        content = json.dumps([len(self.commits), sorted(files)]).encode() + b"".join(files.values())
        self.commits.append((hashlib.sha1(content).hexdigest(), files))
        return self.head


@dataclass
class PlainHub:
    """The repositories, and what was requested: method and path."""

    quirks: frozenset[str]
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    storage: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def plain_hub(*quirks: str) -> Iterator[PlainHub]:
    """Serve one until the block ends."""
    hub = PlainHub(frozenset(quirks))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: PlainHub
    protocol_version = "HTTP/1.1"

    ROUTES = (
        ("POST", r"/api/repos/create", "create", ""),
        ("POST", r"/api/validate-yaml", "validate", "no validate-yaml"),
        ("GET", r"/api/models/([^/]+/[^/]+)", "describe", ""),
        ("GET", r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", "describe", ""),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", "tree", "no tree"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/main", "preupload", "no preupload"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/main", "commit", ""),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch", ""),
        ("PUT", r"/objects/([0-9a-f]{64})", "put", ""),
        ("PUT", r"/moved/([0-9a-f]{64})", "put_moved", ""),
        ("POST", r"/objects/([0-9a-f]{64})/verify", "verify", "no verify"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve", ""),
        ("HEAD", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve", ""),
    )

    def serve(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for method, pattern, name, quirk in self.ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command and quirk not in self.hub.quirks:
                return getattr(self, name)(*found.groups())
        if "spa" in self.hub.quirks:
            return self.answer(200, PAGE, "text/html")
        return self.answer(404, b"404 page not found\n", "text/plain")

    do_GET = do_HEAD = do_POST = do_PUT = serve  # noqa: N815 - as the base class has it

    def log_message(self, *_: object) -> None:
        pass

    # answers

    def answer(self, status: int, content: bytes, kind: str, **headers: str) -> None:
        lower = "lower case" in self.hub.quirks
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-").lower() if lower else name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, value: Any, status: int = 200) -> None:
        kind = "text/plain" if "lower case" in self.hub.quirks else "application/json"
        self.answer(status, json.dumps(value).encode(), kind)

    def repository(self, name: str) -> Repository | None:
        found = self.hub.repositories.get(name)
        if found is None:
            self.json({"error": f"{name} not found"}, 403 if "forbids" in self.hub.quirks else 404)
        return found

    # the routes

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'alice'}/{asked['name']}"
        made = self.hub.repositories.setdefault(name, Repository())
        if "first commit" in self.hub.quirks and not made.commits:
            made.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self.json({})

    def validate(self) -> None:
        self.json({})

    def describe(self, name: str, revision: str = "main") -> None:
        found = self.repository(name)
        if found is not None:
            plain = "no digests" in self.hub.quirks
            siblings = [
                {"rfilename": file} | ({} if plain else {"size": len(content), "blobId": blob(content)})
                for file, content in found.files.items()
            ]
            self.json({"id": name, "sha": found.head, "siblings": siblings, "cardData": ["odd"]})

    def tree(self, name: str, revision: str) -> None:
        found = self.repository(name)
        if found is not None:
            items = [{"type": "file", "path": f, "size": len(c), "oid": blob(c)} for f, c in found.files.items()]
            self.json(items)

    def preupload(self, name: str) -> None:
        if self.repository(name) is not None:
            files = [file["path"] for file in json.loads(self.body)["files"]]
            modes = {True: "lfs", False: "regular"}
            self.json({"files": [{"path": file, "uploadMode": modes[file.endswith(".safetensors")]} for file in files]})

    def batch(self, name: str) -> None:
        objects = []
        for item in json.loads(self.body)["objects"]:
            place = f"{self.hub.url}/objects/{item['oid']}"
            header = {"X-Upload": "yes"} if "asks for headers" in self.hub.quirks else None
            actions = {"upload": {"href": place, "header": header}, "verify": {"href": f"{place}/verify"}}
            objects.append(item | {"actions": {} if item["oid"] in self.hub.storage else actions})
        self.json({"objects": objects})

    def put(self, oid: str) -> None:
        if "redirects" in self.hub.quirks:
            return self.answer(307, b"", "text/plain", Location=f"{self.hub.url}/moved/{oid}")
        if "asks for headers" in self.hub.quirks and self.headers.get("X-Upload") != "yes":
            return self.json({"error": "no header"}, 403)
        return self.put_moved(oid)

    def put_moved(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() == oid:
            self.hub.storage[oid] = self.body
            return self.answer(200, b"", "text/plain")
        return self.json({"error": "another content"}, 400)

    def verify(self, oid: str) -> None:
        self.json({}, 200 if oid in self.hub.storage else 404)

    def commit(self, name: str) -> None:
        found = self.repository(name)
        if found is None:
            return None
        files, facts = dict(found.files), {}
        for line in self.body.splitlines():
            item = json.loads(line)
            facts[item["key"]] = value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.storage[value["oid"]]
        if facts["header"].get("parentCommit", "") != found.head:
            return self.json({"error": "the branch has moved"}, 412)
        oid = found.commit(files)
        if "page after commit" in self.hub.quirks:
            return self.answer(200, PAGE, "text/html")
        return self.json({} if "silent" in self.hub.quirks else {"commitOid": oid})

    def resolve(self, name: str, revision: str, file: str) -> None:
        found = self.repository(name)
        if found is None:
            return None
        if file not in found.files:
            return self.json({"error": "no such file"}, 404)
        content = found.files[file]
        facts = {"ETag": f'"{blob(content)}"', "X_Repo_Commit": found.head}
        return self.answer(200, content, "application/octet-stream", **facts)


def blob(content: bytes) -> str:
    """What git names a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
