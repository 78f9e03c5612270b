"""Decodes videos in processes of their own, which can be ended at any moment and may crash.

FFmpeg cannot be told to stop in the middle of a picture, and what it is given here comes from strangers. So the limit
of time is kept by killing the process that decodes, and a crash costs one request. The processes are forked from a
server process that has imported what they need, so that a new one takes milliseconds.
"""

import contextlib
import multiprocessing
import signal
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from motion_vit.data.batches.batch import settle_reader
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.decoded_video import DecodedVideo, decode_video
from motion_vit.data.batches.window_views import WindowReader, Windows, WindowViews
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.errors import UserError

_CONTEXT = multiprocessing.get_context("forkserver")


class StoppedError(Exception):
    """Raised in the thread of a request that was stopped."""


class DecodingProcess:
    """A process that decodes one video after the other.

    Raises:
      UserError: the system starts none.
    """

    def __init__(self) -> None:
        _CONTEXT.set_forkserver_preload([__name__])
        self.connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_decode_until_closed, args=(theirs,), daemon=True)
        try:
            self._process.start()
        except OSError as error:
            # Its socket is a temporary file, of whose path systems take about a hundred letters.
            raise UserError(
                f"a process that decodes cannot be started: {error.strerror or error}. Temporary files lie in "
                f"{tempfile.gettempdir()}; if that path is long, set TMPDIR to a shorter one, such as /tmp."
            ) from error
        theirs.close()

    def is_alive(self) -> bool:
        """Tells if the process still runs: one that waits may have been killed, as for want of memory."""
        return self._process.is_alive()

    def wait(self) -> None:
        """Waits until the process has started.

        Raises:
          UserError: it ended instead.
        """
        try:
            self.connection.send((_greet,))
            self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise UserError(
                f"a process that decodes has ended {self.ending()} as it started: memory may have run out. (In a "
                'script of your own, start the server below `if __name__ == "__main__":`, as these processes import '
                "the script.)"
            ) from error

    def kill(self) -> None:
        """Ends the process, whatever it does; whoever waits for it gets `EOFError`."""
        self._process.kill()

    def ending(self) -> str:
        """Says in words how the process has ended by itself."""
        # One that crashes closes its pipe a moment before it has ended.
        self._process.join(timeout=1.0)
        status = self._process.exitcode
        if status is not None and status < 0:
            return f"by the signal {signal.Signals(-status).name}"
        return f"with the status {status}"

    def close(self) -> None:
        """Ends the process and lets go of it."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.connection.close()


class DecodingProcesses:
    """Processes to take and give back; they are started when they are needed, and kept."""

    def __init__(self) -> None:
        self._idle: list[DecodingProcess] = []
        self._lock = threading.Lock()

    def take(self) -> DecodingProcess:
        """Returns a process that waits for a video."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                process.close()
        return DecodingProcess()

    def start(self, number: int) -> None:
        """Starts processes, and waits until they have started.

        Args:
          number: how many.
        """
        started = [DecodingProcess() for _ in range(number)]
        for process in started:
            process.wait()
            self.give_back(process)

    def give_back(self, process: DecodingProcess) -> None:
        """Keeps a process that has sent all that it was asked for.

        Args:
          process: of `take`.
        """
        with self._lock:
            self._idle.append(process)

    def close(self) -> None:
        """Ends the processes that wait."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


class Decoding:
    """The decoding of one request, which any thread may stop.

    Args:
      processes: where to take a process from.
    """

    def __init__(self, processes: DecodingProcesses) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._running: DecodingProcess | None = None
        self._stopped = False

    def stop(self) -> None:
        """Kills the process that decodes for this request, now or as soon as there is one."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.kill()

    def decode(
        self, video: NamedVideo, options: ClipOptions, *, clips: int, crops: int, with_rate: bool
    ) -> DecodedVideo:
        """Does what `motion_vit.data.batches.decoded_video.decode_video` does, in a process.

        Args:
          video: as there.
          options: as there.
          clips: as there.
          crops: as there.
          with_rate: as there.

        Returns:
          The views, or the reason why there are none; a crash is such a reason.

        Raises:
          StoppedError: `stop` was called.
        """
        try:
            with self._asked(video.path, _views, video, options, clips, crops, with_rate) as receive:
                decoded: DecodedVideo = receive()
                return decoded
        except VideoDecodeError as error:
            return DecodedVideo(video, None, error=error.reason)

    def open_windows(
        self, video: str, options: ClipOptions, windows: Windows, *, clips: int, crops: int
    ) -> "_RemoteWindows":
        """Does what `motion_vit.data.batches.window_views.WindowReader` does, in a process.

        Args:
          video: as there.
          options: as there.
          windows: as there.
          clips: as there.
          crops: as there.

        Returns:
          The windows, to be iterated over once.

        Raises:
          VideoDecodeError: as there, or the process crashed.
          StoppedError: `stop` was called.
        """
        answers = self._window_answers(video, options, windows, clips, crops)
        length, frame_rate = next(answers)
        return _RemoteWindows(length, frame_rate, answers)

    def _window_answers(self, video: str, *request: Any) -> Iterator[Any]:
        with self._asked(video, _windows, video, *request) as receive:
            while (answer := receive()) is not None:
                yield answer

    @contextlib.contextmanager
    def _asked(self, video: str, *request: Any) -> Iterator[Any]:
        """Sends a request to a process; the process lives on only if all answers are taken."""
        process = self._processes.take()
        finished = False

        def receive() -> Any:
            answer = process.connection.recv()
            if isinstance(answer, VideoDecodeError):
                raise answer
            return answer

        try:
            with self._lock:
                self._running = process
                if self._stopped:
                    raise StoppedError
            process.connection.send(request)
            yield receive
            finished = True
        except VideoDecodeError:
            finished = True
            raise
        except (EOFError, ConnectionError) as error:
            if self._stopped:
                raise StoppedError from error
            reason = f"the decoder crashed on it: its process ended {process.ending()}; convert it to H.264 mp4"
            raise VideoDecodeError(video, reason) from error
        finally:
            with self._lock:
                self._running = None
            if finished and not self._stopped:
                self._processes.give_back(process)
            else:
                process.close()


class _RemoteWindows:
    """The windows that a process reads; a `WindowSource`."""

    def __init__(self, length: int, frame_rate: float, answers: Iterator[WindowViews]) -> None:
        self._length, self.frame_rate, self._answers = length, frame_rate, answers

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[WindowViews]:
        return self._answers


def _decode_until_closed(connection: Connection) -> None:
    """Answers requests in a process of its own."""
    settle_reader()
    # A service manager sends it to all processes of a service, and what runs is to be finished.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, *request = connection.recv()
            try:
                function(connection, *request)
            except VideoDecodeError as error:
                connection.send(error)


def _greet(connection: Connection) -> None:
    connection.send(None)


def _views(
    connection: Connection, video: NamedVideo, options: ClipOptions, clips: int, crops: int, with_rate: bool
) -> None:
    connection.send(decode_video(video, options, clips=clips, crops=crops, with_rate=with_rate))


def _windows(
    connection: Connection, video: str, options: ClipOptions, windows: Windows, clips: int, crops: int
) -> None:
    with unexpected_as_decode_error(video):
        reader = WindowReader(video, options, windows, clips=clips, crops=crops)
    connection.send((len(reader), reader.frame_rate))
    for views in reader:
        connection.send(views)
    connection.send(None)
