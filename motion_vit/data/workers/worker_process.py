"""What every process owes the one that started it, to work for it."""

import functools
import multiprocessing
import os
import signal
import threading


@functools.cache
def settle_worker() -> None:
    """Sets up a worker process; the second call and calls in other processes do nothing.

    Ctrl-C reaches every process of a terminal, but only the one that was started by hand is to answer it. A worker ends
    with its parent, which cannot tell it to when it is killed.
    """
    parent = multiprocessing.parent_process()
    if parent is None or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
