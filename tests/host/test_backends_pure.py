"""Decisions of the backends that need no engine: identity, mounts, CDI, texts, references, selection, settings."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from tesseract import errors, settings
from tesseract.backends import cdi, inspect, select
from tesseract.backends.docker import passwd, remembered
from tesseract.backends.docker.endpoint import find as find_docker
from tesseract.backends.docker.identity import identity as docker_identity
from tesseract.backends.mounts import with_nested
from tesseract.backends.podman import builds, records
from tesseract.backends.podman.endpoint import Endpoint
from tesseract.backends.podman.endpoint import find as find_podman
from tesseract.backends.podman.identity import identity as podman_identity
from tesseract.backends.podman.leftovers import remove_old, torn
from tesseract.backends.podman.service import service_command
from tesseract.backends.podman.tunnel import command as tunnel_command
from tesseract.backends.runtime_dir import runtime_dir
from tesseract.backends.spec import Mount, UserMapping

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def _clean_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TESSERACT_") or name in ("CONTAINER_HOST", "DOCKER_HOST", "DOCKER_CONTEXT", "CONDA_EXE"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "_overrides", {})


def me(**more: object) -> UserMapping:
    return UserMapping(1000, 1001, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mapping", "rootless", "user", "userns"),
    [
        (me(), True, "1000:1001", "keep-id"),
        (me(uid=1000), True, "1000:1001", "keep-id"),
        (me(uid=4242), True, "4242:4242", "keep-id:uid=4242,gid=4242"),
        (me(uid=4242, gid=7), True, "4242:7", "keep-id:uid=4242,gid=7"),
        (me(uid=0), True, "0:0", None),
        (me(uid=0, gid=0), True, "0:0", None),
        (me(userns="host"), True, "0:0", None),
        (me(userns="host", uid=5, gid=5), True, "5:5", None),
        (me(userns="auto"), True, None, "auto"),
        (me(userns="nomap", uid=5), True, "5:5", "nomap"),
        (me(userns="keep-id:uid=3,gid=3", uid=3), True, "3:3", "keep-id:uid=3,gid=3"),
        (me(), False, "1000:1001", None),
        (me(uid=4242), False, "4242:4242", None),
        (None, True, None, None),
    ],
)
def test_podmans_identity(mapping: UserMapping | None, rootless: bool, user: str | None, userns: str | None) -> None:
    found = podman_identity(mapping, rootless, has_groups=True)
    assert (found.user, found.userns) == (user, userns)
    assert found.keep_groups is (rootless and mapping is not None)


@pytest.mark.parametrize(
    ("mapping", "rootless", "user"),
    [
        (me(), False, "1000:1001"),
        (me(uid=4242), False, "4242:4242"),
        (me(), True, "0:0"),
        (me(uid=4242), True, "4242:4242"),
        (me(uid=0), True, "0:0"),
        (None, False, None),
    ],
)
def test_dockers_identity(mapping: UserMapping | None, rootless: bool, user: str | None) -> None:
    assert docker_identity(mapping, rootless).user == user


def test_docker_has_no_podman_namespaces() -> None:
    with pytest.raises(errors.InvalidValue, match="auto"):
        docker_identity(me(userns="auto"), False)


MOUNTINFO = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:30 / /data rw - ext4 /dev/sdb rw
31 30 0:31 / /data/sub rw - tmpfs tmpfs rw
32 31 0:32 / /data/sub/deep rw - tmpfs tmpfs rw
33 30 0:33 / /data/with\\040space rw - tmpfs tmpfs rw
34 22 0:34 / /database rw - tmpfs tmpfs rw
"""


def test_nested_mounts_get_read_only_binds_of_their_own() -> None:
    bind = Mount("bind", "/data", "/inputs", read_only=True, options=("z",))
    found = with_nested([bind], MOUNTINFO)
    assert [(mount.source, mount.target) for mount in found] == [
        ("/data", "/inputs"),
        ("/data/sub", "/inputs/sub"),
        ("/data/sub/deep", "/inputs/sub/deep"),
        ("/data/with space", "/inputs/with space"),
    ]
    assert all(mount.read_only and mount.options == ("z",) for mount in found)


def test_nested_mounts_leave_everything_else_alone() -> None:
    mounts = (
        Mount("bind", "/data", "/out"),
        Mount("volume", "data", "/v", read_only=True),
        Mount("bind", "/data/sub", "/in", read_only=True),
        Mount("bind", "/elsewhere", "/in/deep"),
    )
    assert with_nested(mounts, MOUNTINFO) == mounts, "what the user mounts there himself is not covered"


