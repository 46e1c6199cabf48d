"""Who may ask, and what every answer says to browsers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from lexiseg.core.errors import UsageError
from lexiseg.server.settings import Limits, Settings

TOKEN = "0123456789abcdef"
ELSEWHERE = "https://page.example"


def raising(error: Exception) -> None:
    raise error


@pytest.fixture(scope="module")
def closed(serving: Any) -> Iterator[TestClient]:
    """A client of a server that asks for a token."""
    with serving(token=TOKEN, is_ready=False) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1", "a b"])
def test_a_server_of_this_machine_answers_under_its_own_names_only(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"Host": host})

    assert answer.status_code == 400
    assert "name of this machine" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000"])
def test_its_own_names_are_these(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_an_open_server_answers_under_numbers_and_its_own_names_so_that_no_page_lends_it_another(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box")
    monkeypatch.setattr("socket.getfqdn", lambda: "box.lab.example")
    own = ["192.168.0.7:8000", "[fe80::1]:8000", "localhost", "box", "BOX.local", "box.lab.example", "page.example:1"]
    others = ["evil.example", "box.evil.example", "192.168.0.7.evil.example", "lab.example", "", "[::1"]

    with serving(host="0.0.0.0", origins=(ELSEWHERE,), is_ready=False) as client:
        statuses = [client.get("/healthz", headers={"Host": host}).status_code for host in own + others]

    assert statuses == [200] * len(own) + [400] * len(others)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_token_makes_every_name_safe(serving: Any, host: str) -> None:
    with serving(host=host, token=TOKEN, is_ready=False) as client:
        assert client.get("/healthz", headers={"Host": "anything.example"}).status_code == 200
        assert client.get("/v1/limits", headers={"Host": "anything.example"}).status_code == 401


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://127.0.0.1:9999", "http://localhost", "http://[x"])
def test_pages_from_elsewhere_may_not_post(client: TestClient, origin: str) -> None:
    answer = client.post("/v1/segment", json={"vocabulary": "cat"}, headers={"Origin": origin})

    assert answer.status_code == 403
    assert "--cors" in answer.json()["error"]


def test_its_own_page_may_post(client: TestClient) -> None:
    answer = client.post("/v1/segment", json={"vocabulary": "cat"}, headers={"Origin": "http://127.0.0.1:8000"})

    assert answer.status_code == 422


def test_listed_pages_may_post_read_errors_and_reach_it_by_their_name(serving: Any) -> None:
    asking = {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"}
    with serving(origins=(ELSEWHERE,), is_ready=False) as client:
        before = client.options("/v1/segment", headers=asking | {"Access-Control-Request-Headers": "authorization"})
        answer = client.post("/v1/encode", json={}, headers={"Origin": ELSEWHERE})
        named = client.get("/healthz", headers={"Host": "page.example"})
        other = client.options("/v1/segment", headers=asking | {"Origin": "https://other.example"})

    assert before.status_code == named.status_code == 200
    assert before.headers["access-control-allow-origin"] == ELSEWHERE
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (415, ELSEWHERE)
    assert "access-control-allow-origin" not in other.headers


def test_without_a_list_no_page_is_told_that_it_may_read(client: TestClient) -> None:
    answer = client.get("/v1/limits", headers={"Origin": ELSEWHERE})

    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/v1/limits", "/metrics", "/v1/vocabularies/coco", "/v1/nothing"])
def test_a_token_is_asked_for(closed: TestClient, path: str) -> None:
    wrong = [{}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"}]
    refused = [closed.get(path, headers=headers) for headers in wrong]
    refused.append(closed.get(path, headers=[(b"Authorization", b"Bearer \xff\xfe")]))
    right = closed.get(path, headers={"Authorization": f"bearer {TOKEN}"})

    assert {answer.status_code for answer in refused} == {401}
    assert {answer.headers["www-authenticate"] for answer in refused} == {"Bearer"}
    assert "token" in refused[0].json()["error"]
    assert right.status_code == (404 if path == "/v1/nothing" else 200)


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/v1/examples", "/v1/examples/bee"])
def test_what_browsers_load_by_themselves_needs_no_token(closed: TestClient, path: str) -> None:
    assert closed.get(path).status_code == 200


def test_every_answer_keeps_browsers_safe(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/healthz", "/nothing", "/docs")]
    answers += [client.get("/healthz", headers={"Host": "evil.example"}), client.post("/v1/encode", content=b"x")]

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-eval" not in answer.headers["content-security-policy"]


def test_what_nobody_foresaw_is_one_sentence_for_the_client_and_a_report_for_the_log(
    serving: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a secret of the house")

    with serving() as client:
        monkeypatch.setattr(client.app.state.service.cache, "get", broken)
        failed = client.post("/v1/segment", json={"handle": "0" * 32, "vocabulary": "cat"})

    assert failed.status_code == 500
    assert "secret" not in failed.text
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        (lambda _: torch.empty(10**16), 413),
        (lambda _: np.empty(10**16), 413),
        (lambda _: bytearray(2**62), 413),
        (lambda _: raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")), 413),
        (lambda _: raising(RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)")), 413),
        (lambda _: raising(RuntimeError("can't allocate a name")), 500),
        (lambda _: raising(KeyError("out of memory")), 500),
    ],
)
def test_what_does_not_fit_into_memory_is_too_large_and_one_line_of_the_log(
    serving: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, fails: Any, status: int
) -> None:
    with serving() as client:
        monkeypatch.setattr(client.app.state.service.cache, "get", fails)
        answer = client.post("/v1/segment", json={"handle": "0" * 32, "vocabulary": "cat"})

    assert answer.status_code == status
    assert ("memory" in answer.json()["error"]) == (status == 413)
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert (record.exc_info is None) == (status == 413)


@pytest.mark.parametrize("token", ["", "short", "spaces in a long token", "ümläute-ümläute-ümläute"])
def test_a_token_that_is_easily_guessed_or_no_header_holds_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        Settings(token=token)


@pytest.mark.parametrize("origin", ["*", "example.org", "https://example.org/", "https://a@b", "null", "https://a b"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(UsageError, match="origin"):
        Settings(origins=(origin,))


def test_a_cache_must_hold_the_largest_picture() -> None:
    with pytest.raises(UsageError, match="--cache-bytes 300000000"):
        Limits(cache_bytes=2**20)
