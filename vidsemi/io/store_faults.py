"""What errors of object stores mean: whether to repeat a request, and what to tell the user if that is of no use."""

import re
from typing import TYPE_CHECKING

from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    from vidsemi.io.object_store import RemotePath

# What stores answer to credentials that are wrong, expired, or missing, where the status does not tell.
REFUSALS = re.compile(
    r"ExpiredToken|InvalidToken|InvalidAccessKeyId|SignatureDoesNotMatch|TokenRefreshRequired|AuthenticationFailed"
    r"|AccessDenied|RequestTimeTooSkewed|CredentialsNotLoaded|169\.254\.169\.254|metadata\.google\.internal"
)


def lasting_fault(error: Exception, place: "RemotePath") -> UserError | None:
    """The error to report if a request need not be repeated, since it would fail again; else None."""
    from obstore import exceptions

    if is_missing_bucket(error):
        return missing(place)
    credentials = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
    if credentials or REFUSALS.search(str(error)):
        return UserError(
            "store.refused",
            f"{place} is refused ({reason(error)}); renew the credentials and run the same command again to resume",
        )
    if isinstance(error, exceptions.InvalidPathError):
        return UserError(
            "store.invalid_name",
            f"{place} cannot be listed, since the name of an object there has an empty part, '.' or '..' "
            f"({reason(error)}); rename or remove that object",
        )
    status = status_of(error)
    if status is not None and status[0] in "34" and status not in ("408", "409", "429"):
        return unreachable(place, error)
    return None


def status_of(error: Exception) -> str | None:
    """The status of the server's answer, such as "503"; None if there was no answer."""
    found = re.search(r"status code: (\d{3})", str(error))
    return found and found[1]


def is_missing_bucket(error: Exception) -> bool:
    """Whether the bucket or container itself does not exist."""
    words = str(error)
    return "NoSuchBucket" in words or "ContainerNotFound" in words


def unreachable(place: "RemotePath", error: Exception) -> UserError:
    """The error for a store that does not answer, or not as it should."""
    return UserError(
        "store.unreachable", f"{place} cannot be reached ({reason(error)}); run the same command again to resume"
    )


def missing(place: "RemotePath") -> UserError:
    """The error for a bucket that does not exist."""
    return UserError("store.missing", f"the bucket or container {place.root} does not exist; create it first")


def reason(error: Exception) -> str:
    """The store's own code and message if there are any, else the first line."""
    words = str(error)
    found = [match[1] for name in ("Code", "Message") if (match := re.search(f"<{name}>(.*?)</{name}>", words))]
    return ": ".join(found) or " ".join(words.partition("\n")[0].split())[:300]


def lacks_conditions(folder: "RemotePath") -> UserError:
    """The error for a store without conditional writes."""
    return UserError(
        "store.no_conditions",
        f"{folder} lacks conditional writes (If-None-Match, If-Match), which workers need to share shards; choose "
        "another store or a local directory",
    )
