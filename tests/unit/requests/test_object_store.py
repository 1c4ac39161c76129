"""An object store's notification becomes the URIs of what is new, and nothing else."""

import json

import pytest

from touchstone.errors import UsageError
from touchstone.requests.object_store import created


def record(event="ObjectCreated:Put", bucket="training-data", key="a.npz"):
    return {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}


def uris(*records, **options):
    return created(json.dumps(records), **{"bucket": "training-data", **options})


@pytest.mark.parametrize(
    ("key", "uri"),
    [
        ("a.npz", "s3://training-data/a.npz"),
        ("2026%2Fnew+year%2Ba.npz", "s3://training-data/2026/new%20year%2Ba.npz"),
        ("%C3%A4.npz", "s3://training-data/%C3%A4.npz"),
        ("a%2523.npz", "s3://training-data/a%2523.npz"),
    ],
)
def test_keys_are_decoded_once_and_written_as_a_uri(key, uri):
    assert uris(record(key=key)) == [uri]


@pytest.mark.parametrize(
    "left_out",
    [
        record("ObjectRemoved:Delete"),
        record("s3:ObjectAccessed:Get"),
        record("ObjectCreatedLater:Put"),
        record(bucket="other"),
        record(bucket="training-data-old"),
        record(key="folder%2F"),
        record(key="else/a.npz"),
    ],
    ids=str,
)
def test_other_events_buckets_prefixes_and_folders_are_left_out(left_out):
    wanted = record("s3:ObjectCreated:CompleteMultipartUpload", key="new/a.npz")
    assert uris(left_out, wanted, prefix="new/") == ["s3://training-data/new/a.npz"]


def test_several_records_are_several_objects_and_a_repeated_one_is_one():
    assert uris(record(key="a"), record(key="b"), record("ObjectCreated:Copy", key="a")) == [
        "s3://training-data/a",
        "s3://training-data/b",
    ]


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"s3": {}}]', '{"s3": 1}', "null"])
def test_what_is_no_list_of_records_is_refused(text):
    with pytest.raises(UsageError, match="got no S3 records"):
        created(text, bucket="b")
