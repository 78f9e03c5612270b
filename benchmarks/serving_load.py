"""Loads a server of `motion-vit serve` with requests, and prints how fast they are answered.

    python benchmarks/serving_load.py                                     # the demo's model, rendered videos
    python benchmarks/serving_load.py --checkpoint runs/my_videos --video clip.mp4 --clients 1 4 16 --repeats 5

It starts the server itself, at a free port of this machine, and ends it. Clients send one request after the other, each
over its own connections, and share the number of requests. Rounds of all numbers of clients follow each other, and are
repeated; the table has the median over the repeats, with the least and the greatest in brackets. Processor time (Linux)
is that of the server and the processes that decode for it: on a machine with other work it varies less than the rest.
"""

import argparse
import dataclasses
import http.client
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence

from run_conditions import conditions, conditions_line

COMMAND = [sys.executable, "-c", "import sys; from motion_vit.cli import main; sys.exit(main())"]
START_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Round:
    """The measurements of a round.

    Attributes:
      rate: answers a second.
      median: of the seconds of a request.
      slow: the 99th percentile of them.
      errors: answers that are not 200, and requests without any.
      processor: seconds of processor time of the server for each request.
    """

    rate: float
    median: float
    slow: float
    errors: int
    processor: float


def ask(port: int, body: bytes, seconds: float) -> int:
    """Sends a video to a server of this machine.

    Args:
      port: of the server.
      body: the video.
      seconds: limit of time.

    Returns:
      The status; 0 where there is no answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST", "/predict", body)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def load(port: int, bodies: Sequence[bytes], clients: int, requests: int, seconds: float, session: int) -> Round:
    """Sends requests from several clients.

    Args:
      port: of the server.
      bodies: videos, sent in turn.
      clients: threads that send.
      requests: to be sent by all of them together.
      seconds: after which no more are sent.
      session: of the processes of the server.

    Returns:
      What was measured.
    """
    numbers = iter(range(requests))
    lock, times, statuses = threading.Lock(), list[float](), list[int]()
    before = processor_seconds(session)
    begun = time.perf_counter()

    def send() -> None:
        while time.perf_counter() - begun < seconds:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            started = time.perf_counter()
            status = ask(port, bodies[number % len(bodies)], seconds)
            with lock:
                times.append(time.perf_counter() - started)
                statuses.append(status)

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    times.sort()
    good = sum(status == 200 for status in statuses)
    return Round(
        rate=good / took,
        median=statistics.median(times),
        slow=times[min(len(times) - 1, round(0.99 * len(times)))],
        errors=len(statuses) - good,
        processor=(processor_seconds(session) - before) / len(statuses),
    )


def processor_seconds(session: int) -> float:
    """Adds up the processor time of all processes of a session.

    Args:
      session: its number.

    Returns:
      Seconds; 0.0 where there is no /proc.
    """
    ticks = 0
    for file in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rendered_videos(folder: pathlib.Path) -> list[bytes]:
    """Renders a few videos of the embedded dataset.

    Args:
      folder: for them.

    Returns:
      Their bytes.
    """
    subprocess.run(
        [*COMMAND, "render", "--out", str(folder / "videos"), "--train", "10", "--validation", "10"],
        check=True,
        capture_output=True,
    )
    return [path.read_bytes() for path in sorted((folder / "videos" / "videos" / "validation").iterdir())]


def table(rounds: dict[int, list[Round]]) -> str:
    """Makes the table.

    Args:
      rounds: number of clients -> what each repeat measured.

    Returns:
      Markdown.
    """
    lines = [
        "| clients | requests/s | p50, ms | p99, ms | errors | processor, ms/request |",
        "|---|---|---|---|---|---|",
    ]
    for clients, found in rounds.items():
        cells = [
            spread([one.rate for one in found]),
            spread([1000 * one.median for one in found]),
            spread([1000 * one.slow for one in found]),
            str(sum(one.errors for one in found)),
            spread([1000 * one.processor for one in found]),
        ]
        lines.append(f"| {clients} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Writes the median, and the least and the greatest in brackets."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", default="demo")
    parser.add_argument("--video", type=pathlib.Path, nargs="*", default=[], help="default: rendered ones")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--requests", type=int, default=100, help="of a round; default: 100")
    parser.add_argument("--seconds", type=float, default=60.0, help="the most a round may take; default: 60")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=2, help="of the server; default: 2")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark.

    Args:
      arguments: the command line.

    Raises:
      SystemExit: the server does not start.
    """
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bodies = [path.read_bytes() for path in options.video] or rendered_videos(pathlib.Path(folder))
    print(conditions_line(conditions()))
    command = [*COMMAND, "serve", "--checkpoint", options.checkpoint, "--port", "0"]
    command += ["--concurrency", str(options.concurrency), "--queue", str(max(options.clients))]
    # A session of its own, by which its processes are told from others.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
        timer = threading.Timer(START_SECONDS, server.kill)
        timer.start()
        try:
            assert server.stdout is not None
            found = re.search(r"at http://127\.0\.0\.1:(\d+);", server.stdout.readline())
            if found is None or server.stdout.readline() != "ready\n":
                raise SystemExit("the server did not start; its message is above.")
            timer.cancel()
            port = int(found[1])
            for body in bodies:
                ask(port, body, options.seconds)
            rounds: dict[int, list[Round]] = {clients: [] for clients in options.clients}
            for _ in range(options.repeats):
                for clients, measured in rounds.items():
                    measured.append(load(port, bodies, clients, options.requests, options.seconds, server.pid))
        finally:
            timer.cancel()
            server.send_signal(signal.SIGTERM)
    print(table(rounds))


if __name__ == "__main__":
    main(sys.argv[1:])
