"""Errors of the user's input and of files."""

# Codes of errors of reading that end a job unless another file shows that its disk or store is there.
REFUSED = ("store.refused", "store.missing")
# Codes of those that end a job at once.
FATAL = ("cache.not_writable", "store.not_installed", "store.forked")
# Codes of jobs that ended since a disk or store stayed away: the same command, started again later, resumes.
TEMPORARY = ("store.unreachable", "files.unreachable")
UNREACHABLE = ("file.unreadable", "file.not_downloaded", "file.not_served", "worker.timeout", *REFUSED, *FATAL)


class UserError(Exception):
    """The user's input is wrong. The command line prints the message in one line and exits with status 2, or 75.

    Args:
        code: stable name `subject.problem`, e.g. `config.unknown_key`; the wording of the message may change.
        message: what is wrong, where, and what to do.
    """

    def __init__(self, code: str, message: str):
        super().__init__(code, message)  # to `args`, so that the error survives pickling between processes
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message


class DecodeError(Exception):
    """A file cannot be read as video or image. Every decoder's own failures become this one.

    Args:
        code: stable name of the reason, `subject.problem`, such as `image.truncated`.
        path: the file, as the manifest names it.
        reason: one line on what went wrong.
    """

    def __init__(self, code: str, path: str, reason: str):
        super().__init__(code, path, reason)  # as above
        self.code, self.path = code, path
        self.reason = " ".join(reason.split())

    @property
    def unreachable(self) -> bool:
        """Whether the file is not there or cannot be reached: the fault may be that of a disk or server."""
        return self.code in UNREACHABLE

    @classmethod
    def from_os_error(cls, path: str, error: OSError) -> "DecodeError":
        """The operating system's reason, such as "No such file or directory"."""
        return cls("file.unreadable", path, error.strerror or str(error))

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
