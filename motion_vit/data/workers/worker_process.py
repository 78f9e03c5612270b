"""Worker setup: ignore Ctrl-C and exit with the parent."""

import functools
import multiprocessing
import os
import signal
import threading


@functools.cache
def settle_worker() -> None:
    """Sets up a worker process; does nothing in other processes or when called again.

    Ctrl-C reaches every process of a terminal, but only the one started by hand should answer it. A killed parent
    cannot tell its workers to stop, so they watch for its end.
    """
    parent = multiprocessing.parent_process()
    if parent is None or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
