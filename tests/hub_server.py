"""A server on this machine that speaks the routes of the Hugging Face hub which downloads and uploads take.

Files are redirected to another address, as the hub does with large ones. It can lie, refuse and cut connections.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_a_test"

_RESOLVE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")
_COMMIT = re.compile(r"/api/models/([\w.-]+/[\w.-]+)/(preupload|commit)/main")


@dataclasses.dataclass
class HubState:
    """What the server has, and how it behaves.

    Attributes:
      files: content by `owner/name/file`.
      private: repositories that want the token.
      gated: repositories that want consent.
      cut_after: bytes after which a connection is cut.
      cuts: how many connections are cut.
      sent_instead: what is sent in the place of every file, under the file's own hash.
      requests: method and path of every request, and its range.
      endpoint: address of the hub.
      contents: the same under another name, as the hub's large files lie on another server.
    """

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    private: set[str] = dataclasses.field(default_factory=set)
    gated: set[str] = dataclasses.field(default_factory=set)
    cut_after: int = 0
    cuts: int = 0
    sent_instead: bytes | None = None
    requests: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    endpoint: str = ""
    contents: str = ""

    def add(self, repository: str, files: dict[str, bytes]) -> None:
        self.files |= {f"{repository}/{name}": content for name, content in files.items()}

    def downloads(self) -> list[tuple[str, str]]:
        """Path and range of every request for the content of a file."""
        return [
            (path, part) for method, path, part in self.requests if method == "GET" and path.startswith("/content/")
        ]


@contextlib.contextmanager
def hub_server() -> Iterator[HubState]:
    """Runs the server, on a port of its own."""
    state = HubState()

    class Handler(_Handler):
        hub = state

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.endpoint = f"http://127.0.0.1:{server.server_port}"
        state.contents = f"http://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: HubState
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_content=False)

    def do_GET(self) -> None:
        self.answer(with_content=True)

    def answer(self, *, with_content: bool) -> None:
        self.hub.requests.append((self.command, self.path, self.headers.get("Range", "")))
        if self.path.startswith("/content/"):
            self.send_content(self.path.removeprefix("/content/"), with_content=with_content)
        elif found := _RESOLVE.fullmatch(self.path):
            self.resolve(*found.groups())
        else:
            self.refuse(404, "RepoNotFound")

    def resolve(self, repository: str, revision: str, file: str) -> None:
        authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        content = self.hub.files.get(f"{repository}/{file}")
        if not any(name.startswith(f"{repository}/") for name in self.hub.files) or (
            repository in self.hub.private and not authorized
        ):
            self.refuse(401, "RepoNotFound")
        elif repository in self.hub.gated and not authorized:
            self.refuse(403, "GatedRepo")
        elif revision not in ("main", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif content is None:
            self.refuse(404, "EntryNotFound")
        else:
            digest = hashlib.sha256(content).hexdigest()
            headers = {
                "Location": f"{self.hub.contents}/content/{repository}/{file}",
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(content)),
                "X-Repo-Commit": COMMIT,
            }
            self.send(302, b"", headers)

    def send_content(self, name: str, *, with_content: bool) -> None:
        content = self.hub.files.get(name)
        if content is None:
            return self.refuse(404, "")
        sent = content if self.hub.sent_instead is None else self.hub.sent_instead
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        status, begin = 200, 0
        if part := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, begin = 206, int(part[1])
            headers["Content-Range"] = f"bytes {begin}-{len(sent) - 1}/{len(sent)}"
        headers["Content-Length"] = str(len(sent) - begin)
        if with_content and self.hub.cuts and len(sent) - begin > self.hub.cut_after:
            self.hub.cuts -= 1
            self.send(status, sent[begin : begin + self.hub.cut_after], headers)
            self.close_connection = True
        else:
            self.send(status, sent[begin:] if with_content else b"", headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append((self.command, self.path, ""))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(401, "")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            return self.send_json({"url": f"{self.hub.endpoint}/{asked['organization']}/{asked['name']}"})
        if self.path == "/api/validate-yaml":
            return self.send_json({"errors": [], "warnings": []})
        if not (found := _COMMIT.fullmatch(self.path)):
            return self.refuse(404, "")
        repository, action = found.groups()
        if action == "preupload":
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self.send_json({"files": files})
        lines = [json.loads(line) for line in body.splitlines()]
        stored = [line["value"] for line in lines if line["key"] == "file"]
        self.hub.add(repository, {file["path"]: base64.b64decode(file["content"]) for file in stored})
        url = f"{self.hub.endpoint}/{repository}"
        return self.send_json({"commitUrl": f"{url}/commit/{COMMIT}", "commitOid": COMMIT, "hookOutput": ""})

    def send_json(self, content: Any) -> None:
        self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": "refused by the test's server"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)
