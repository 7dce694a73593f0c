"""The build context: Containerfiles pinned by golden files, what is staged, what never is."""

from __future__ import annotations

import logging
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from support.golden import check_golden

from tesseract import images, projects
from tesseract.errors import InvalidValue, StagingError, UserError, ValidationError
from tesseract.images import hostsettings, installed
from tesseract.images.context import ContextRequest, make_context
from tesseract.images.credentials import build_secrets, parse_secret
from tesseract.images.ignore import Ignore
from tesseract.images.staging import digest
from tesseract.images.tags import image_tags, qualified

pytestmark = pytest.mark.fast

GOLDEN = Path(__file__).parent / "golden/containerfiles"
API = """
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel): pass
def apply(inputs): ...
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tesseract_api.py").write_text(API)
    return folder


def context(source: Path, config: str, **settings: Any) -> Path:
    """Stage a project, as a build would, and return the folder."""
    (source / "tesseract_config.yaml").write_text("name: demo\nversion: 1.2.3\n" + config)
    folder = source.parent / "context"
    folder.mkdir()
    request = ContextRequest(folder, "docker.io/library/debian:bookworm-slim", **settings)
    make_context(projects.load(source), request)
    return folder


def pinned(folder: Path, name: str) -> str:
    text = (folder / "Containerfile").read_text()
    # Digests and the tool's version change with the runtime itself.
    text = re.sub(r"# [0-9a-f]{12}$", "# <digest>", text, flags=re.MULTILINE)
    check_golden(GOLDEN / f"{name}.txt", text.replace(installed.runtime().version, "<version>"))
    return text


def test_smallest_project(source: Path) -> None:
    folder = context(source, "")
    pinned(folder, "smallest")
    names = {path.name for path in (folder / "__tesseract_runtime__").iterdir()}
    assert {name.split("-")[0] for name in names} == {"tesseract_core", "tesseract_runtime"}
    assert (folder / "tesseract_requirements.txt").read_text() == ""


def test_everything(source: Path) -> None:
    (source / "data").mkdir()
    (source / "data/table.csv").write_text("1")
    (source.parent / "outside.json").write_text("{}")
    (source / "tesseract_requirements.txt").write_text("numpy\ngit+https://example.org/x.git\n")
    folder = context(
        source,
        r"""
description: "two\nlines, \"quoted\", $HOME, back\\slash\n"
env: {MY_PATH: "/opt/x:$PATH", QUOTED: 'a "b" \c'}
metadata: {a: 1, b: 'q"x'}
build_config:
  extra_packages: [libgomp1, tree]
  inherit_base_image_packages: true
  package_data: [[data, data], [../outside.json, /etc/outside.json]]
  custom_build_steps: ["RUN pip install \\\n    RUNner", "run echo done", "ENV X=1"]
  host_credentials: [{host: "pkg.example.org", secret_id: tok}]
  build_env: {CFLAGS: "-O2 -g"}
