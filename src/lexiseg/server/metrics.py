"""Counts and times of requests, as Prometheus reads them."""

from collections import Counter, defaultdict
from collections.abc import Mapping

BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram of seconds."""


class Metrics:
    """What has been asked since the server began. Each count has one thread that writes it."""

    def __init__(self) -> None:
        """Counts from 0."""
        self.encodes = 0
        """Pictures that the model has looked at; its thread counts."""
        self.answers = 0
        """Questions that it has answered; its thread counts."""
        self._requests: Counter[tuple[str, int]] = Counter()
        self._below: defaultdict[str, Counter[float]] = defaultdict(Counter)
        self._seconds: Counter[str] = Counter()

    def add(self, route: str, status: int, seconds: float) -> None:
        """Counts a request; for the event loop.

        Args:
            route: as it is declared, never as it was typed, so that there are few.
            status: of HTTP.
            seconds: until the answer was out.
        """
        self._requests[route, status] += 1
        self._seconds[route] += seconds  # type: ignore[assignment]
        self._below[route].update(bound for bound in BUCKETS if seconds <= bound)

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """All as text.

        Args:
            gauges: what is measured now: its name, what it means, and its value.
        """
        lines = _head("requests_total", "counter", "Requests by route and status.")
        for (route, status), count in sorted(self._requests.items()):
            lines.append(f'lexiseg_requests_total{{route="{route}",status="{status}"}} {count}')
        lines += _head("request_seconds", "histogram", "Seconds until the answer was out.")
        for route, seconds in sorted(self._seconds.items()):
            count = sum(n for (other, _), n in self._requests.items() if other == route)
            for bound, below in [*((f"{b:g}", self._below[route][b]) for b in BUCKETS), ("+Inf", count)]:
                lines.append(f'lexiseg_request_seconds_bucket{{route="{route}",le="{bound}"}} {below}')
            lines.append(f'lexiseg_request_seconds_sum{{route="{route}"}} {seconds:.6f}')
            lines.append(f'lexiseg_request_seconds_count{{route="{route}"}} {count}')
        lines += [*_head("encodes_total", "counter", "Pictures encoded."), f"lexiseg_encodes_total {self.encodes}"]
        lines += [*_head("answers_total", "counter", "Questions answered."), f"lexiseg_answers_total {self.answers}"]
        for name, (means, value) in gauges.items():
            lines += [*_head(name, "gauge", means), f"lexiseg_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, means: str) -> list[str]:
    return [f"# HELP lexiseg_{name} {means}", f"# TYPE lexiseg_{name} {kind}"]
