"""Why pip on a device cannot install, told by the real pip within seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import write_certificate
from update_site import serving

from edgenet.devices.device import ProgramResult
from edgenet.devices.environment import check_package_index
from edgenet.devices.local import LocalDevice
from edgenet.errors import EdgenetError


@pytest.fixture
def unknown_signer(tmp_path: Path) -> Iterator[str]:
    """An index over https whose certificate nobody has signed but itself."""
    certificate = tmp_path / "certificate.pem"
    write_certificate(certificate)
    with serving(tmp_path / "index", certificate) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's pip without the user's settings, so that it has one index."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def reason(index: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PIP_INDEX_URL", f"{index}/simple")
    with pytest.raises(EdgenetError) as caught:
        check_package_index(LocalDevice(), sys.executable, "edgenet-pretend")
    return str(caught.value)


def test_a_name_without_an_address(no_configuration: None, monkeypatch: pytest.MonkeyPatch) -> None:
    told = reason("https://nowhere.invalid", monkeypatch)
    assert told.startswith("local finds no address for its package index; connect it to the internet")


def test_an_index_that_does_not_answer(no_configuration: None, monkeypatch: pytest.MonkeyPatch) -> None:
    told = reason("http://127.0.0.1:1", monkeypatch)
    assert told.startswith("the package index of local does not answer; check its connection")
    assert told.endswith("or give --offline, with which this machine copies the packages")


def test_a_proxy_that_is_not_there(no_configuration: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    told = reason("https://nowhere.invalid", monkeypatch)
    assert told.startswith("local does not get through its proxy; check https_proxy")


def test_a_certificate_of_an_unknown_signer(
    no_configuration: None, unknown_signer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = reason(unknown_signer, monkeypatch)
    assert told.startswith(
        "local does not know who signed the certificate of its package index; run sudo apt"
    )


def test_a_clock_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OpenSSL's words, since only root may set a clock."""
    said = b"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid\n"
    answer = ProgramResult(1, said + b"date=1970-01-01 00:07\n", b"")
    monkeypatch.setattr(LocalDevice, "run", lambda self, command: answer)
    with pytest.raises(EdgenetError, match="by the clock of local it is 1970-01-01 00:07, and then"):
        check_package_index(LocalDevice(), sys.executable, "edgenet-pretend")


def test_what_we_do_not_know_is_left_to_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as an older pip, which has no `pip index`."""
    answer = ProgramResult(1, b'ERROR: unknown command "index"\ndate=2026-01-01 00:00\n', b"")
    monkeypatch.setattr(LocalDevice, "run", lambda self, command: answer)
    check_package_index(LocalDevice(), sys.executable, "edgenet-pretend")
