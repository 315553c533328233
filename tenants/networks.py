"""Where a request comes from, which limits on logins go by, and the networks that a key may be used from: CIDR."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address

MAX_NETWORKS = 50
MAX_LENGTH = MAX_NETWORKS * (len("ffff:" * 8) + len("/128"))  # of the longest ones


def networks_in(text: str) -> list[IPv4Network | IPv6Network]:
    """The networks of a list that is separated by commas or white space, each once; a bare address is one of its own.
    Raises ValueError, in words for a person, at the first that is none, and for more than 50."""
    networks = list(dict.fromkeys(_network(word) for word in text.replace(",", " ").split()))
    if len(networks) > MAX_NETWORKS:
        raise ValueError(f"{len(networks)} networks; a key has at most {MAX_NETWORKS}")
    return networks


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        loose = ip_network(word, strict=False)
    except ValueError as error:
        raise ValueError(f"not an address or network: {word[:60]!r}; write 192.0.2.0/24 or 2001:db8::/32") from error
    if isinstance(loose.network_address, IPv6Address) and loose.network_address.ipv4_mapped:
        raise ValueError(f"an IPv4 network, as IPv6: {word!r}; write it as IPv4")
    try:
        return ip_network(word)
    except ValueError as error:
        raise ValueError(f"{word} is an address within a network; the network is {loose}") from error


def client_address(request: HttpRequest) -> Address | None:
    """The client's address, an IPv4 one also where it comes as IPv6. None on a socket of the file system. Behind n
    TRUSTED_PROXIES, each of which appends its peer to `X-Forwarded-For`, it is the n-th entry from the right: what
    stands left of it is the client's own invention. If there are fewer entries, it is the peer."""
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
