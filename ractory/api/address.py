"""Where a request comes from: the address that a key's networks and the limits on logins go by."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address


def client_address(request: HttpRequest) -> Address | None:
    """The client's address, an IPv4 one also where it comes as IPv6. None on a socket of the file system.

    Behind n TRUSTED_PROXIES, each of which appends its peer to `X-Forwarded-For`, it is the n-th entry from the right:
    what stands left of it is the client's own invention. If there are fewer entries, it is the peer.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    proxies = settings.TRUSTED_PROXIES
    written = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    text = peer if len(written) < proxies else [*written, peer][-1 - proxies]
    bare = text.partition("%")[0]
    if bare.startswith("["):  # some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
