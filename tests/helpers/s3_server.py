"""An S3 server on this machine (moto), whose answers can be late, wrong or cut off."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from vidsemi.io.store_connection import connect

ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message></Error>"
ANSWERS = {
    "throttled": ("503 Slow Down", ERROR.format("SlowDown", "Please reduce your request rate.")),
    "failed": ("500 Internal Server Error", ERROR.format("InternalError", "We encountered an internal error.")),
    "expired": ("400 Bad Request", ERROR.format("ExpiredToken", "The provided token has expired.")),
    "denied": ("403 Forbidden", ERROR.format("AccessDenied", "Access Denied")),
    "skewed": ("403 Forbidden", ERROR.format("RequestTimeTooSkewed", "The difference between the times is too large.")),
}


class Quiet(WSGIRequestHandler):
    def log(self, *words: object) -> None:
        pass


class S3Server:
    """`fault` gets method and path of a request and returns what goes wrong with it: a key of `ANSWERS`, "slow", "cut"
    (the request is not handled), "lost" (it is, but the answer is cut off), "unconditional", or None."""

    def __init__(self) -> None:
        self.fault: Callable[[str, str], str | None] = lambda method, path: None
        self._app = DomainDispatcherApplication(create_backend_app)
        self._writing = threading.Lock()  # S3's writes are atomic; moto compares and writes in two steps
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }
        self.thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.thread.join()

    def client(self) -> Any:
        """The AWS SDK's client, for a look from outside."""
        return boto3.client("s3", endpoint_url=self.url, aws_access_key_id="me", aws_secret_access_key="secret")

    def content(self, bucket: str, folder: str) -> dict[str, bytes]:
        """All files of a folder, as the AWS SDK reads them."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {
            key.removeprefix(f"{folder}/"): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys
        }

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        kind = self.fault(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if kind in ANSWERS:
            status, text = ANSWERS[kind]
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
            return [text.encode()]
        if kind == "slow":
            time.sleep(0.2)
        if kind == "unconditional":
            environ.pop("HTTP_IF_NONE_MATCH", None)
            environ.pop("HTTP_IF_MATCH", None)
        if kind != "cut":
            if environ["REQUEST_METHOD"] in ("PUT", "DELETE"):
                with self._writing:
                    answer = list(self._app(environ, start))
            else:
                answer = list(self._app(environ, start))
        if kind in ("cut", "lost"):
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(2)
            raise ConnectionError("cut")
        return answer


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server with a bucket named "bucket"; the environment says how to reach it."""
    server = S3Server()
    server.thread.start()
    connect.cache_clear()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment.items():
                patch.setenv(name, value)
            with urlopen(f"{server.url}/moto-api/reset", b""):  # or it has the buckets of servers before it
                pass
            server.client().create_bucket(Bucket="bucket")
            yield server
    finally:
        server.stop()
        connect.cache_clear()
