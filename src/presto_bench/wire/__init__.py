"""What all calls to endpoints share: how long to wait before one is repeated, and what may be said of one that failed."""