CDI_SPEC = """\
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
containerEdits: {deviceNodes: [{path: /dev/nvidiactl}]}
devices:
- {name: "0", containerEdits: {deviceNodes: [{path: /dev/nvidia0}]}}
- {name: GPU-8a5f, containerEdits: {deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/other}]}}
- {name: all, containerEdits: {}}
"""


def test_cdi_specs_are_read_and_broken_ones_passed_over(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text(CDI_SPEC)
    (tmp_path / "broken.yaml").write_text("kind: [")
    (tmp_path / "other.json").write_text('{"kind": "example.com/npu", "devices": [{"name": "x"}]}')
    (tmp_path / "notes.txt").write_text("no specification")
    (tmp_path / "edits.json").write_text('{"kind": "a.b/c", "containerEdits": "::", "devices": [{"name": "y"}]}')
    (tmp_path / "unreadable.json").mkdir()
    found = cdi.read_specs([tmp_path, tmp_path / "absent"])
    assert [name for spec in found.specs for name in spec.names] == [
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=GPU-8a5f",
        "nvidia.com/gpu=all",
        "example.com/npu=x",
    ]
    assert found.specs[0].nodes == {
        "0": ("/dev/nvidiactl", "/dev/nvidia0"),
        "GPU-8a5f": ("/dev/nvidiactl", "/dev/other"),
        "all": ("/dev/nvidiactl",),
    }
    assert found.unread == (
        f"{tmp_path}/broken.yaml is no valid CDI specification (line 1: expected the node content, but found '<stream "
        f"end>'). Renew it: sudo nvidia-ctk cdi generate --output={tmp_path}/broken.yaml",
        f"{tmp_path}/edits.json is no valid CDI specification (containerEdits is not an object). Renew it: "
        f"sudo nvidia-ctk cdi generate --output={tmp_path}/edits.json",
        f"{tmp_path}/unreadable.json cannot be read: Is a directory. "
        f"Make it readable: sudo chmod a+r {tmp_path}/unreadable.json",
    )
    wanted = ["0", "GPU-8a5f", "all", "example.com/npu=x", "nvidia.com/gpu=0"]
    assert cdi.resolve(wanted, found, exists=lambda node: True) == (
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=GPU-8a5f",
        "nvidia.com/gpu=all",
        "example.com/npu=x",
    )
    with pytest.raises(errors.GpuNotFound, match=r"gpu=7.*there are: nvidia.com/gpu=0, .*nvidia-ctk cdi generate"):
        cdi.resolve(["7"], cdi.Specs(found.specs))
    with pytest.raises(errors.GpuNotFound, match="there is none on this machine"):
        cdi.resolve(["0"], cdi.Specs())
    with pytest.raises(errors.GpuNotFound, match=r"gpu=7'\. \S+broken.yaml is no valid CDI .*\(There are: nv"):
        cdi.resolve(["7"], found)


def test_a_device_whose_node_is_gone(tmp_path: Path) -> None:
    spec = cdi.parse_spec(tmp_path / "nvidia.yaml", CDI_SPEC)
    with pytest.raises(errors.GpuNotFound, match=rf"/dev/nvidia0 any more, which {tmp_path}.*Renew it: sudo"):
        cdi.resolve(["0"], cdi.Specs((spec,)), exists=lambda node: node != "/dev/nvidia0")
    others = cdi.resolve(["all"], cdi.Specs((spec,)), exists=lambda node: node != "/dev/nvidia0")
    assert others == ("nvidia.com/gpu=all",)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_specification_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "nvidia.json").write_text("{}")
    (tmp_path / "nvidia.json").chmod(0)
    with pytest.raises(errors.GpuNotFound, match=r"nvidia.json cannot be read: Permission denied\. Make it"):
        cdi.resolve(["0"], cdi.read_specs([tmp_path]))
    tmp_path.chmod(0)
    unread = cdi.read_specs([tmp_path]).unread
    tmp_path.chmod(0o700)
    assert unread == (f"{tmp_path} cannot be read: Permission denied. Check its owner and mode.",)


def test_the_users_own_cdi_directory_needs_a_newer_podman() -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert Path("/run/user/7/cdi") not in cdi.spec_dirs((5, 4), environ)
    assert Path("/run/user/7/cdi") in cdi.spec_dirs(cdi.version_tuple("podman version 5.5.1"), environ)
    endpoint = Endpoint("unix:///x.sock", "test", ("/usr/bin/podman",), private=True)
    assert service_command(endpoint, Path("/run/user/7/cdi")) == [
        "/usr/bin/podman",
        "--log-level=error",
        "--cdi-spec-dir=/run/user/7/cdi",
        "system",
        "service",
        "--time=60",
        "unix:///x.sock",
    ]


