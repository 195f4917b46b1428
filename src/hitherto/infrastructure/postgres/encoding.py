"""Progress of a projection as JSON, which the server's function takes."""

import msgspec

from hitherto.application.checkpoints import Document, ParkedEvent, Progress


def progress_json(progress: Progress) -> str:
    """What `advance_projection` takes. Of a document that is there twice the last one counts."""
    documents = {(each.collection, each.key, each.partition): each for each in progress.documents}
    fields = {
        "name": progress.generation.name,
        "generation": progress.generation.number,
        "leases": progress.leases,
        "after": progress.after,
        "position": progress.position,
        "handled": progress.handled,
        "lease": progress.lease,
        "begun": progress.begun,
        "parked": list(map(_storable, progress.parked)),
        "unparked": progress.unparked,
        "documents": list(map(_document, documents.values())),
    }
    return msgspec.json.encode(fields).decode()


def _document(document: Document) -> dict[str, object]:
    data = document.data
    return {
        "collection": document.collection,
        "key": document.key,
        "partition": document.partition,
        "data": None if data is None else msgspec.Raw(data.encode()),
    }


def _storable(parked: ParkedEvent) -> ParkedEvent:
    """An error may say anything; the server takes no NUL, and no half of a surrogate pair."""
    if parked.error is None:
        return parked
    told = parked.error.replace("\0", "�").encode(errors="replace").decode()
    return msgspec.structs.replace(parked, error=told)
