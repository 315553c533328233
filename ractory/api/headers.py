"""What every answer tells browsers and caches: what a page may load and run, and that tenants' data is not kept.

Django's SecurityMiddleware does the rest: HSTS, nosniff, Referrer-Policy, Cross-Origin-Opener-Policy.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# No inline script. Inline styles: Swagger UI's and unfold's pages are full of them.
DOCS = (
    "default-src 'none'; img-src 'self' data:; font-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; script-src 'self'"
)
ADMIN = f"{DOCS} 'unsafe-eval'"  # unfold's menus and dialogs are Alpine, which compiles the attributes of the page

DEBUG_PAGES = (404, 500)  # Django's own, inline from top to bottom; only with DEBUG on


class HeadersMiddleware(MiddlewareMixin):
    """`Content-Security-Policy`, `Permissions-Policy`, and for answers of the API `Cache-Control: no-store`.

    Without the last one a shared cache might keep what was asked for by `X-API-Key`: only `Authorization` forbids it
    to (RFC 9111, section 3.5).
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        path = request.path_info
        if not (settings.DEBUG and response.status_code in DEBUG_PAGES):
            page = ADMIN if path.startswith("/admin/") else NOTHING
            response.headers.setdefault("Content-Security-Policy", DOCS if path == "/api/docs" else page)
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        )
        if path.startswith("/api/v1/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response
