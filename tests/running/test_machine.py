from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantrial.system import Machine, between, share_of_others

TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def stat(name: str, user: int, system: int) -> str:
    return f"7 ({name}) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0 20 0 1 0"


def quiet(root: Path) -> None:
    """A machine with two packages, a charger, and a worker with a name made to confuse."""
    write(root, "proc/stat", "cpu  100 0 50 800 40 5 5 0 0 0\ncpu0 1 1 1\n")
    write(root, "proc/self/stat", stat("python", 10, 5))
    write(root, "proc/77/stat", stat("a) R (b", 30, 10))
    write(root, "proc/77/status", "Name:\tworker\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n")
    write(root, "proc/vmstat", "pgpgin 9\npswpin 3\npswpout 4\n")
    write(root, "sys/class/power_supply/AC/online", "1")
    write(root, "sys/class/power_supply/BAT0/status", "Charging\n")
    for core in (0, 1):
        folder = f"sys/devices/system/cpu/cpu{core}/thermal_throttle"
        write(root, f"{folder}/core_throttle_count", "1\n")
        write(root, f"{folder}/package_throttle_count", "2\n")
    for i, (name, now) in enumerate((("package-0", 900), ("core", 5), ("package-1", 100))):
        write(root, f"sys/class/powercap/intel-rapl:{i}/name", f"{name}\n")
        write(root, f"sys/class/powercap/intel-rapl:{i}/energy_uj", f"{now}\n")
        write(root, f"sys/class/powercap/intel-rapl:{i}/max_energy_range_uj", "1000\n")


def test_what_went_on_between_two_readings_by_hand(tmp_path: Path) -> None:
    quiet(tmp_path)
    machine = Machine(tmp_path)
    then = machine.read([77])
    # 100 ticks more: 60 user, 10 steal, 20 idle, 10 waiting for a disk
    write(tmp_path, "proc/stat", "cpu  160 0 50 820 50 5 5 10 0 0\n")
    write(tmp_path, "proc/self/stat", stat("python", 12, 5))
    write(tmp_path, "proc/77/stat", stat("a) R (b", 60, 11))
    write(tmp_path, "proc/vmstat", "pswpin 3\npswpout 14\n")
    write(tmp_path, "sys/class/power_supply/BAT0/status", "Discharging\n")
    write(tmp_path, "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "4\n")
    # one package went on to 950, the other past its range to 50
    write(tmp_path, "sys/class/powercap/intel-rapl:0/energy_uj", "950\n")
    write(tmp_path, "sys/class/powercap/intel-rapl:2/energy_uj", "50\n")
    state = between(then, machine.read([77]))
    assert state["cpu_seconds"] == pytest.approx(100 * TICK)
    assert state["busy_seconds"] == pytest.approx(70 * TICK)
    assert state["own_seconds"] == pytest.approx(33 * TICK)
    assert share_of_others(state) == pytest.approx(0.37)
    assert (state["swapped_pages"], state["throttled"], state["on_battery"]) == (10, 3, 1)
    assert state["energy_joules"] == pytest.approx((50 + 950) / 1e6)
    assert machine.peak_memory(77) == 2048 * 1024


def test_a_process_that_is_not_known_leaves_the_share_of_others_unknown(tmp_path: Path) -> None:
    quiet(tmp_path)
    machine = Machine(tmp_path)
    for pid in (None, 78):
        state = between(machine.read([77, pid]), machine.read([77, pid]))
        assert state["own_seconds"] is None
        assert share_of_others(state) is None
        assert machine.peak_memory(pid) is None


def test_a_system_that_says_nothing_is_unknown_and_not_zero(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "nothing")
    state = between(machine.read([1]), machine.read([1]))
    assert set(state.values()) == {None}
    write(tmp_path, "proc/stat", "nonsense")
    write(tmp_path, "proc/vmstat", "pswpin")
    write(tmp_path, "sys/class/powercap/intel-rapl:0/name", "package-0")
    state = between(Machine(tmp_path).read([]), Machine(tmp_path).read([]))
    assert set(state.values()) == {None}, "what cannot be read is not guessed at"


def test_this_machine_can_be_read() -> None:
    machine = Machine()
    state = between(machine.read([]), machine.read([os.getpid()]))
    assert all(value is None or value >= 0 for value in state.values())