""",
        host_ids=("tesseract-ca", "tesseract-pip", "tesseract-uv"),
        secret_ids=("tok",),
        ssh=True,
    )
    pinned(folder, "everything")
    assert (folder / "build_env.sh").read_text() == "export CFLAGS='-O2 -g'\n"
    assert (folder / "host_credentials.txt").read_text() == "pkg.example.org tok __token__\n"


def test_python_version(source: Path) -> None:
    text = pinned(
        context(source, "build_config: {requirements: {python_version: '3.12'}, skip_checks: true}"), "python"
    )
    assert "tesseract-runtime check" not in text


def test_lock_file(source: Path) -> None:
    (source / "pylock.toml").write_text('lock-version = "1.0"\n')
    folder = context(source, "build_config: {requirements: {requirements_file: pylock.toml}}")
    pinned(folder, "lock")
    assert (folder / "pylock.toml").read_text() == 'lock-version = "1.0"\n'


def test_conda(source: Path) -> None:
    (source / "wheel").mkdir()
    (source / "tesseract_environment.yaml").write_text(
        "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.12\n- pip:\n  - ./wheel\n  - numpy\n"
    )
    folder = context(source, "build_config: {requirements: {provider: conda}}")
    pinned(folder, "conda")
    assert "- ./local_requirements/wheel" in (folder / "tesseract_environment.yaml").read_text()


def test_custom_step_that_needs_the_api_file_gets_it_first(source: Path) -> None:
    text = pinned(
        context(source, 'build_config: {custom_build_steps: ["RUN python /tesseract/tesseract_api.py"]}'), "api_first"
    )
    assert text.index("COPY") < text.index("RUN python")


def test_editing_the_api_file_changes_only_the_copy(source: Path, tmp_path: Path) -> None:
    first = (context(source, "") / "Containerfile").read_text()
    (tmp_path / "context").rename(tmp_path / "before")
    (source / "tesseract_api.py").write_text(API + "# edited\n")
    assert (context(source, "") / "Containerfile").read_text() == first


def test_whatever_is_staged_counts(tmp_path: Path) -> None:
    """An image must not come from the layer cache when data have changed, be it but an empty folder or a mode."""
    (tmp_path / "file").write_text("1")
    seen = {digest(tmp_path)}
    for change in (
        lambda: (tmp_path / "file").write_text("2"),
        lambda: (tmp_path / "file").chmod(0o755),
        lambda: (tmp_path / "empty").mkdir(),
        lambda: (tmp_path / "file").rename(tmp_path / "other"),
    ):
        change()
        assert digest(tmp_path) not in seen
        seen.add(digest(tmp_path))


def test_local_dependencies(source: Path) -> None:
    for name in ("a/pkg", "b/pkg"):
        (source / name / "__pycache__").mkdir(parents=True)
        (source / name / "setup.py").write_text("")
    for name in ("a", "b"):
        (source / name / "x-1.0-py3-none-any.whl").write_text(name)
    (source / "more.txt").write_text("scipy\n")
    (source / "tesseract_requirements.txt").write_text(
        f"./a/pkg[x,y]\nfile://{source}/b/pkg\n./a/x-1.0-py3-none-any.whl\n./b/x-1.0-py3-none-any.whl\n"
        "numpy==2.0  # comment\n-r more.txt\n--extra-index-url https://example.org\n"
    )
    folder = context(source, "")
    assert (folder / "tesseract_requirements.txt").read_text().splitlines() == [
        "numpy==2.0",
        "scipy",
        "--extra-index-url https://example.org",
        "./local_requirements/pkg[x,y]",
        "./local_requirements/pkg_1",
        "./local_requirements/x-1.0-py3-none-any.whl",
        "./local_requirements/1/x-1.0-py3-none-any.whl",
    ]
    assert (folder / "local_requirements/1/x-1.0-py3-none-any.whl").read_text() == "b"
    assert not list(folder.rglob("__pycache__"))


def test_local_dependencies_of_conda_and_by_name(source: Path) -> None:
    (source / "my pkg").mkdir()
    (source / "pip.txt").write_text("-e ./my pkg[x]\nscipy\n")
    (source / "tesseract_environment.yaml").write_text(
        "name: x\ndependencies:\n- pip\n- pip:\n"
        f"  - -r pip.txt\n  - named[y] @ file://{str(source).replace(' ', '%20')}/my%20pkg ; python_version > '3'\n"
        "prefix: /home/me\n"
    )
    folder = context(source, "build_config: {requirements: {provider: conda}}")
    assert (folder / "tesseract_environment.yaml").read_text() == (
        "name: x\ndependencies:\n- pip\n- pip:\n  - ./local_requirements/my pkg[x]\n  - scipy\n"
        "  - ./local_requirements/my pkg_1[y] ; python_version > '3'\nprefix: /home/me\n"
    )


def test_the_project_itself_as_a_dependency(source: Path) -> None:
    """The context may lie inside of it, and what the ignore file names stays out, except what the requirements name."""
    for name in ("module.py", "big.bin", "dist/x-1.0-py3-none-any.whl"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("")
    (source / ".containerignore").write_text("*\n!*.py\n")
    (source / "tesseract_requirements.txt").write_text(".\n./dist/x-1.0-py3-none-any.whl\n")
    (source / "tesseract_config.yaml").write_text("name: demo\n")
    folder = source / "context"
    images.build(images.BuildRequest(source, build_dir=folder, generate_only=True))
    staged = {str(path.relative_to(folder)) for path in (folder / "local_requirements").rglob("*") if path.is_file()}
    assert staged == {
        "local_requirements/source/module.py",
        "local_requirements/source/tesseract_api.py",
        "local_requirements/x-1.0-py3-none-any.whl",
    }


def test_local_dependencies_as_pip_names_them(source: Path) -> None:
    """Without `./`, as a folder to look into, and with hashes, which stay."""
    (source / "wheels").mkdir()
    (source / "wheels/x-1.0-py3-none-any.whl").write_text("")
    (source / "y-1.0.tar.gz").write_text("")
    (source / "local pkg").mkdir()
    (source / "pkg").mkdir()
    (source / "tesseract_requirements.txt").write_text(
        "--find-links ./wheels\n-f file:wheels\n"
        "wheels/x-1.0-py3-none-any.whl[a] \\\n  --hash=sha256:ab --hash=sha256:cd\n"
        "y-1.0.tar.gz ; python_version > '3'\npkg/\n-e pkg\n"
        "z @ ./local pkg\nfile:wheels/x-1.0-py3-none-any.whl#sha256=ef\n"
        f"file://{source}/y-1.0.tar.gz#sha256=01\nnumpy==2.0 --hash=sha256:ab\n"
        "https://example.org/w-1-py3-none-any.whl\n"
    )
    folder = context(source, "")
    wheel = "x-1.0-py3-none-any.whl"
    assert (folder / "tesseract_requirements.txt").read_text().splitlines() == [
        "--find-links ./local_requirements/wheels",
        "--find-links ./local_requirements/wheels_1",
        "numpy==2.0 --hash=sha256:ab",
        "https://example.org/w-1-py3-none-any.whl",
        f"./local_requirements/{wheel}[a] --hash=sha256:ab --hash=sha256:cd",
        "./local_requirements/y-1.0.tar.gz ; python_version > '3'",
        "./local_requirements/pkg",
        "./local_requirements/pkg_1",
        "./local_requirements/local pkg",
        f"./local_requirements/1/{wheel} --hash=sha256:ef",
        "./local_requirements/1/y-1.0.tar.gz --hash=sha256:01",
    ]
    assert (folder / "local_requirements/wheels" / wheel).exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("./nope", r"local dependency not found: \./nope"),
        ("-e nope", r"local dependency not found: nope"),
        ("some/nope[extra] ; python_version > '3'", r"local dependency not found: some/nope"),
        ("${HOME}/nope", r"local dependency not found: \$\{HOME\}/nope"),
        ("nope @ some/nope", r"local dependency not found: some/nope"),
        ("./loop", r"local dependency not found: \./loop"),
        ("-r loop", "No file found at .*loop"),
        ("wheels/x-1.0-py3-none-any.whl", "local dependency not found: wheels/x-1.0-py3-none-any.whl"),
        ("--find-links ./nope", "--find-links ./nope: there is no such folder"),
        ("-i ./simple", "the package index ./simple is a folder of this machine"),
        ("--extra-index-url=file:///opt/simple", "the package index file:///opt/simple is a folder"),
        ("-c pins.txt", r"constraint files \(-c pins.txt\) cannot travel into the image"),
        ("-r gone.txt", "No file found at .*gone.txt"),
        (".#subdirectory=x", "local dependency not found"),
        ("file:.#subdirectory=x", "file:.#subdirectory=x: name the folder itself, without #subdirectory"),
        (". --hash=sha256:ab", ". --hash=sha256:ab: a folder has no hash"),
    ],
)
def test_requirements_that_cannot_travel_name_file_and_line(source: Path, line: str, message: str) -> None:
    (source / "loop").symlink_to("loop")
    (source / "more.txt").write_text(f"# a comment \\\nscipy \\\n  ==1.0\n{line}\n")
    (source / "tesseract_requirements.txt").write_text("numpy\n-r more.txt\n")
    with pytest.raises(UserError, match=f"more.txt, line 4: {message}") as caught:
        context(source, "")
    assert str(caught.value).count("line ") == 1


def test_hashes_and_an_inherited_base_image_exclude_each_other(source: Path) -> None:
    (source / "tesseract_requirements.txt").write_text("numpy==2.0 --hash=sha256:ab\n")
    with pytest.raises(ValidationError, match="hashes and inherit_base_image_packages exclude each other"):
        context(source, "build_config: {inherit_base_image_packages: true}")


def test_missing_local_dependency(source: Path) -> None:
    (source / "tesseract_requirements.txt").write_text("./nope\n")
    with pytest.raises(RuntimeError, match=r"local dependency not found: \./nope \(resolved to "):
        context(source, "")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("[[nope, x]]", "package_data source file not found: nope"),
        ("[[a.txt, x], [b.txt, ./x]]", "package_data has duplicate target path"),
        ('[["new\\nline", x]]', r"package_data cannot copy 'new\\nline' to 'x': it holds a control character"),
        ("[[secret.key, x]]", "left out by the project's ignore file"),
    ],
)
def test_bad_package_data(source: Path, data: str, line: str) -> None:
    for name in ("a.txt", "b.txt", "secret.key"):
        (source / name).write_text("")
    (source / ".containerignore").write_text("*.key\n")
    with pytest.raises(StagingError, match=line):
        context(source, f"build_config: {{package_data: {data}}}")


def test_what_is_no_file_is_an_error_and_what_stands_for_one_a_warning(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that the project names is left out of the image without a word."""
    data = source / "data"
    data.mkdir()
    (data / "weights").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n")
    config = "build_config: {package_data: [[data, data]]}"
    logging.getLogger("tesseract").propagate = True
    context(source, config)
    assert "data/weights is a Git LFS pointer" in caplog.text
    for number, (make, line) in enumerate(
        (
            (
                lambda path: path.symlink_to("../.git/annex/objects/x"),
                "annex/objects/x, which does not exist. Fetch it",
            ),
            (lambda path: path.symlink_to("nowhere"), "a symbolic link to nowhere, which does not exist"),
            (lambda path: path.symlink_to(path.name), "a symbolic link to odd, which does not exist"),
            (os.mkfifo, "it is a named pipe"),
        )
    ):
        (source.parent / "context").rename(source.parent / f"before{number}")
        make(data / "odd")
        with pytest.raises(StagingError, match=f"data/odd cannot be copied into the image: .*{line}"):
            context(source, config)
        (data / "odd").unlink()
    (source.parent / "context").rename(source.parent / "last")
    (source / "link").symlink_to("nowhere")
    context(source, "", whole_source=True)  # nothing of it goes into the image
    assert "link cannot be copied into the image" in caplog.text
    (source.parent / "context").rename(source.parent / "whole")
    with pytest.raises(StagingError, match="link cannot be copied into the image"):
        context(source, "build_config: {package_data: [[link, data]]}")


