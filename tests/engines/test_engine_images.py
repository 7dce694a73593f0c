"""Images: build, look up, list, remove."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.spec import BuildSecret, BuildSpec, ContainerSpec, UserMapping
from tesseract.errors import BuildError, ImageNotFound

Python = Callable[..., ContainerSpec]
Run = Callable[[ContainerSpec], tuple]


@pytest.fixture
def tag(backend: Backend) -> Iterator[str]:
    chosen = f"contract-{secrets.token_hex(3)}:1"
    yield chosen
    try:
        backend.remove_image(chosen)
    except ImageNotFound:
        pass


def build(backend: Backend, context: Path, text: str, *tags: str, **more: object) -> tuple[str, list[str]]:
    (context / "Containerfile").write_text(text)
    lines: list[str] = []
    spec = BuildSpec(context, context / "Containerfile", tags, pull="never", **more)  # type: ignore[arg-type]
    return backend.build(spec, lines.append), lines


def test_what_inspect_says(backend: Backend, image: str) -> None:
    info = backend.image(image)
    assert info.id.removeprefix("sha256:") == image.removeprefix("sha256:")
    assert info.env["GREETING"] == "hello world"
    assert info.env["EMPTY"] == ""
    assert info.labels["org.example.kind"] == "contract"
    assert info.entrypoint == ("python3",)
    assert 50e6 < info.size < 1e9


def test_every_way_to_name_an_image(backend: Backend, engine_base: str, tmp_path: Path, tag: str) -> None:
    image_id, _ = build(backend, tmp_path, f"FROM {engine_base}\nENV A={tag}\n", tag, tag.replace(":1", ":latest"))
    bare = tag.removesuffix(":1")
    for reference in (tag, bare, f"{bare}:latest", f"localhost/{tag}", image_id, image_id.removeprefix("sha256:")[:12]):
        found = backend.image(reference)
        assert found.id.removeprefix("sha256:") == image_id.removeprefix("sha256:"), reference
        assert set(found.tags) == {tag, f"{bare}:latest"}
    backend.remove_image(f"{bare}:latest")


@pytest.mark.parametrize(
    "reference", ["no-such-image", "no-such-image:1", "localhost/nope:latest", "Bad Name!", "0" * 12]
)
def test_an_unknown_image_is_named_in_one_line(backend: Backend, reference: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        backend.image(reference)
    assert reference in str(caught.value)
    assert "\n" not in str(caught.value)


def test_list_shows_tagged_images_and_survives_one_without_environment(backend: Backend, image: str) -> None:
    command, reference = backend.info().name, f"localhost/contract-bare-{secrets.token_hex(3)}:1"
    empty_tar = bytes(1024)
    subprocess.run([command, "import", "-", reference], input=empty_tar, check=True, capture_output=True)
    try:
        images = backend.images()
        bare = next(found for found in images if reference.removeprefix("localhost/") in found.tags)
        assert "GREETING" not in bare.env
        assert any(found.id.removeprefix("sha256:") == image.removeprefix("sha256:") for found in images)
        labelled = backend.images({"org.example.kind": "contract"})
        assert bare.id not in {found.id for found in labelled}
        assert labelled
    finally:
        backend.remove_image(reference)


def test_build_output_comes_line_by_line(backend: Backend, engine_base: str, tmp_path: Path, tag: str) -> None:
    _, lines = build(backend, tmp_path, f"FROM {engine_base}\nRUN echo from-the-$(echo build) {tag}\n", tag)
    assert any("from-the-build" in line for line in lines)


def test_a_failed_build_carries_its_log(backend: Backend, engine_base: str, tmp_path: Path, tag: str) -> None:
    with pytest.raises(BuildError) as caught:
        build(backend, tmp_path, f"FROM {engine_base}\nRUN echo {tag}; echo the-$(echo reason) >&2; exit 3\n", tag)
    assert any("the-reason" in line for line in caught.value.build_log)
    with pytest.raises(ImageNotFound):
        backend.image(tag)


def test_secrets_reach_build_steps_and_no_layer(backend: Backend, engine_base: str, tmp_path: Path, tag: str) -> None:
    secret = tmp_path / "outside" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("s3cr3t")
    context = tmp_path / "context"
    context.mkdir()
    text = (
        f"FROM {engine_base}\nRUN --mount=type=secret,id=token,target=/run/token,mode=0444 "
        f"test $(stat -c %s /run/token) = 6 && echo {tag} > /seen\n"
    )
    image_id, lines = build(backend, context, text, tag, secrets=(BuildSecret("token", src=secret),))
    assert "s3cr3t" not in "".join(lines) + str(backend.image(image_id).attrs)


def test_the_image_a_rebuild_leaves_is_removed_and_the_cache_stays_whole(
    backend: Backend, engine_base: str, tmp_path: Path, tag: str, caller: UserMapping
) -> None:
    text = f"FROM {engine_base}\nRUN sh -c 'echo expensive {tag} > /expensive'\nCOPY api /api\n"
    ids = []
    for version in ("one", "two", "three"):
        (tmp_path / "api").write_text(version)
        image_id, lines = build(backend, tmp_path, text, tag)
        backend.prepare_mapping(image_id, caller)
        if ids:
            assert any("cache" in line.lower() for line in lines), "the expensive step ran again"
            assert backend.remove_if_unused(ids[-1]) is True
            with pytest.raises(ImageNotFound):
                backend.image(ids[-1])
        ids.append(image_id)
    _, lines = build(backend, tmp_path, text, tag)
    assert sum("using cache" in line.lower() or "cached" in line.lower() for line in lines) >= 2


def test_images_that_have_lost_their_name(backend: Backend, engine_base: str, tmp_path: Path, tag: str) -> None:
    label = tag.removesuffix(":1")
    ids = [build(backend, tmp_path, f"FROM {engine_base}\nLABEL {label}={n}\nENV A={n}\n", tag)[0] for n in (1, 2)]
    unnamed = {found.removeprefix("sha256:") for found in backend.unnamed_images({label: ""})}
    assert unnamed == {ids[0].removeprefix("sha256:")}
    assert backend.remove_if_unused(ids[0])
    assert backend.unnamed_images({label: ""}) == []


def test_an_image_in_use_is_kept(
    backend: Backend, engine_base: str, tmp_path: Path, tag: str, name: str, caller: UserMapping
) -> None:
    image_id, _ = build(backend, tmp_path, f"FROM {engine_base}\nRUN echo {tag} > /a\n", tag)
    assert backend.remove_if_unused(image_id) is False, "it has a tag"
    child = tag.replace(":1", ":child")
    build(backend, tmp_path, f"FROM {tag}\nRUN echo child > /b\n", child)
    backend.start(ContainerSpec(image_id, name, entrypoint=("sleep", "60"), user=caller))
    build(backend, tmp_path, f"FROM {engine_base}\nRUN echo other {tag} > /a\n", tag)
    assert backend.remove_if_unused(image_id) is False, "a container uses it"
    backend.remove(name)
    assert backend.remove_if_unused(image_id) is False, "another image builds on it"
    assert backend.image(image_id).tags == ()
    backend.remove_image(child)
    assert backend.remove_if_unused(image_id) in (True, False)  # Podman takes untagged parents along
    with pytest.raises(ImageNotFound):
        backend.image(image_id)
    assert backend.remove_if_unused(image_id) is False


def test_preparing_a_mapping_pays_its_copy_once(
    backend: Backend, engine_base: str, tmp_path: Path, tag: str, caller: UserMapping, python: Python, run: Run
) -> None:
    image_id, _ = build(backend, tmp_path, f"FROM {engine_base}\nRUN echo {tag} > /a\n", tag)
    first = backend.prepare_mapping(image_id, caller)
    assert backend.prepare_mapping(image_id, caller) is False
    info = backend.image(image_id)
    assert info.mapped_size == (info.size if first else 0)
    run(python("pass", image=image_id, entrypoint=("python3",)))
    assert backend.image(image_id).mapped_size == info.mapped_size, "the first start has copied it again"
    assert next(found for found in backend.images() if found.id == info.id).mapped_size == info.mapped_size
    assert backend.prepare_mapping(image_id, UserMapping(caller.caller_uid, caller.caller_gid, 0, 0)) is False
    backend.remove_image(tag)
    with pytest.raises(ImageNotFound):
        backend.image(image_id)


def test_the_command_that_a_person_would_type(backend: Backend, tmp_path: Path) -> None:
    spec = BuildSpec(tmp_path, tmp_path / "Containerfile", ("a:1",))
    command = backend.build_command(spec)
    assert [backend.info().name, "build"] in [command[:2], command[2:4]]  # variables may come first
    assert command[-1] == str(tmp_path)
