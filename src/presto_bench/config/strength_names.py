"""Names of what the strength rule asks of each arm; apart, so that its tables do not hang on every attack's settings."""

PREFILLING, GUIDED, LOSS = "strength_prefilling", "strength_guided", "strength_loss"
