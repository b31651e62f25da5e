"""The worker's command line: where it does not send its key, and what it sees to before it takes a job."""

import http.server
import json
import threading
from dataclasses import asdict

import pytest

from edgelm.data import miniature
from edgelm.plugins import parse

pytest.importorskip("httpx", reason="the extra `server` is not installed")


@pytest.mark.parametrize(
    "server", ["http://contest.example.org", "http://10.0.0.7:8000", "http://127.0.0.1.example.org"]
)
def test_its_key_goes_nowhere_unencrypted(edgelm, tmp_path, server):
    code, _, said = edgelm("worker", "--server", server, "--key-file", tmp_path / "key", "--folder", tmp_path)
    assert code != 0 and "not encrypted" in said and "--insecure" in said


@pytest.mark.parametrize("words", [("http://127.0.0.1:1",), ("http://localhost:1",), ("https://contest.example.org",),
                                   ("http://contest.example.org", "--insecure")])  # fmt: skip
def test_on_this_machine_and_over_https_or_where_it_may_it_goes_on_to_read_it(edgelm, tmp_path, words):
    code, _, said = edgelm("worker", "--server", *words, "--key-file", tmp_path / "key", "--folder", tmp_path)
    assert code != 0 and "key" in said and "not encrypted" not in said


@pytest.fixture
def serving():
    """`serving(rules)`: the address of a server with these rules, which knows no worker; and what it was asked."""
    asked, rules = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(200, [{"rules": asdict(rules[0])}])

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(401, {"what": "who asks must say who they are", "why": "", "mend": "log in"})

        def answer(self, status, body):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def start(spec):
            rules[:] = [parse("rules", spec)]
            return f"http://127.0.0.1:{server.server_port}", asked

        yield start
        server.shutdown()
        thread.join()


@pytest.fixture
def worker(edgelm, tmp_path, monkeypatch):
    """`worker(url, "--data", …)`: as `edgelm`, without a box and with some key."""
    monkeypatch.delenv("EDGELM_DATA", raising=False)
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "key").write_text("edgelm_w_x")
    return lambda url, *words: edgelm("worker", "--server", url, "--key-file", tmp_path / "key", "--folder",
                                      tmp_path / "work", "--unsafe-no-sandbox", *words)  # fmt: skip


def test_a_key_that_the_server_does_not_know_ends_it_and_names_the_option(worker, serving, tmp_path):
    miniature.write(tmp_path / "data", rows=4, train_rows=1000)
    url, asked = serving("miniature")
    code, _, said = worker(url, "--data", tmp_path / "data")
    assert code == 2 and "mend: give, by --key-file," in said and asked == ["/rules", "/jobs/lease"]


@pytest.mark.parametrize("rules", ["neurips-2024", "miniature"])
def test_without_the_data_of_the_rules_it_takes_no_job(worker, serving, tmp_path, rules):
    url, asked = serving(rules)
    code, _, said = worker(url)
    assert code == 2 and "--data" in said and asked == ["/rules"]
    miniature.write(tmp_path / "data", rows=4, train_rows=1000)
    (tmp_path / "data" / "exemplars.json").unlink()
    code, _, said = worker(url, "--data", tmp_path / "data")
    assert code == 2 and asked == ["/rules"] * 2
    assert ("the rules ask for opencompass" if rules == "neurips-2024" else "lacks exemplars.json") in said
