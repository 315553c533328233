"""gunicorn's `gthread`, which stops listening at once when it is to stop.

Its own keeps the socket open until the last request is answered: the kernel goes on taking connections, and resets them
in the end. A proxy has sent its request by then, so it can't try another host: each restart was a handful of errors.
"""

from contextlib import suppress

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled or self.alive:  # it has as many connections as it may, for the moment
            return
        for listener in self.sockets:
            connections = -1
            while connections < self.nr_conns:  # those that the kernel has taken already
                connections = self.nr_conns
                with suppress(OSError):
                    self.accept(listener)
            listener.close()
