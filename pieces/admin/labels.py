"""Labels of pieces, for a browser to print: a code for hand scanners, one for phones, and what people go by."""

import re
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import segno
from barcode.codex import Code128
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from pieces.admin.trash import guids_of
from pieces.models import LEVELS_BY_KIND, Kind, Piece
from tenants.admin.staff import StaffAdmin, at

MAX_LABELS = 500
QUIET = 10  # modules of a Code 128 that stay white on each side
# In mm: a module, 4 dots of a printer with 300 dpi, or at least 2; and the room for all of them.
MODULE, LEAST, ROOM = 0.339, 0.169, 58


class Bars(Code128):  # type: ignore[misc]  # it carries no types
    def _try_to_optimize(self, encoded: list[int]) -> list[int]:
        """The library takes 99 at the beginning of a text for a change of the set of characters, and leaves it out."""
        return encoded if self.code.startswith("99") else super()._try_to_optimize(encoded)


@dataclass(frozen=True, slots=True)
class Label:
    piece: Piece

    @property
    def code(self) -> str:
        return self.piece.barcode or self.piece.piece_id or str(self.piece.guid)

    @property
    def instead(self) -> str:
        """What stands in for a barcode that the piece does not have."""
        return "" if self.piece.barcode else "piece id" if self.piece.piece_id else "guid"

    @property
    def bars(self) -> SafeString | None:
        """Code 128, if it holds the text, without control characters, and the label has room for it."""
        if not (self.code.isascii() and self.code.isprintable()):
            return None
        modules = Bars(self.code).build()[0]
        width = len(modules) + 2 * QUIET
        size = min(MODULE, ROOM / width)
        if size < LEAST:
            return None
        bars = ((bar.start() + QUIET, len(bar[0])) for bar in re.finditer("1+", modules))
        path = "".join(f"M{start} 0h{wide}v1h-{wide}z" for start, wide in bars)
        svg = '<svg class="bars" width="{}mm" viewBox="0 0 {} 1" preserveAspectRatio="none"><path d="{}"/></svg>'
        return format_html(svg, round(size * width, 3), width, path)

    @property
    def qr(self) -> SafeString:
        code = segno.make_qr(self.code, error="m", encoding=None if self.code.isascii() else "utf-8")
        return mark_safe(code.svg_inline(border=4, omitsize=True, light="#fff", svgclass="qr"))  # noqa: S308  # a drawing


class Labelled(StaffAdmin):
    """A list and pages of pieces with a way to their labels."""

    @admin.action(description="Print labels")
    def print_labels(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse:
        chosen = {"guid": request.POST.getlist("_selected_action")}
        return redirect(reverse("admin:pieces_piece_labels", args=[Kind.PIECE], query=chosen))

    @at("labels/<slug:kind>/")
    @method_decorator(require_safe)
    def labels(self, request: HttpRequest, kind: str) -> HttpResponse:
        """Of the active pieces that are named, or are in what is."""
        if kind not in LEVELS_BY_KIND:
            raise Http404
        guids = guids_of(request)
        get_list_or_404(LEVELS_BY_KIND[kind].objects.filter(guid__any_of=guids).values("guid"))
        rows = Piece.objects.in_any_of(Kind(kind), guids).without_picture().select_related("project").order_by("guid")
        pieces = list(rows[: MAX_LABELS + 1])
        context = {"most": MAX_LABELS, "is_cut": len(pieces) > MAX_LABELS}
        context["missing"] = len(guids) - len(pieces) if kind == Kind.PIECE else 0
        labels = [Label(piece) for piece in sorted(pieces[:MAX_LABELS], key=attrgetter("piece_id"))]
        return self.page(request, "pieces/labels.html", title="Labels", labels=labels, **context)
