"""Names of classes as copies of a dataset write them: `massaging_persons_head` for "massaging person's head"."""

import difflib
from collections.abc import Iterable, Sequence

from vidsemi.data.hashtags.normalize import canonical
from vidsemi.io.errors import UserError


def match_classes(labels: Iterable[str | None], classes: Sequence[str], where: object, dataset: str) -> list[str]:
    """Labels as the classes are called.

    Names are compared as tags are, without case, spaces and punctuation: in folders many copies have `_` for spaces
    and lack `'()`.

    Args:
        labels: of examples.
        classes: names, no two of which are the same in this comparison.
        where: the labels come from, for the message.
        dataset: whose classes these are, likewise.

    Raises:
        UserError: a label is none of the classes; the nearest one is named.
    """
    known = {canonical(name): name for name in classes}
    names = []
    for label in labels:
        if not label:
            raise UserError(f"{where}: an example has no label; every example of {dataset} needs one")
        name = known.get(canonical(label))
        if name is None:
            near = difflib.get_close_matches(canonical(label), known, n=1)
            hint = f"; did you mean '{known[near[0]]}'?" if near else ""
            shown = label if label.isprintable() else ascii(label)
            raise UserError(f"{where}: '{shown}' is none of the {len(classes)} classes of {dataset}{hint}")
        names.append(name)
    return names
