"""The errors that the command line turns into exit status 2."""


class UserError(Exception):
    """The user's input is wrong: the command line prints the message as one line and exits with status 2.

    Args:
        code: stable name, `subject.problem`, such as `config.unknown_key`; the message's wording may change.
        message: what is wrong, where, and what to do.
    """

    def __init__(self, code: str, message: str | None = None):
        # a single argument is a message without a code: until every call names one
        super().__init__(*([code] if message is None else [code, message]))  # `args`, so that it survives pickling
        self.code = "" if message is None else code
        self.message = code if message is None else message

    def __str__(self) -> str:
        return self.message


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
