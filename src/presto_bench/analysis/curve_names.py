"""Names of the curve's axes and quantities; apart, so that its figure does not hang on its arithmetic."""

LOSS_RATIO, UPDATE = "loss_ratio", "update_norm"
NET_BITS, SCORE = "net_bits", "score"