def test_documents_with_nothing_in_them() -> None:
    image = inspect.image_info({"Id": "1", "Config": None, "RepoTags": None})
    assert (image.tags, dict(image.env), dict(image.labels), image.size) == ((), {}, {}, 0)
    container = inspect.container_info({"Id": "2"})
    assert (container.status, container.exit_code, container.ports) == ("unknown", None, ())


def test_the_size_of_an_image_is_that_of_its_layers() -> None:
    attrs = {"Id": "1", "Size": 250_000_000}
    assert inspect.image_info(attrs, [{"Size": 100_000_000}, {"Size": 20_000_000}, {"Size": 0}]).size == 120_000_000


def test_each_mapped_copy_takes_as_much_as_the_whole_image() -> None:
    layers = [
        {"id": "base", "diff-size": 100},
        {"id": "top", "parent": "base", "diff-size": 20},
        {"id": "copy", "parent": "base", "diff-size": 20, "uidmap": []},
        {"id": "empty"},
    ]
    images = [
        {"id": "mapped", "layer": "top", "mapped-layers": ["copy", "gone"]},
        {"id": "plain", "layer": "base"},
        {"id": "nothing", "layer": "empty", "mapped-layers": None},
    ]
    assert records.recorded_sizes("mapped", images, layers) == (120, 120)
    assert records.recorded_sizes("plain", images, layers) == (100, 0)
    assert records.recorded_sizes("nothing", images, layers) == (0, 0)
    assert records.recorded_sizes("unknown", images, layers) is None


@pytest.mark.parametrize("graph", [None, {}, {"Data": {"UpperDir": "/nowhere/overlay/abc/diff"}}])
def test_a_store_that_is_not_here_has_no_records(graph: object) -> None:
    assert records.sizes({"Id": "1", "GraphDriver": graph}) is None


def test_a_user_gets_a_name_unless_the_image_has_one() -> None:
    def archive(text: str) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            entry = tarfile.TarInfo("passwd")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        return content.getvalue()

    written = passwd.with_user(archive("root:x:0:0::/root:/bin/sh"), "42:43", "/tmp")
    assert written is not None
    with tarfile.open(fileobj=io.BytesIO(written)) as tar:
        found = tar.extractfile("passwd")
        assert found is not None
        assert found.read() == b"root:x:0:0::/root:/bin/sh\ntesseract-user:x:42:43::/tmp:/bin/sh\n"
    assert passwd.with_user(written, "42:0", "/tmp") is None
    assert b"user-7:x:7:7" in (passwd.with_user(written, "7:7", "/tmp") or b"")


def test_what_an_image_says_of_users_is_remembered_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ids = [f"sha256:{number:064x}" for number in range(203)]
    for number, image in enumerate(ids):
        remembered.remember(image, image.encode())
        os.utime(next(tmp_path.glob(f"*/passwd/*{number:064x}.tar")), (number, number))
    remembered.remember("sha256:last", b"last")
    assert remembered.recall(ids[-1]) == ids[-1].encode()
    assert remembered.recall(ids[0]) is None, "the oldest makes room"
    assert len(list(tmp_path.glob("*/passwd/*"))) == 200
    remembered.forget(ids[-1])
    assert remembered.recall(ids[-1]) is None
    remembered.remember("name:1", b"x")  # another image may have this name tomorrow
    assert remembered.recall("name:1") is None
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remembered.remember(ids[0], b"x")
    assert remembered.recall(ids[0]) is None


# ---- selection ------------------------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH, to be filled."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def _program(directory: Path, name: str, prints: str = "") -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho {prints}\n")
    path.chmod(0o755)
    return path


def choose(engine: str | None = None) -> tuple[str, str]:
    config = settings.get_config()
    given = config.docker_executable if "docker_executable" in config.model_fields_set else None
    return select.choose(engine, config, given)


