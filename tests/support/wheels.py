"""Wheels made for a test, honest and otherwise."""

import hashlib
import zipfile


def wheel(folder, name, version="1.0", files=None, *, requires=(), tag="py3-none-any", entries=()):
    """A wheel in `folder`; returns its line for a requirements.txt.

    `files` are texts by path, `entries` (ZipInfo, bytes) that a zip file may hold besides.
    """
    module = name.replace("-", "_")
    files = {f"{module}.py": "VALUE = 7\n"} if files is None else files
    info = f"{module}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {one}" for one in requires]
    whole = {
        **files,
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},,\n" for path in [*whole, *(one.filename for one, _ in entries)])
    path = folder / f"{module}-{version}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in {**whole, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(place), text)
        for one, data in entries:
            archive.writestr(one, data)
    return line_of(path, name, version)


def line_of(path, name, version="1.0"):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}=={version} --hash=sha256:{digest}\n"
