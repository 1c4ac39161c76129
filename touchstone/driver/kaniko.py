"""Kaniko's command line on a machine without containers: an OCI layout of the build context.

Takes the flags of the `build` step of tekton/tasks/build-image.yaml. Nothing of the Containerfile
is executed here: base image and build steps need a container engine. What comes out is a
reproducible OCI image whose single layer is the context, so that its digest pins exactly what
would be built; `org.opencontainers.image.description` says so in the image itself.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.errors import UsageError

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in an OCI layout."""

    digest: str
    """Of the manifest: what a registry would call the image's digest."""
    layout: Path


def build(context: Path, *, containerfile: str, destination: str, layout: Path) -> Image:
    """Write an OCI layout (image-layout 1.0.0) of `context` to `layout`; equal input, equal digest.

    Raises:
        UsageError: `context` or its Containerfile is absent.
        NotPlainError: it holds something else than files and folders.
    """
    if not (context / containerfile).is_file():
        raise UsageError(f"got no {containerfile} in {context}, expected one to build")
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        value = hashlib.sha256(data).hexdigest()
        (blobs / value).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{value}", "size": len(data)}

    archive = _tar(context)
    layer = put(gzip.compress(archive, compresslevel=6, mtime=0), _LAYER)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"WorkingDir": "/opt/model"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(archive).hexdigest()]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": put(_json(config), _CONFIG),
        "layers": [layer],
        "annotations": {
            "org.opencontainers.image.description": "build context only; not executed",
        },
    }
    descriptor = put(_json(manifest), _MANIFEST)
    digest: str = descriptor["digest"]
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [
            {**descriptor, "annotations": {"org.opencontainers.image.ref.name": destination}}
        ],
    }
    (layout / "index.json").write_bytes(_json(index))
    (layout / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return Image(digest=digest, layout=layout)


def _tar(context: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(context.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            name = path.relative_to(context).as_posix()
            with beneath.opened(context, name) as stream:
                found = os.fstat(stream.fileno())
                info = tarfile.TarInfo(f"opt/model/{name}")
                info.size = found.st_size
                info.mode = 0o755 if found.st_mode & 0o100 else 0o644
                info.uid = info.gid = 65532
                archive.addfile(info, stream)
    return buffer.getvalue()


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
