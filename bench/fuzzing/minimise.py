"""Makes a request that shows a fault as small as it gets, by leaving things out while it still does."""

from collections.abc import Callable, Iterator

from bench.fuzzing.wire import Request

TRIES = 250


def minimised(request: Request, fails: Callable[[Request], bool]) -> Request | None:
    """The smallest request found that fails like this one; None if this one itself does not, sent again."""
    if not fails(request):
        return None
    tries, is_smaller = TRIES, True
    while is_smaller and tries > 0:
        is_smaller = False
        for candidate in _smaller(request):
            tries -= 1
            if fails(candidate):
                request, is_smaller = candidate, True
                break
            if tries <= 0:
                break
    return request


def _smaller(request: Request) -> Iterator[Request]:
    """Large cuts first."""
    for index in range(len(request.headers)):
        yield request.with_(headers=request.headers[:index] + request.headers[index + 1 :])
    if request.query:
        yield request.with_(query="")
        pairs = request.query.split("&")
        for index in range(len(pairs)):
            if len(pairs) > 1:
                yield request.with_(query="&".join(pairs[:index] + pairs[index + 1 :]))
    size = len(request.body)
    while size:
        for at in range(0, len(request.body), size):
            yield request.with_(body=request.body[:at] + request.body[at + size :])
        size //= 2