def test_podman_is_preferred(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.EngineUnavailable, match="apt-get install podman"):
        choose()
    _program(programs, "docker")
    assert choose() == ("docker", "auto: no podman, docker is installed")
    _program(programs, "podman")
    assert choose()[0] == "podman"
    monkeypatch.setenv("DOCKER_HOST", "unix:///somewhere")
    assert choose()[0] == "podman"
    monkeypatch.setenv("TESSERACT_ENGINE", "docker")
    assert choose() == ("docker", "TESSERACT_ENGINE says docker")
    assert choose("podman") == ("podman", "--engine says podman")


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        ("podman --remote", "podman"),
        ("docker --context lab", "docker"),
        ("sudo docker", "docker"),
        ("sudo -n podman", "podman"),
        ("wrapper", "podman"),
    ],
)
def test_the_executable_names_the_engine(
    programs: Path, monkeypatch: pytest.MonkeyPatch, words: str, engine: str
) -> None:
    for name in ("podman", "docker", "sudo"):
        _program(programs, name)
    _program(programs, "wrapper", "podman version 4.3.1")
    monkeypatch.setenv("TESSERACT_DOCKER_EXECUTABLE", words)
    assert choose()[0] == engine


def test_wrong_settings_are_one_line(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.InvalidValue, match="Unknown engine 'lxc'"):
        select.get_backend("lxc")
    monkeypatch.setenv("TESSERACT_DOCKER_EXECUTABLE", "no-such-program --flag")
    with pytest.raises(
        errors.InvalidValue, match="TESSERACT_DOCKER_EXECUTABLE: Executable `no-such-program` not found"
    ):
        select.get_backend()


def test_words_of_podman_that_name_a_connection(programs: Path) -> None:
    podman = str(_program(programs, "podman"))
    found = find_podman((podman, "--url", "ssh://host/run/podman.sock"), "given", {})
    assert (found.url, found.private) == ("ssh://host/run/podman.sock", False)
    assert found.command == [podman, "--url", "ssh://host/run/podman.sock"]
    assert find_podman((podman, "--url=tcp://h:1"), "given", {}).url == "tcp://h:1"


def test_sudo_podman_gets_a_service_of_its_own(programs: Path, short_path: Path) -> None:
    runtime = short_path / "run"
    runtime.mkdir(mode=0o700)
    plain = find_podman((str(_program(programs, "podman")),), "given", {"XDG_RUNTIME_DIR": str(runtime)})
    sudo = find_podman(("/usr/bin/sudo", "podman"), "given", {"XDG_RUNTIME_DIR": str(runtime)})
    assert plain.url == f"unix://{runtime}/tesseract/podman.sock"
    assert sudo.private
    assert sudo.url != plain.url


def test_words_of_docker_that_name_a_connection(programs: Path) -> None:
    docker = str(_program(programs, "docker", '\'[{"Endpoints": {"docker": {"Host": "tcp://lab:2375"}}}]\''))
    assert find_docker((docker, "-H", "unix:///x.sock"), "given", {}).url == "unix:///x.sock"
    assert find_docker((docker, "--context=lab"), "given", {}).url == "tcp://lab:2375"
    assert find_docker((docker,), "given", {"DOCKER_HOST": "tcp://h:1"}).url == "tcp://h:1"
    sudo = find_docker(("/usr/bin/sudo", "docker"), "given", {})
    assert sudo.dial == ("/usr/bin/sudo", "docker", "system", "dial-stdio")


def test_what_a_build_was_making_when_it_was_cut_off(tmp_path: Path) -> None:
    passing = f"docker.io/library/{'7b' * 32}-tmp:latest"
    whole = {"id": "whole", "names": ["localhost/x:latest"], "names-history": [passing], "big-data-names": ["manifest"]}
    images, containers = tmp_path / "overlay-images", tmp_path / "overlay-containers"
    images.mkdir()
    (images / "images.json").write_text(json.dumps([whole]))
    (containers / "recorded/userdata").mkdir(parents=True)
    (containers / "recorded/userdata/buildah.json").touch()
    named = {"recorded": "x-working-container", "early": "y-working-container-1", "podmans": "tesseract-1"}
    (containers / "containers.json").write_text(json.dumps([{"id": id, "names": [n]} for id, n in named.items()]))
    assert torn(tmp_path) == (set(), set(), {"early"})
    records = [
        whole,
        {"id": "named", "names": [passing, "localhost/y:1"], "big-data-names": ["manifest", "sha256:1"]},
        {"id": "torn", "layer": "1"},
        {"id": "torn-later", "big-data-names": ["sha256:2"]},
    ]
    (images / "images.json").write_text(json.dumps(records))
    assert torn(tmp_path) == ({"torn", "torn-later"}, {passing}, {"early"})


