"""Large files in object stores: read in pieces, since one answer may take longer than a request is given."""

from typing import TYPE_CHECKING, Any

from vidsemi.io.object_store import PIECE, RemotePath, tolerant
from vidsemi.io.store_connection import connect

if TYPE_CHECKING:
    from obstore import ObjectMeta


def read_in_pieces(place: RemotePath, meta: "ObjectMeta") -> bytes | None:
    """Read a file of which the store has said this; None if it is another one meanwhile.

    Raises:
        UserError: the store cannot be reached, or refuses.
    """
    import obstore
    from obstore.exceptions import PreconditionError

    content = bytearray()
    while (begin := len(content)) < meta["size"]:
        options: Any = {"range": (begin, min(begin + PIECE, meta["size"])), "if_match": meta["e_tag"]}

        def call(options: Any = options) -> bytes:
            return bytes(obstore.get(connect(place.root), place.key, options=options).bytes())

        try:
            piece = tolerant(place, call)
        except PreconditionError:
            return None
        if piece is None:
            return None
        content += piece
    return bytes(content)