def test_file_names_need_not_be_text(source: Path) -> None:
    (source / "data").mkdir()
    (source / os.fsdecode(b"data/caf\xe9")).write_text("x")
    folder = context(source, "build_config: {package_data: [[data, data]]}")
    assert (folder / os.fsdecode(b"__package_data__/0/data/caf\xe9")).read_text() == "x"


def test_ignored_files_stay_out(source: Path) -> None:
    (source / ".dockerignore").write_text("# data\nbig\n**/*.bin\n!keep.bin\n")
    (source / "empty").mkdir()
    for name in ("big/file", "deep/x.bin", "keep.bin", ".git/config", "plain.txt"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("")
    staged = context(source, "", whole_source=True) / "__tesseract_source__"
    names = {str(path.relative_to(staged)) for path in staged.rglob("*")}
    files = {".dockerignore", "keep.bin", "plain.txt", "tesseract_api.py", "tesseract_config.yaml"}
    assert names == files | {"empty", "deep"}


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("a/*.txt", "a/b.txt", True),
        ("a/*.txt", "a/b/c.txt", False),
        ("**/x", "a/b/x/y", True),
        ("/a", "a/b", True),
        ("a?c", "abc", True),
        ("[ab].txt", "b.txt", True),
        ("", "__pycache__/x.pyc", True),
    ],
)
def test_ignore_patterns(pattern: str, path: str, ignored: bool) -> None:
    assert Ignore([pattern])(PurePosixPath(path)) is ignored