def test_what_old_builds_left_in_their_directory_goes(tmp_path: Path) -> None:
    for name, days in (("buildah1", 3), ("buildah2", 0), ("buildah-cache", 3), ("mine", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    remove_old(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"buildah2", "buildah-cache", "mine"}


def test_files_of_builds_are_where_the_caller_wants_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Podman 5 in a directory of the caller's own, because all users would share one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TMPDIR", raising=False)
    uid, own = os.getuid(), tmp_path / "cache/tesseract/build"
    assert (builds.scratch("5.4.2"), builds.build_environment("5.4.2")) == (Path("/var/tmp"), {})
    assert builds.cache_mounts("5.4.2") == Path(f"/var/tmp/buildah-cache-{uid}")
    assert builds.build_environment("4.3.1") == {"TMPDIR": str(own)}
    assert builds.cache_mounts("4.3.1") == own / "buildah-cache"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert builds.scratch("5.4.2") == tmp_path
    assert builds.build_environment("4.3.1") == {"TMPDIR": str(tmp_path / f"containers-build-{uid}")}
    (tmp_path / f"containers-build-{uid}").rmdir()
    (tmp_path / f"containers-build-{uid}").symlink_to("/")  # somebody else's doing
    assert builds.build_environment("4.3.1") == {}


def test_an_empty_container_host_is_none(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_HOST", "")  # Podman itself would take it for an address
    assert find_podman((str(_program(programs, "podman")),), "given").private
    assert "CONTAINER_HOST" not in os.environ


def test_a_runtime_directory_must_be_ours_alone(short_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = short_path / "good"
    good.mkdir(mode=0o700)
    assert runtime_dir({"XDG_RUNTIME_DIR": str(good)}) == good / "tesseract"
    assert (good / "tesseract").stat().st_mode & 0o777 == 0o700
    shared = short_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    link = short_path / "link"
    link.symlink_to(good)
    if os.getuid() == 0:
        return
    caplog.clear()
    for bad in (shared, link, short_path / "absent/below"):
        environ = {"XDG_RUNTIME_DIR": str(bad), "TMPDIR": str(short_path), "HOME": str(short_path)}
        assert runtime_dir(environ).parent != bad
        assert "is not usable" in caplog.text


# ---- settings -------------------------------------------------------------------------------------------------------


def test_the_environment_is_read_again_and_overrides_stick(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.get_config().docker_executable == ("docker",)
    assert settings.get_config().docker_run_args == ()
    monkeypatch.setenv("TESSERACT_DOCKER_RUN_ARGS", "--label 'a=b c'")
    assert settings.get_config().docker_run_args == ("--label", "a=b c")
    monkeypatch.setenv("TESSERACT_DOCKER_RUN_ARGS", "--ipc=host")
    assert settings.get_config().docker_run_args == ("--ipc=host",)
    settings.update_config(docker_run_args=["--from", "code"])
    monkeypatch.setenv("TESSERACT_DOCKER_RUN_ARGS", "--ignored")
    assert settings.get_config().docker_run_args == ("--from", "code")
    path = _program(programs, "engine")
    assert settings.update_config(docker_executable="engine --flag").docker_executable == (str(path), "--flag")
    monkeypatch.setenv("TESSERACT_NAME", "of the runtime")
    assert settings.get_config().model_fields_set == {"docker_run_args", "docker_executable"}


def test_wrong_values_are_pydantics_errors_and_change_nothing(programs: Path) -> None:
    (programs / "text").write_text("no program")
    (programs / "folder").mkdir()
    for value, said in (
        ("nope", "Executable `nope` not found."),
        (str(programs / "text"), "is not executable."),
        (str(programs / "folder"), "is not a file."),
    ):
        with pytest.raises(ValidationError, match=said):
            settings.update_config(docker_executable=value)
    with pytest.raises(ValidationError, match="Unknown setting"):
        settings.update_config(no_such_setting=1)
    with pytest.raises(ValidationError, match="must be one of auto, podman, docker"):
        settings.update_config(engine="lxc")
    assert settings.get_config() == settings.HostConfig()


def test_a_tunnel_asks_no_questions_and_trusts_no_unknown_host() -> None:
    words = tunnel_command("ssh://me@host:2222/run/podman.sock", "/keys/id", Path("/run/t/podman.sock"))
    assert words[:4] == ["ssh", "-T", "-i", "/keys/id"]
    assert words[-3:] == ["-L/run/t/podman.sock:/run/podman.sock", "ssh://me@host:2222", "cat"]
    assert "-oBatchMode=yes" in words
    assert not any("StrictHostKeyChecking" in word for word in words)
