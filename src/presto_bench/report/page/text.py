"""Text from elsewhere as a page may show it: no control characters, no change of direction, no cell without end."""

import unicodedata

LONGEST = 600  # characters of a cell
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}


def safe(text: str) -> str:
    """`text` with control characters as their pictures, marks of direction spelled out, and its end cut off where it is long. Escaping is the template's."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
    return "".join(_safe(character) for character in cut)


def _safe(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code in _BIDI or unicodedata.category(character) in ("Cc", "Cs"):
        return f"\\u{code:04x}"
    return character
