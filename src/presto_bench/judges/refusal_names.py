"""XSTest's three labels of a response, and the word for a detector that has none."""

FULL, PARTIAL, NONE = "full_refusal", "partial_refusal", "full_compliance"
LABELS = (FULL, PARTIAL, NONE)
KEYWORDS = "keywords"
