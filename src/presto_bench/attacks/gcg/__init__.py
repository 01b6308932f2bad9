"""GCG: a suffix in the user's turn that makes the model begin with a target (docs/reference/attacks.md)."""