def test_a_context_needs_no_engine(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/gone.sock")
    (source / "tesseract_config.yaml").write_text("name: demo\n")
    result = images.build(images.BuildRequest(source, build_dir=tmp_path / "kept", generate_only=True))
    assert (tmp_path / "kept/Containerfile").exists()
    assert result.command == ()


def test_build_directory_is_refreshed_but_never_clobbered(source: Path, tmp_path: Path) -> None:
    (source / "tesseract_config.yaml").write_text("name: demo\n")
    request = images.BuildRequest(source, build_dir=tmp_path / "kept", generate_only=True)
    for _ in range(2):
        assert images.build(request).build_dir == tmp_path / "kept"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("")
    with pytest.raises(UserError, match="holds something else"):
        images.build(images.BuildRequest(source, build_dir=tmp_path / "mine", generate_only=True))
    with pytest.raises(UserError, match="does not exist"):
        images.build(images.BuildRequest(source, build_dir=tmp_path / "no/such", generate_only=True))


def test_runtime_wheels_are_reproducible_and_complete(source: Path, tmp_path: Path) -> None:
    folder = context(source, "") / "__tesseract_runtime__"
    runtime = next(folder.glob("tesseract_runtime-*.whl"))
    names = zipfile.ZipFile(runtime).namelist()
    assert "tesseract_core/runtime/__init__.py" in names
    assert not [name for name in names if "__pycache__" in name]
    core = zipfile.ZipFile(next(folder.glob("tesseract_core-*.whl")))
    assert all(".dist-info/" in name for name in core.namelist())
    before = runtime.read_bytes()
    (tmp_path / "context").rename(tmp_path / "before")
    assert next((context(source, "") / "__tesseract_runtime__").glob("tesseract_runtime-*.whl")).read_bytes() == before


def test_python_that_is_too_old(source: Path) -> None:
    with pytest.raises(ValidationError, match=r"python_version: Python 3\.10 is too old"):
        context(source, "build_config: {requirements: {python_version: '3.10'}}")


# ---- names, secrets, host settings ----------------------------------------------------------------------------------


def test_tags() -> None:
    config = projects.TesseractConfig(name="mul", version="1.2.3")
    assert image_tags(config, None) == ("mul:1.2.3", "mul:latest")
    assert image_tags(config, "dev") == ("mul:dev",)
    with pytest.raises(ValueError, match="Invalid tag"):
        image_tags(config, "a b")
    for name in ("X Y", "MySolver", "löser"):
        with pytest.raises(ValidationError, match=rf"The name '{name}' in tesseract_config\.yaml cannot name an image"):
            image_tags(projects.TesseractConfig(name=name), None)


def test_a_context_is_refused_by_the_rules_of_a_build(source: Path, tmp_path: Path) -> None:
    (source / "tesseract_config.yaml").write_text("name: MySolver\n")
    with pytest.raises(ValidationError, match="The name 'MySolver'"):
        images.build(images.BuildRequest(source, build_dir=tmp_path / "kept", generate_only=True))


def test_base_image_names() -> None:
    assert qualified("debian:12") == "docker.io/library/debian:12"
    assert qualified("user/image") == "docker.io/user/image"
    for full in ("localhost/x", "example.org/x", "example:5000/x"):
        assert qualified(full) == full
    for none in ("", " ", "deb ian"):
        with pytest.raises(ValidationError, match=rf"build_config\.base_image: '{none}' is not the name of an image"):
            qualified(none)


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "value")
    (tmp_path / "f").write_text("x")
    assert parse_secret("id=a,env=TOKEN").env == "TOKEN"
    assert parse_secret(f"id=a,src={tmp_path}/f").src == tmp_path / "f"
    for bad in ("env=TOKEN", "id=a,env=NOT_SET_AT_ALL", "id=a,src=/nonexistent", "nonsense"):
        with pytest.raises(InvalidValue, match="Invalid --secret spec"):
            parse_secret(bad)
    credentials = [{"host": "h", "secret_id": name} for name in ("b", "a")]
    config = projects.TesseractConfig.model_validate({"name": "x", "build_config": {"host_credentials": credentials}})
    with pytest.raises(ValueError, match=r"not given: a, b\. Add --secret id=a"):
        build_secrets(config, [])


