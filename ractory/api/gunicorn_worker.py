"""gunicorn's `gthread`, which stops listening at once when it is to stop. Its own goes on until the last request is
answered, and what has connected meanwhile is reset: a proxy that has sent its request can't try another host."""

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
