"""Counts and times as Prometheus reads them."""

import re
from typing import Any

from starlette.testclient import TestClient

from lexiseg.server.metrics import BUCKETS, Metrics

LINE = re.compile(r'(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? [-+.e\d]+)')


def values(text: str) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_every_line_is_one_that_prometheus_reads(client: TestClient) -> None:
    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert [line for line in answer.text.splitlines() if not LINE.fullmatch(line)] == []


def test_requests_are_counted_by_route_and_status_and_in_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.3, 100.0):
        metrics.add("/v1/encode", 200, seconds)
    metrics.add("/v1/encode", 413, 0.04)
    metrics.add("other", 404, 0.001)

    told = values(metrics.text({"ready": ("Whether.", True)}))

    assert told['lexiseg_requests_total{route="/v1/encode",status="200"}'] == 3
    assert told['lexiseg_requests_total{route="/v1/encode",status="413"}'] == 1
    below = [told[f'lexiseg_request_seconds_bucket{{route="/v1/encode",le="{bound:g}"}}'] for bound in BUCKETS]
    assert below == [1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    assert told['lexiseg_request_seconds_bucket{route="/v1/encode",le="+Inf"}'] == 4
    assert told['lexiseg_request_seconds_count{route="/v1/encode"}'] == 4
    assert told['lexiseg_request_seconds_sum{route="/v1/encode"}'] == 100.341
    assert told["lexiseg_ready"] == 1


def test_pictures_and_questions_are_counted_and_addresses_make_no_names(client: TestClient, png: bytes) -> None:
    before = values(client.get("/metrics").text)
    handle = client.post("/v1/encode", files={"picture": png}).json()["handle"]
    client.post("/v1/segment", json={"handle": handle, "vocabulary": "octopus"})
    client.get('/what"ever{')

    after = values(client.get("/metrics").text)

    def grown(name: str) -> Any:
        return after[name] - before.get(name, 0)

    assert (grown("lexiseg_encodes_total"), grown("lexiseg_answers_total")) == (1, 1)
    assert grown("lexiseg_cache_pictures") == 1
    assert grown("lexiseg_cache_bytes") > 160 * 160 * 3
    assert grown('lexiseg_requests_total{route="other",status="404"}') == 1
    assert after["lexiseg_queue_length"] == after["lexiseg_upload_bytes"] == 0
    assert not any("ever" in name for name in after)
