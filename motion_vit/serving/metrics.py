"""Counts requests for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counts of a server.

    Attributes:
      requests: requests by `path`, one of the server's or "other", and `status`.
      seconds: histogram of seconds from the headers of a request to its answer, by `path`.
      open: requests that are being answered, uploads included.
      running: videos that are being decoded and classified.
      waiting: videos that wait for that.
      upload_bytes: bytes of videos that were received.
      ready: 1 once the model is compiled.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "motion_vit_requests", "Requests answered.", ["path", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "motion_vit_request_seconds",
            "Seconds from the headers of a request to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.open = Gauge("motion_vit_requests_open", "Requests being answered.", registry=self._registry)
        self.running = Gauge("motion_vit_videos_running", "Videos being classified.", registry=self._registry)
        self.waiting = Gauge("motion_vit_videos_waiting", "Videos waiting for that.", registry=self._registry)
        self.upload_bytes = Counter("motion_vit_upload_bytes", "Bytes of videos received.", registry=self._registry)
        self.ready = Gauge("motion_vit_ready", "1 once the model is compiled.", registry=self._registry)

    def text(self) -> bytes:
        """Writes them in Prometheus' format."""
        return generate_latest(self._registry)
