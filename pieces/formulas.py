"""What a spreadsheet would run as a formula (OWASP, "CSV injection"), and the backslash that makes it a text: `\\=1+1`.

A spreadsheet may take another character than the comma for the delimiter; then cells begin in the middle of a text, and
the backslash stands there: `5;\\-5`.
"""

import re

SIGNS = r"=+\-@＝＋－＠"
MAYBE_FORMULA = re.compile(rf"[\t\r\n{SIGNS}]")  # quick, and no more is asked of most cells
FORMULA, ESCAPED_FORMULA = (  # where a formula's backslash belongs, and that backslash
    re.compile(
        rf"\A{backslash}(?=\\*+[^\S\t\r\n]*+[\t\r\n{SIGNS}])"
        rf'|(?<=[,;\t\r\n"]){backslash}(?=\\*+[^\S\t\r\n]*+[{SIGNS}])'
    )
    for backslash in ("", r"\\")
)


def escaped(text: str) -> str:
    return FORMULA.sub(r"\\", text) if MAYBE_FORMULA.search(text) else text


def unescaped(text: str) -> str:
    """The text of which `escaped` made this one."""
    return ESCAPED_FORMULA.sub("", text) if "\\" in text else text
