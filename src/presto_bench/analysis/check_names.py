"""Names of checks that more than one stage reads; apart, so that an edit of the checks reruns only them."""

LOSS_RATIO = "_heldout_loss_ratio"  # ends the names of those that only report
