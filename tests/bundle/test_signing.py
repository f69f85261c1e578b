"""Keys, signed bundles on the host, and what a device with a trusted key accepts and refuses."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_parts import FACTS, LABELS
from edgenet_device.model_file import check_trusted_file, open_model
from edgenet_device.signature import SIGNATURE_FILE, is_valid, signed_message
from edgenet_device.trust import Trust, read_trust, write_trust
from tiny_model import tiny_model

from edgenet.assets import device_files
from edgenet.bundle import open_bundle, sign_bundle, write_bundle
from edgenet.errors import EdgenetError
from edgenet.files import stored_zip
from edgenet.signing import KeyPair, Signer, open_signer, read_public_key, write_key_pair
from edgenet.workflows.deploy import deploy
from edgenet.workflows.package import package

Change = Callable[[dict[str, bytes]], dict[str, bytes]]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return write_key_pair(tmp_path / "maker.key")


@pytest.fixture
def signer(pair: KeyPair) -> Signer:
    return open_signer(pair.private)


@pytest.fixture
def signed(tmp_path: Path, model: bytes, signer: Signer) -> Path:
    path = tmp_path / "signed.edgenet"
    write_bundle(path, model, LABELS, FACTS, signer=signer)
    return path


def members(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(bundle: Path, change: Change) -> Path:
    path = bundle.with_name("changed.edgenet")
    path.write_bytes(stored_zip(change(members(bundle))))
    return path


def trusting(bundle: Path, trust: Trust, older: bool = False) -> int:
    return check_trusted_file(bundle, bundle.read_bytes(), trust, older)


def refused(bundle: Path, trust: Trust) -> str:
    with pytest.raises(EdgenetError) as caught:
        trusting(bundle, trust)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


class TestKeys:
    def test_the_private_key_is_for_its_owner_only_and_nothing_is_overwritten(self, pair: KeyPair) -> None:
        assert stat.S_IMODE(Path(pair.private).stat().st_mode) == 0o600
        before = Path(pair.private).read_bytes(), Path(pair.public).read_bytes()
        with pytest.raises(EdgenetError, match="is there already; a key is never overwritten"):
            write_key_pair(Path(pair.private))
        Path(pair.private).rename(Path(pair.private).with_name("moved"))
        with pytest.raises(EdgenetError, match=r"maker\.key\.pub is there already"):
            write_key_pair(Path(pair.private))
        assert not Path(pair.private).exists()
        assert Path(pair.public).read_bytes() == before[1]

    def test_a_key_is_not_written_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(EdgenetError, match="is there already"):
            write_key_pair(tmp_path / "link")

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
    def test_openssl_reads_the_keys_and_verifies_a_bundle(
        self, tmp_path: Path, pair: KeyPair, signed: Path
    ) -> None:
        parts = members(signed)
        (tmp_path / "message").write_bytes(signed_message(parts["manifest.json"]))
        (tmp_path / "raw").write_bytes(base64.b64decode(json.loads(parts[SIGNATURE_FILE])["signature"]))
        verify = [
            "openssl",
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            pair.public,
            "-rawin",
            "-in",
            "message",
        ]
        done = subprocess.run([*verify, "-sigfile", "raw"], cwd=tmp_path, capture_output=True, text=True)
        assert "Signature Verified Successfully" in done.stdout
        derived = subprocess.run(
            ["openssl", "pkey", "-in", pair.private, "-pubout"], capture_output=True, check=True
        )
        assert derived.stdout == Path(pair.public).read_bytes()

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
    @pytest.mark.parametrize(
        ("options", "found"),
        [
            (["genpkey", "-algorithm", "RSA"], "is not an Ed25519 key but another kind"),
            (["genpkey", "-algorithm", "X25519"], "is not an Ed25519 key but another kind"),
            (["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret"], "has a passphrase"),
        ],
    )
    def test_keys_of_another_kind(self, tmp_path: Path, options: list[str], found: str) -> None:
        path = tmp_path / "key"
        subprocess.run(["openssl", *options, "-out", path], check=True, capture_output=True)
        path.chmod(0o600)
        with pytest.raises(EdgenetError, match=found):
            open_signer(path)

    def test_the_wrong_half_of_the_pair(self, pair: KeyPair) -> None:
        with pytest.raises(EdgenetError, match=r"is a public key, and signing needs the private one"):
            open_signer(pair.public)
        with pytest.raises(EdgenetError, match="is a private key, which must not leave this computer"):
            read_public_key(pair.private)

    @pytest.mark.parametrize("content", [b"", b"not a key", b"\xff" * 100])
    def test_files_that_are_no_keys(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(0o600)
        for read, kind in ((open_signer, "private"), (read_public_key, "public")):
            with pytest.raises(EdgenetError, match=f"is not a {kind} key, or is cut off"):
                read(path)

    def test_keys_that_were_cut_off(self, pair: KeyPair) -> None:
        private, public = Path(pair.private), Path(pair.public)
        for path, read in ((private, open_signer), (public, read_public_key)):
            whole = path.read_bytes()
            for length in range(0, len(whole) - 2, 7):
                path.write_bytes(whole[:length])
                with pytest.raises(EdgenetError, match="key, or is cut off") as caught:
                    read(path)
                assert "\n" not in str(caught.value)

    def test_a_private_key_that_others_can_read(self, pair: KeyPair) -> None:
        Path(pair.private).chmod(0o644)
        with pytest.raises(EdgenetError, match="other users can read the private key"):
            open_signer(pair.private)

    def test_a_missing_key_and_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(EdgenetError, match="cannot read the key"):
                open_signer(path)


class TestOnTheHost:
    def test_a_signed_bundle_opens_and_names_its_key(self, signed: Path, signer: Signer) -> None:
        bundle = open_bundle(signed)
        assert bundle.signed_by == signer.key
        assert bundle.manifest.signed_at == signer.signed_at
        text = members(signed)
        raw = base64.b64decode(json.loads(text[SIGNATURE_FILE])["signature"])
        assert is_valid(signer.key, signed_message(text["manifest.json"]), raw)

    def test_without_a_key_the_bundle_is_as_before(self, bundle: Path) -> None:
        assert open_bundle(bundle).signed_by is None
        assert "signed_at" not in json.loads(members(bundle)["manifest.json"])

    def test_the_same_inputs_and_time_give_the_same_bytes(
        self, tmp_path: Path, pair: KeyPair, model: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        for name in ("one", "two"):
            write_bundle(tmp_path / name, model, LABELS, FACTS, signer=open_signer(pair.private))
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        assert open_bundle(tmp_path / "one").manifest.signed_at == 1_700_000_000

    @pytest.mark.parametrize("stated", ["", "-1", "soon", "9" * 30, "１"])
    def test_a_wrong_time_of_the_source(
        self, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, stated: str
    ) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", stated)
        with pytest.raises(EdgenetError, match="SOURCE_DATE_EPOCH is"):
            open_signer(pair.private)

    def test_a_finished_bundle_is_signed_with_everything_it_says(
        self, tmp_path: Path, bundle: Path, pair: KeyPair, signer: Signer
    ) -> None:
        done = package(bundle, sign=pair.private)
        assert done.out == str(bundle.with_suffix(".signed.edgenet"))
        assert done.signed_by == pair.name
        before, after = open_bundle(bundle), open_bundle(done.out)
        assert (after.model, after.labels, after.card) == (before.model, before.labels, before.card)
        assert after.manifest.members == before.manifest.members
        assert after.signed_by == signer.key
        again = tmp_path / "again.edgenet"
        assert sign_bundle(done.out, again, signer).signed_at == signer.signed_at
        with pytest.raises(EdgenetError, match="is a finished bundle, which is only signed"):
            package(bundle, sign=pair.private, labels=LABELS)

    def test_a_model_is_packed_and_signed(self, tmp_path: Path, model: bytes, pair: KeyPair) -> None:
        (tmp_path / "net.tflite").write_bytes(model)
        done = package(tmp_path / "net.tflite", labels=LABELS, sign=pair.private)
        assert open_bundle(done.out).signed_by == read_public_key(pair.public)

    def test_a_signature_of_another_bundle(self, tmp_path: Path, signed: Path, signer: Signer) -> None:
        other = tmp_path / "other.edgenet"
        write_bundle(other, tiny_model(size=16), LABELS, FACTS, signer=signer)
        taken = members(other)[SIGNATURE_FILE]
        path = changed(signed, lambda parts: {**parts, SIGNATURE_FILE: taken})
        with pytest.raises(EdgenetError, match="the signature is not one of this bundle"):
            open_bundle(path)
        assert "the signature is not one of this bundle" in refused(path, Trust(signer.key, 0))

    def test_a_signature_that_was_taken_away(self, signed: Path) -> None:
        path = changed(signed, lambda parts: {name: parts[name] for name in parts if name != SIGNATURE_FILE})
        with pytest.raises(EdgenetError, match="the bundle was signed, and its signature is missing"):
            open_bundle(path)

    def test_deploy_refuses_before_it_connects(
        self, tmp_path: Path, bundle: Path, signed: Path, pair: KeyPair
    ) -> None:
        other = write_key_pair(tmp_path / "other.key")
        for path, key, found in (
            (bundle, pair, "has no signature"),
            (signed, other, "was signed by the key"),
        ):
            with pytest.raises(EdgenetError, match=found):
                deploy(path, "ssh:nobody@localhost:1", trust=key.public)


class TestOnTheDevice:
    def test_what_the_trusted_key_signed_is_accepted(self, signed: Path, signer: Signer) -> None:
        assert trusting(signed, Trust(signer.key, 0)) == signer.signed_at
        assert trusting(signed, Trust(signer.key, signer.signed_at)) == signer.signed_at

    def test_the_same_members_in_another_zip_are_accepted(self, signed: Path, signer: Signer) -> None:
        path = changed(signed, lambda parts: dict(reversed(parts.items())))
        assert trusting(path, Trust(signer.key, 0)) == signer.signed_at
        assert open_bundle(path) == open_bundle(signed)

    def test_an_older_bundle_is_refused(self, signed: Path, signer: Signer) -> None:
        trust = Trust(signer.key, signer.signed_at + 60)
        assert "was signed 60 s before the newest one" in refused(signed, trust)
        assert trusting(signed, trust, older=True) == signer.signed_at

    def test_unsigned_models_and_those_of_another_key(
        self, tmp_path: Path, bundle: Path, signed: Path, model: bytes, signer: Signer
    ) -> None:
        trust = Trust(signer.key, 0)
        (tmp_path / "net.tflite").write_bytes(model)
        for path in (bundle, tmp_path / "net.tflite"):
            assert "has no signature.json, and this device runs only bundles signed by" in refused(
                path, trust
            )
        other = open_signer(write_key_pair(tmp_path / "other.key").private)
        assert "and this device trusts" in refused(signed, Trust(other.key, 0))

    def test_a_tflite_that_carries_a_signed_bundle_is_refused(
        self, tmp_path: Path, signed: Path, signer: Signer
    ) -> None:
        """A zip is read from its end, and a .tflite from its start: one file can be both."""
        path = tmp_path / "both.edgenet"
        path.write_bytes(b"PK\0\0TFL3" + bytes(100) + signed.read_bytes())
        assert "has no signature.json" in refused(path, Trust(signer.key, 0))

    @pytest.mark.parametrize("name", ["model.tflite", "labels.txt"])
    def test_members_that_were_exchanged(self, signed: Path, signer: Signer, name: str) -> None:
        """Their SHA-256 in the manifest is another one; with a manifest that fits, the signature does not."""
        path = changed(signed, lambda parts: {**parts, name: parts[name][:-1] + b"x"})
        with pytest.raises(EdgenetError, match="was changed: its checksum differs"):
            open_bundle(path)
        with pytest.raises(EdgenetError, match="another SHA-256 than its manifest states"):
            open_model(path)

    def test_one_blank_more_in_the_manifest(self, signed: Path, signer: Signer) -> None:
        path = changed(signed, lambda parts: {**parts, "manifest.json": parts["manifest.json"] + b" "})
        assert "the signature is not one of this bundle" in refused(path, Trust(signer.key, 0))
        with pytest.raises(EdgenetError, match="the signature is not one of this bundle"):
            open_bundle(path)

    @pytest.mark.parametrize(
        "signature",
        [
            b"",
            b"[]",
            b"null",
            b'{"schema": "edgenet.signature.v2", "key": "", "signature": ""}',
            b'{"schema": "edgenet.signature.v1", "key": 1, "signature": 2}',
            b'{"schema": "edgenet.signature.v1", "key": "AA", "signature": "AA=="}',
            b'{"schema": "edgenet.signature.v1"}',
            b"\xff\xfe",
        ],
    )
    def test_damaged_signatures(self, signed: Path, signer: Signer, signature: bytes) -> None:
        path = changed(signed, lambda parts: {**parts, SIGNATURE_FILE: signature})
        refused(path, Trust(signer.key, 0))
        with pytest.raises(EdgenetError):
            open_bundle(path)

    @pytest.mark.parametrize("stated", [None, True, -1, 1.5, "1", 1 << 50])
    def test_a_time_of_signing_that_is_none(self, signed: Path, signer: Signer, stated: object) -> None:
        def change(parts: dict[str, bytes]) -> dict[str, bytes]:
            manifest = json.dumps({**json.loads(parts["manifest.json"]), "signed_at": stated}).encode()
            raw = base64.b64encode(signer.sign(manifest).signature).decode()
            signature = {**json.loads(parts[SIGNATURE_FILE]), "signature": raw}
            return {**parts, "manifest.json": manifest, SIGNATURE_FILE: json.dumps(signature).encode()}

        assert "has no time of signing" in refused(changed(signed, change), Trust(signer.key, 0))

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_two_signatures(self, signed: Path, signer: Signer) -> None:
        with zipfile.ZipFile(signed, "a") as archive:
            archive.writestr(SIGNATURE_FILE, members(signed)[SIGNATURE_FILE])
        assert "two members of one name" in refused(signed, Trust(signer.key, 0))
        with pytest.raises(EdgenetError, match="twice"):
            open_bundle(signed)

    @pytest.mark.parametrize(
        "text", [b"", b"{}", b"[1]", b'{"schema": "edgenet.trust.v1", "key": "x", "newest": 1}']
    )
    def test_a_damaged_trust_is_not_taken_for_none(self, tmp_path: Path, text: bytes) -> None:
        (tmp_path / "trust.json").write_bytes(text)
        with pytest.raises(EdgenetError, match="is damaged, so it is unknown whose bundles may run"):
            read_trust(tmp_path / "trust.json")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The scripts in a release on a device."""
    folder = tmp_path / "home" / "releases" / "0123" / "device_scripts"
    for name, path in device_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    return folder


