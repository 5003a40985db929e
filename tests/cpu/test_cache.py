"""The cache of compiled kernels: found again, healed, done without; and compiling in other processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jackfield.errors import BackendError, BackendUnavailable, ConfigError
from jackfield_backends.cpu import compiler, isa, linking, sources
from jackfield_backends.cpu.cache import ObjectCache, ObjectCode, default_directory
from jackfield_backends.cpu.kernel import Kernel, KernelSpec, kernel, kernel_family
from jackfield_backends.cpu.table import DRIVERS

pytestmark = pytest.mark.jit
WALK = DRIVERS[0]
OURS = "jackfield_backends.cpu.norms"


@kernel
def broken(args: int, thread: int, num_threads: int) -> None:
    undefined_name(args)  # noqa: F821  # numba must refuse it


@kernel_family
def numbered(number: int):
    """Make kernels that differ in a constant."""

    def run(args: int, thread: int, num_threads: int) -> None:
        args += number

    return run


@pytest.fixture
def cache(cache_folder: Path) -> ObjectCache:
    return ObjectCache(cache_folder)


@pytest.fixture
def forgetful(monkeypatch):
    """Let this process forget what it has linked."""
    monkeypatch.setattr(linking, "_linked", {})


def entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.o"))


def test_a_compiled_kernel_is_found_again(cache, cache_folder, forgetful, monkeypatch) -> None:
    linking.addresses_of([WALK], cache)
    assert len(entries(cache_folder)) == 1
    linking._linked.clear()
    monkeypatch.setattr(compiler, "compile_kernels", pytest.fail)
    assert linking.addresses_of([WALK], ObjectCache(cache_folder))[WALK] > 0


def test_the_folder_is_private(cache, cache_folder, forgetful) -> None:
    linking.addresses_of([WALK], cache)
    for folder in (cache_folder, entries(cache_folder)[0].parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_of_others_is_closed_to_them_or_not_used(cache_folder, tmp_path) -> None:
    cache_folder.mkdir(mode=0o777)
    cache_folder.chmod(0o777)
    assert ObjectCache(cache_folder).directory == cache_folder
    assert stat.S_IMODE(cache_folder.stat().st_mode) == 0o700
    link = tmp_path / "link"
    link.symlink_to(cache_folder)
    assert ObjectCache(link).directory is None


@pytest.mark.parametrize("damage", [b"", b"not a kernel", None])
def test_a_damaged_entry_is_built_again(cache, cache_folder, forgetful, damage: bytes | None) -> None:
    linking.addresses_of([WALK], cache)
    (entry,) = entries(cache_folder)
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    linking._linked.clear()
    assert cache.load(WALK.spec) is None
    assert linking.addresses_of([WALK], cache)[WALK] > 0
    assert ObjectCode.from_bytes(entries(cache_folder)[0].read_bytes()) is not None


def test_without_a_folder_kernels_are_compiled_all_the_same(tmp_path, forgetful) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ObjectCache(tmp_path / "file" / "kernels")
    assert cache.directory is None
    assert linking.addresses_of([WALK], cache)[WALK] > 0


def test_an_unwritable_folder_is_done_without(cache, cache_folder, forgetful, monkeypatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(os, "replace", refuse)
    assert linking.addresses_of([WALK], cache)[WALK] > 0
    assert cache.directory is None


def test_entries_depend_on_instruction_set_constants_and_sources(cache, monkeypatch) -> None:
    one, two = numbered(1).spec, numbered(2).spec
    assert numbered(1) is numbered(1)
    assert cache._path(one) != cache._path(two)
    before = cache._path(one)
    targets = [isa.Target(each, is_written_out) for each in isa.Isa for is_written_out in (False, True)]
    paths = set()
    for target in targets:
        monkeypatch.setattr(isa, "_in_force", [target])
        paths.add(cache._path(one))
    assert before in paths
    assert len(paths) == len(targets)


def test_a_change_in_an_imported_file_changes_the_digest(monkeypatch) -> None:
    before = sources.source_digest(OURS)
    assert sources.source_digest.__wrapped__(OURS) == before
    real = sources._source.__wrapped__
    for changed, matters in (("simd", True), ("scan", False)):
        name = f"jackfield_backends.cpu.{changed}"
        monkeypatch.setattr(
            sources, "_source", lambda m, n=name: real(m) + (b"\n# edited" if m == n else b"")
        )
        assert (sources.source_digest.__wrapped__(OURS) != before) is matters


def test_old_sources_make_room(cache, cache_folder, monkeypatch) -> None:
    for i in range(6):
        monkeypatch.setattr("jackfield_backends.cpu.cache.source_digest", lambda module, i=i: f"{i:016}")
        cache.save(WALK.spec, ObjectCode("symbol", b"code"))
    assert len(entries(cache_folder)) <= 4
    assert cache.load(WALK.spec) == ObjectCode("symbol", b"code")


def test_a_kernel_that_numba_refuses_is_named(cache, forgetful) -> None:
    with pytest.raises(BackendError, match=r"kernel .*:broken does not compile"):
        linking.addresses_of([broken], cache)


def test_many_kernels_are_compiled_by_children_too(cache, cache_folder, forgetful, monkeypatch) -> None:
    """Those a child can import come from it; those of this test file are compiled here."""
    monkeypatch.setattr(compiler, "WORTH_A_PROCESS", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    told: list[tuple[str, int, int]] = []
    kernels: list[Kernel] = [*DRIVERS, numbered(1), numbered(2), numbered(3)]
    found = linking.addresses_of(kernels, cache, lambda *step: told.append(step))
    assert len({*found.values()}) == 6
    assert told == [("compiling kernels", i, 6) for i in range(1, 7)]
    assert len(entries(cache_folder)) == 6


def test_a_child_answers_in_json() -> None:
    line = '{"module":"jackfield_backends.cpu.table","name":"walk"}\n{"module":"no.such","name":"x"}\n'
    command = [sys.executable, "-m", "jackfield_backends.cpu.compiler"]
    child = subprocess.run(command, input=line, capture_output=True, text=True, check=True, timeout=120)
    first, second = child.stdout.splitlines()
    assert '"error":""' in first
    assert len(first) > 1000
    assert second == '{"symbol":"","data":"","error":""}'


def test_a_dying_child_is_an_error_that_names_the_kernel(cache, forgetful, monkeypatch) -> None:
    monkeypatch.setattr(compiler, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(BackendError, match="ended the compiler"):
        linking.addresses_of(DRIVERS, cache)


def test_the_folder_is_the_users(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("JACKFIELD_CACHE_DIR", str(tmp_path))
    assert default_directory() == tmp_path / "kernels"


def test_instruction_sets_are_named_and_checked(monkeypatch) -> None:
    assert isa.available()[-1] is isa.Isa.PORTABLE
    with pytest.raises(ConfigError, match=r"no instruction set named 'avx51'.*Did you mean 'avx512'"):
        isa.named("avx51")
    monkeypatch.setattr(isa, "host_features", frozenset)
    assert isa.available() == [isa.Isa.PORTABLE]
    with pytest.raises(BackendUnavailable, match="instruction set 'avx2' does not run"):
        isa.named("avx2")


@pytest.mark.parametrize(
    ("system", "cpuinfo", "expected"),
    [
        ("linux", "Features\t: fp asimd crc32 asimdhp asimddp", ["neon", "portable"]),
        ("linux", "Features\t: fp asimd crc32", ["portable"]),
        ("linux", None, ["portable"]),
        ("darwin", None, ["neon", "portable"]),
    ],
)
def test_arm_has_the_dot_product_though_llvm_does_not_notice(
    monkeypatch, tmp_path, system, cpuinfo, expected
) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo + "\n")
    monkeypatch.setattr(isa, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(isa.sys, "platform", system)
    monkeypatch.setattr(isa.platform, "machine", lambda: "arm64" if system == "darwin" else "aarch64")
    noticed = {} if system == "darwin" else {"neon": True, "crc": True, "sve": False}
    monkeypatch.setattr(isa.llvm, "get_host_cpu_features", lambda: noticed)
    monkeypatch.setattr(isa, "host_features", isa.host_features.__wrapped__)
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    assert isa.available() == expected


def test_the_environment_chooses(monkeypatch) -> None:
    monkeypatch.setattr(isa, "_in_force", [])
    monkeypatch.setenv("JACKFIELD_CPU_ISA", "portable")
    assert isa.current() is isa.Isa.PORTABLE


def test_a_spec_reads_as_a_place() -> None:
    assert str(KernelSpec("a.b", "c", (1, "f16"))) == "a.b:c(1, f16)"


def test_the_backend_imports_no_compiler() -> None:
    code = "import sys, jackfield_backends.cpu.backend; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_kernels_of_the_cache_need_no_compiler(cache, cache_folder, forgetful) -> None:
    """In the process that calls them numba is not even imported, so their code needs nothing of it."""
    linking.addresses_of(DRIVERS, cache)
    code = (
        "import sys; from pathlib import Path\n"
        "from jackfield_backends.cpu.cache import ObjectCache\n"
        "from jackfield_backends.cpu.linking import addresses_of\n"
        "from jackfield_backends.cpu.memory import Arena\n"
        "from jackfield_backends.cpu.table import DRIVERS, CallTable, Crew\n"
        "addresses = addresses_of(DRIVERS, ObjectCache(Path(sys.argv[1])))\n"
        "memory = Arena()\n"
        "crew = Crew([addresses[driver] for driver in DRIVERS], 2, memory)\n"
        "crew.run(CallTable([], addresses, memory))\n"
        "crew.close()\n"
        "sys.exit('numba' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(cache_folder)], timeout=60).returncode == 0
