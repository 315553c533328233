"""The networks that a key may be used from: CIDR, IPv4 and IPv6."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

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
