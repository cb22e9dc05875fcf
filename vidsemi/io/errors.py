"""The errors that the doors (cli.py) turn into an exit status."""


class UserError(Exception):
    """The user's input is wrong: exit status 2 and this message, one line that says what, where, and what to do."""


class DecodeError(Exception):
    """A file cannot be read as video or image. Every decoder's own failures become this one.

    Args:
        path: the file, as the manifest names it.
        reason: one line on what went wrong.
    """

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)  # both go to `args`, so that the error survives pickling between processes
        self.path = path
        self.reason = " ".join(reason.split())

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
