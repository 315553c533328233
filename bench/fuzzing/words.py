"""Values that programs trip over, and what can be done to bytes: the fuzzer's vocabulary."""

import gzip
import random
import zlib
from collections.abc import Callable, Sequence

NIL, MAX = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"

# JSON values, and what only looks like one, as they stand in a body.
TOKENS: tuple[bytes, ...] = (
    *(b"null", b"true", b"false", b"[]", b"{}", b'""', b'" "', b"0", b"-0", b"-0.0", b"1", b"-1", b"1.0", b"1.5"),
    *(b"1e400", b"-1e400", b"1e-400", b"1E5", b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b".5", b"5.", b"0x10"),
    *(b"2147483647", b"2147483648", b"-2147483648", b"-2147483649", b"4294967296", b"1099511627776"),
    *(b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"2147483647.0", b"2147483648.0"),
    *(b"9" * 400, b"1" * 5000, b"0." + b"1" * 3000, b'"' + b"9" * 400 + b'"', b'"' + b"1" * 5000 + b'"'),
    *(b'"1200"', b'" 12 "', b'"1200.0"', b'"1e3"', b'"0x10"'),
    *(b'"\xd9\xa3"', b'"\xc2\xb2"', b'"true"', b'"yes"', b'"abc"'),
    *(b'"\\u0000"', b'"a\\u0000b"', b'"\\ud800"'),
    *(b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\xed\xa0\x80"', b'"\xff"'),
    *(b'"\\"', b'"\\x"', b'"\\u12"', b'"a\nb"', b'"\x00"', b'"\\n\\r\\t\\b\\f"', b'"\\u2028\\ufeff\\u202e"'),
    *(b'"' + b"x" * 255 + b'"', b'"' + b"x" * 256 + b'"', b'"' + b"x" * 4000 + b'"', b'"' + b"x" * 4001 + b'"'),
    *(b'"' + "ü".encode() * 255 + b'"', b'"' + "😀".encode() * 256 + b'"', b'"' + b"x" * 70_000 + b'"'),
    *(b'"' + NIL.encode() + b'"', b'"' + MAX.encode() + b'"', b'"urn:uuid:' + NIL.encode() + b'"'),
    *(b'"{' + NIL.encode() + b'}"', b'"' + NIL.replace("-", "").encode() + b'"', b'"' + NIL[:-1].encode() + b'"'),
    *(b'"2026-05-01"', b'"2026-05-01T10:00:00Z"', b'"2026-05-01T10:00:00+25:00"', b'"0001-01-01T00:00:00+14:00"'),
    *(b'"9999-12-31T23:59:59-12:00"', b'"2026-02-30"', b'"20260501"', b'"10000-01-01"', b'"24:00"', b'"12"', b'"-1"'),
    *(b'"aGFsbG8="', b'"aGFsbG8"', b'"===="', b'"a"', b'"a GFs"', b'"' + b"QUFB" * 30_000 + b'"'),
    *(b"[" * 200, b"[" * 200 + b"]" * 200, b'{"a":' * 150 + b"1" + b"}" * 150, b"[[[[[[1]]]]]]", b'[{"guid":1}]'),
    *(b'{"piece_id":"1"}', b'["' + NIL.encode() + b'"]', b"'single'", b"undefined"),
    *(b"//", b"/* */ 1", b"", b"\xef\xbb\xbf1"),
)  # fmt: skip
RARE: tuple[Callable[[], bytes], ...] = (
    lambda: b'"' + b"x" * 1_000_000 + b'"',
    lambda: b"[" * 100_000,
    lambda: b'{"a":' * 100_000,
    lambda: b"7" * 200_000,
    lambda: b'"' + b"QUFB" * 100_000 + b'"',
    lambda: b'"' + b"\\u0000" * 50_000 + b'"',
)
STRINGS = tuple(token for token in TOKENS if token.startswith(b'"'))
SCALARS = tuple(token for token in TOKENS if not token.startswith((b'"', b"[", b"{")))
PUNCTUATION = (
    *(bytes([code]) for code in b'"\\{}[],:0-.eE \n\x00\xff\x80'),
    b'":',
    b"},{",
    b"\\u0000",
    b"\\ud800",
    b"{}",
)

# What stands in a header, a parameter or a path.
TEXTS: tuple[str, ...] = (
    *("", " ", "0", "1", "-1", "true", "false", "null", "None"),
    *("nan", "inf", "abc", "*", "%", "%%", "_", "\\", "'", '"'),
    *("' OR 1=1 --", "$(id)", "{{7*7}}", "${jndi:ldap://x}"),
    *("<script>", "../../etc/passwd", "..\\..", "a" * 255, "a" * 300),
    *("a" * 5000, "1" * 400, "9" * 20, "2147483648", "4294967296", "1e5", "1.0"),
    *("+1", "0x10", "١٢", "ü", "😀", "\x00", "a\x00b"),
    *("\ud800", "\udcff", "\u202e", "\ufeff", "\x7f", "\x85", "ſ"),
    *("İ", "ß", NIL, MAX, NIL[:-1], NIL.replace("-", ""), f"{{{NIL}}}"),
    *("2026-05-01", "2026-05-01T10:00:00Z"),
    *("2026-05-01T10:00:00 02:00", "2026-05-01T10:00:00+25:00", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59-12:00", "20260501", "2026-W01", "T", "guid"),
    *("-guid", "--guid", "guid,guid", "-", ",", "a,b,c,d,e,f"),
)  # fmt: skip


def odd_token(rng: random.Random) -> bytes:
    """Mostly small: every thousandth is so large that it costs."""
    return rng.choice(RARE)() if rng.random() < 0.001 else rng.choice(TOKENS)


def odd_text(rng: random.Random) -> str:
    return rng.choice(TEXTS)


def mutated(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """`raw` after one to four mutations; `others` are bodies to splice with."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        raw = rng.choice(_MUTATIONS)(rng, raw, others)
    return raw


def _place(rng: random.Random, raw: bytes) -> int:
    return rng.randrange(len(raw) + 1)


def _flip(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    if not raw:
        return b"\x00"
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def _truncate(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return raw[: _place(rng, raw)]


def _cut(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(rng, raw)
    return raw[:at] + raw[at + rng.randint(1, 20) :]


def _double(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    first, last = sorted((_place(rng, raw), _place(rng, raw)))
    return raw[:last] + raw[first:last][:3000] + raw[last:]


def _insert(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(rng, raw)
    what = rng.choice(PUNCTUATION) if rng.random() < 0.6 else odd_token(rng)
    return raw[:at] + what + raw[at + rng.choice((0, 0, 1, len(what))) :]


def _splice(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else raw
    return raw[: _place(rng, raw)] + other[_place(rng, other) :]


def _encode(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    text = raw.decode("utf-8", "replace")
    return rng.choice(
        (
            b"\xef\xbb\xbf" + raw,
            raw + b"\x00",
            b" \n" * 10 + raw,
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.encode("utf-32"),
            text.encode("latin-1", "replace"),
            raw.replace(b'"', b"'"),
            raw.upper(),
        )
    )


_MUTATIONS = (_flip, _flip, _flip, _truncate, _cut, _cut, _double, _insert, _insert, _insert, _splice, _encode)


def packed(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """`raw` in gzip, seven times in ten as it should be."""
    whole = gzip.compress(raw, 1, mtime=0)
    if rng.random() < 0.7:
        return whole
    number = rng.randrange(1000)
    if number == 0:
        return gzip.compress(b"[" * (33 * 1024 * 1024), 1, mtime=0)
    if number == 1:
        return gzip.compress(b"") * 1000
    kinds = (
        lambda: whole[: rng.randrange(len(whole))],
        lambda: mutated(rng, whole, others),
        lambda: whole + rng.choice((b"\x00", b"x", whole, gzip.compress(b""), b"\x1f\x8b")),
        lambda: gzip.compress(whole, 1),
        lambda: zlib.compress(raw),
        lambda: raw,
        lambda: b"",
    )
    return rng.choice(kinds)()
