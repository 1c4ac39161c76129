"""What an object store's notification says is new: the objects, as URIs.

S3 and MinIO notify in one form, `Records` with one object each; a CloudEvent of the type
`com.amazonaws.s3.…` holds one such record. Keys are encoded as in a form: `+` for a space, `%2F`
for a slash (docs.aws.amazon.com, S3 User Guide, "Event message structure").
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote_plus

from touchstone.errors import UsageError


def created(notification: str, *, bucket: str, prefix: str = "") -> list[str]:
    """`s3://bucket/key` of each object that was created in `bucket` under `prefix`, once each.

    `notification` is the JSON of the records. A key is percent-encoded where a URI asks for it.
    Other events, other buckets and placeholders of folders are left out.

    Raises:
        UsageError: it is no list of records.
    """
    try:
        records = json.loads(notification)
        found = [_object(record) for record in records]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"got no S3 records ({type(error).__name__}: {error}), expected a list of objects with"
            " eventName, s3.bucket.name and s3.object.key"
        ) from None
    wanted = [
        f"s3://{name}/{quote(key)}"
        for event, name, key in found
        if _creates(event) and name == bucket and key.startswith(prefix) and not key.endswith("/")
    ]
    return list(dict.fromkeys(wanted))


def _object(record: Any) -> tuple[str, str, str]:
    stored = record["s3"]
    return str(record["eventName"]), stored["bucket"]["name"], unquote_plus(stored["object"]["key"])


def _creates(event: str) -> bool:
    """`ObjectCreated:Put` of S3, `s3:ObjectCreated:Put` of MinIO."""
    return event.removeprefix("s3:").startswith("ObjectCreated:")
