"""A server on 127.0.0.1 that hands out one file in good and bad ways, named by the address."""

import contextlib
import gzip
import http.server
import itertools
import threading
import time
from collections.abc import Iterator

HTML = b"<!DOCTYPE html>\n<html><body>Sign in to continue</body></html>\n"


class ReleaseServer(http.server.ThreadingHTTPServer):
    """`server.url("cut")` is the base address under which files come cut off, and so on."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, body: bytes):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = body
        self.requests: list[str] = []
        self.closing = threading.Event()

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{manner}/"

    def handle_error(self, request, client_address):
        """A killed client is part of the tests: no traceback."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        manner, _, _name = self.path.strip("/").partition("/")
        self.server.requests.append(manner)
        body = self.server.body
        half = body[: len(body) // 2]
        if manner == "whole":
            self._answer(length=len(body), pieces=[body])
        elif manner == "slow":
            step = len(body) // 20 + 1
            pieces = [body[at : at + step] for at in range(0, len(body), step)]
            self._answer(length=len(body), pieces=pieces, pause=0.05)
        elif manner == "cut":
            self._answer(length=len(body), pieces=[half])
        elif manner == "unmeasured":
            self._answer(pieces=[body])
        elif manner == "cut_unmeasured":
            self._answer(pieces=[half])
        elif manner == "chunked":
            self._answer(chunked=True, pieces=[half, body[len(half) :], b""])
        elif manner == "cut_chunked":
            self._answer(chunked=True, pieces=[half])
        elif manner == "zipped":
            packed = gzip.compress(body)
            self._answer(length=len(packed), pieces=[packed], encoding="gzip")
        elif manner == "flipped":
            at = len(body) // 2
            self._answer(length=len(body), pieces=[half, bytes([body[at] ^ 1]), body[at + 1 :]])
        elif manner == "html":
            self._answer(length=len(HTML), pieces=[HTML])
        elif manner == "empty":
            self._answer(length=0, pieces=[])
        elif manner == "odd_length":
            self._answer(length="many", pieces=[body])
        elif manner == "stall":
            self._answer(length=len(body), pieces=[half])
            self.server.closing.wait(20)
        elif manner == "endless":
            self._answer(chunked=True, pieces=itertools.repeat(bytes(1 << 16), 10_000))
        elif manner == "silent":
            self.server.closing.wait(20)
        elif manner == "redirect":
            self._redirect(self.path.replace("/redirect/", "/whole/"))
        elif manner == "redirect_to_file":
            self._redirect("file:///etc/hostname")
        elif manner == "redirect_loop":
            self._redirect(self.path)
        else:
            self.send_error(int(manner))

    def _redirect(self, location: str):
        self.send_response(302)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _answer(self, *, pieces, length=None, chunked=False, encoding=None, pause=0.0):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            time.sleep(pause)

    def log_message(self, *args):
        """Nothing on stderr."""


@contextlib.contextmanager
def serving(body: bytes) -> Iterator[ReleaseServer]:
    with ReleaseServer(body) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