def ran(scripts: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(scripts), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=scripts, capture_output=True, text=True, check=False)


def accept(scripts: Path, bundle: Path, *options: object) -> subprocess.CompletedProcess[str]:
    trust = scripts.parents[2] / "trust.json"
    return ran(scripts, "-m", "edgenet_device", "accept-bundle", trust, bundle, *options)


@pytest.mark.parametrize("beside", [True, False], ids=["beside the scripts", "above the releases"])
def test_every_script_refuses_what_the_device_does_not_trust(
    scripts: Path, bundle: Path, signed: Path, signer: Signer, beside: bool
) -> None:
    place = scripts if beside else scripts.parents[2]
    photo = ROOT / "calibration_data" / "0022_tabby-cat.jpg"
    write_trust(place / "trust.json", Trust(signer.key, 0))
    for command in (
        ["camera.py"],
        ["classify.py"],
        ["measure_latency.py", "--runs", "1", "--min-seconds", "0"],
    ):
        source = [] if command[0] == "measure_latency.py" else [photo]
        done = ran(scripts, *command, bundle, *source)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {bundle}: the model has no signature.json")
        assert done.stderr.count("\n") == 1
    assert ran(scripts, "classify.py", signed, photo).returncode == 0


def test_a_device_accepts_a_key_then_newer_bundles_only(
    scripts: Path, tmp_path: Path, model: bytes, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{time}.edgenet" for time in (1000, 2000)]
    for path in paths:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", path.stem)
        write_bundle(path, model, LABELS, FACTS, signer=open_signer(pair.private))
    old, new = paths
    key = base64.b64encode(read_public_key(pair.public)).decode()
    without = accept(scripts, new)
    assert without.returncode == 2
    assert "does not exist: give --key KEY" in without.stderr
    assert accept(scripts, new, f"--key={key}", "--check").returncode == 0
    trust = scripts.parents[2] / "trust.json"
    assert not trust.exists()
    assert accept(scripts, old, f"--key={key}").returncode == 0
    assert accept(scripts, new).returncode == 0
    assert read_trust(trust) == Trust(read_public_key(pair.public), 2000)
    refusal = accept(scripts, old, f"--key={key}")  # the same key does not forget the newest bundle
    assert (refusal.returncode, "1,000 s before the newest one" in refusal.stderr) == (1, True)
    assert accept(scripts, old, "--older").returncode == 0
    assert read_trust(trust) == Trust(read_public_key(pair.public), 1000)
    trust.write_text("damaged")
    assert accept(scripts, new).returncode == 1
    assert accept(scripts, new, f"--key={key}").returncode == 0
