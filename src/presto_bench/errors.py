"""The one kind of error that a user can mend."""


class UserError(Exception):
    """Something the user can put right: says what is wrong, where, and how to mend it."""

    def __init__(self, where: object, what: str, mend: str):
        super().__init__(f"{where}: {what}\n  To mend it: {mend}")
        self.where, self.what, self.mend = str(where), what, mend
