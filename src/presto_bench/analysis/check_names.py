"""Names of checks that more than one stage reads; apart, so that an edit of the checks reruns only them."""

AGREES = "judge_agrees_on_"  # begins the names of those about one arm's scores
LOSS_RATIO = "_heldout_loss_ratio"  # ends the names of those that only report