@pytest.mark.parametrize(
    ("environment", "indexes"),
    [
        ({}, None),
        ({"PIP_INDEX_URL": "https://a/simple"}, {"index-url": ("https://a/simple",)}),
        ({"PIP_INDEX_URL": "https://a", "UV_DEFAULT_INDEX": "my=https://b"}, {"index-url": ("https://b",)}),
        ({"PIP_FIND_LINKS": "/opt/wheels https://c"}, {"find-links": ("https://c",)}),
        ({"PIP_EXTRA_INDEX_URL": "file:///opt/x"}, None),
    ],
)
def test_index_settings(environment: Mapping[str, str], indexes: Any) -> None:
    settings = hostsettings.read({"PIP_CONFIG_FILE": "/dev/null", **environment})
    assert settings.indexes == indexes


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"PIP_FIND_LINKS": "/opt/wheels"}, "find-links = /opt/wheels is a folder of this machine"),
        ({"UV_DEFAULT_INDEX": "file:///opt/simple"}, "index-url = file:///opt/simple is a folder"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "SSL_CERT_FILE=/nowhere.pem is no file"),
        ({"PIP_CONFIG_FILE": "pip.conf"}, "pip.conf cannot be read (File contains no section headers"),
    ],
)
def test_host_settings_that_do_not_reach_a_build_are_told(
    environment: Mapping[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.conf").write_text("nonsense\n")
    logging.getLogger("tesseract").propagate = True
    hostsettings.read({"PIP_CONFIG_FILE": "/dev/null", **environment})
    assert line in caplog.text
    assert "image builds do without it" in caplog.text


def test_dependencies_that_are_named_and_do_not_count_are_told(source: Path, caplog: Any) -> None:
    logging.getLogger("tesseract").propagate = True
    context(source, "build_config: {requirements: {requirements_file: mine.txt}}")
    assert "mine.txt does not exist: the image gets no packages but the runtime's" in caplog.text
    (source.parent / "context").rename(source.parent / "before")
    (source / "tesseract_environment.yaml").write_text("dependencies: [python]\nvariables: {A: b}\n")
    context(source, "build_config: {requirements: {provider: conda}}")
    assert "so `variables` are not set" in caplog.text


def test_index_settings_become_files_that_only_the_caller_reads(tmp_path: Path) -> None:
    settings = hostsettings.HostSettings(None, {"index-url": ("https://user:pw@a/simple",)})
    secrets = settings.secrets(tmp_path)
    assert [secret.id for secret in secrets] == ["tesseract-pip", "tesseract-uv"]
    assert (tmp_path / "tesseract-pip").read_text() == "[global]\nindex-url = https://user:pw@a/simple\n"
    assert (tmp_path / "tesseract-uv").read_text() == 'index-url = "https://user:pw@a/simple"\n'
    assert (tmp_path / "tesseract-pip").stat().st_mode & 0o077 == 0
