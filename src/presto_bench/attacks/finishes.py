"""How the oracle's searches end, as the column `finish` says it; torch-free."""

REACHED = "reached"  # an accepted text was found
UNREACHABLE = "exhausted"  # there is no walk to one
UNDECIDED = "length"  # the search spent its places before it knew
