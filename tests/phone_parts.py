"""Parts that the virtual phone lacks: Android's programs such as `dumpsys` (ThermalManagerService), and cpufreq."""

from __future__ import annotations

from pathlib import Path

THERMALSERVICE = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=99.0, mType=0, mName=CPU0, mStatus=0}}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
\tTemperature{{mValue=41.3, mType=0, mName=CPU0, mStatus=0}}
\tTemperature{{mValue=36.9, mType=3, mName=VIRTUAL-SKIN, mStatus=1}}
\tTemperature{{mValue=NaN, mType=1, mName=GPU0, mStatus=0}}
\tTemperature{{mValue=78.0, mType=8, mName=soc, mStatus=0}}
Current cooling devices from HAL:
\tCoolingDevice{{mValue=0, mType=2, mName=thermal-cpufreq-0}}
\tCoolingDevice{{mValue=3, mType=3, mName=thermal-gpufreq-0}}
Temperature static thresholds from HAL:
\tTemperatureThreshold{{mType=3, mName=VIRTUAL-SKIN, \
mHotThrottlingThresholds=[NaN, 39.0, 43.0, 45.0, 47.0, 52.0, 55.0], \
mColdThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, NaN]}}
Temperature headroom thresholds:
[NaN, 0.9, 1.0333333, 1.1, 1.1666667, 1.3333334, 1.4333334]
"""


def two_clusters(folder: Path) -> Path:
    """Write cpufreq's files into a folder that the phone's user can read: CPU 1 is faster than CPU 0."""
    for name, cpu, fastest in (("policy0", 0, 1_800_000), ("policy1", 1, 2_800_000)):
        (folder / name).mkdir()
        (folder / name / "related_cpus").write_text(f"{cpu}\n")
        (folder / name / "cpuinfo_max_freq").write_text(f"{fastest}\n")
        (folder / name / "scaling_cur_freq").write_text(f"{fastest // 2}\n")
        (folder / name / "scaling_governor").write_text("walt\n")
    folder.chmod(0o755)
    return folder


def vendor_programs(folder: Path, **programs: str) -> Path:
    """Make a folder for PHONE_VENDOR with shell scripts in its bin/, stand-ins for Android's programs."""
    (folder / "bin").mkdir()
    for name, text in programs.items():
        (folder / "bin" / name).write_text(f"#!/system/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    folder.chmod(0o755)
    return folder


def dumpsys(status: int) -> str:
    """Return a script for `vendor_programs` that reports this thermal status."""
    return f"[ \"$1\" != thermalservice ] || cat <<'END'\n{THERMALSERVICE.format(status=status)}END"


def heating_dumpsys(looks: int) -> str:
    """Return a script that reports no throttling for the given number of calls, and a hot phone from then on."""
    return f"""
[ "$1" = thermalservice ] || exit 0
echo look >>/data/local/tmp/looks; status=0
[ $(wc -l </data/local/tmp/looks) -le {looks} ] || status=3
cat <<END
{THERMALSERVICE.format(status="$status")}END"""
