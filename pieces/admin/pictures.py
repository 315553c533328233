"""Pictures as a browser gets them: images by their first bytes; what is none is a download that nothing runs."""

from django.http import HttpResponse

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}


def type_of(picture: bytes) -> str | None:
    """Of raster images only: an SVG may hold a script."""
    if picture[:4] == b"RIFF" and picture[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in SIGNATURES.items() if picture.startswith(start)), None)


def as_image(picture: bytes) -> HttpResponse:
    kind = type_of(picture)
    headers = {"Content-Security-Policy": "default-src 'none'; sandbox"}
    if kind is None:
        headers["Content-Disposition"] = 'attachment; filename="picture.bin"'
    return HttpResponse(picture, content_type=kind or "application/octet-stream", headers=headers)
