"""releasetag.reference: repositories and references, named as Docker names them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from releasetag.errors import UsageError
from releasetag.reference import (
    Reference,
    is_digest,
    is_loopback,
    is_tag,
    parse_reference,
    parse_registry,
    parse_repository,
    registry_host,
    split_port,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "path", "shown"),
    [
        ("app", "docker.io", "library/app", "app"),
        ("acme/app", "docker.io", "acme/app", "acme/app"),
        ("Acme/App", "docker.io", "acme/app", "acme/app"),
        ("ghcr.io/Acme/app", "ghcr.io", "acme/app", "ghcr.io/acme/app"),
        ("docker.io/app", "docker.io", "library/app", "app"),
        ("docker.io/library/app", "docker.io", "library/app", "app"),
        ("index.docker.io/acme/app", "docker.io", "acme/app", "acme/app"),
        ("registry-1.docker.io/app", "docker.io", "library/app", "app"),
        ("ghcr.io/acme/app", "ghcr.io", "acme/app", "ghcr.io/acme/app"),
        ("ghcr.io/app", "ghcr.io", "app", "ghcr.io/app"),
        ("ghcr.io/library/app", "ghcr.io", "library/app", "ghcr.io/library/app"),
        ("localhost/app", "localhost", "app", "localhost/app"),
        ("localhost:5000/app", "localhost:5000", "app", "localhost:5000/app"),
        ("registry:5000/a/b/c", "registry:5000", "a/b/c", "registry:5000/a/b/c"),
        ("[::1]:5000/app", "[::1]:5000", "app", "[::1]:5000/app"),
        ("a/b/c", "docker.io", "a/b/c", "a/b/c"),
        ("acme/a.b_c__d---e", "docker.io", "acme/a.b_c__d---e", "acme/a.b_c__d---e"),
        # Names whose short form would mean another repository keep their long one.
        ("docker.io/library/a/b", "docker.io", "library/a/b", "library/a/b"),
        ("docker.io/my.org/app", "docker.io", "my.org/app", "docker.io/my.org/app"),
        ("docker.io/localhost/app", "docker.io", "localhost/app", "docker.io/localhost/app"),
    ],
)
def test_a_repository_has_a_registry_and_a_path(
    text: str, registry: str, path: str, shown: str
) -> None:
    repository = parse_repository(text)

    assert (repository.registry, repository.path) == (registry, path)
    assert str(repository) == shown
    assert parse_repository(str(repository)) == repository


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("acme/GRÖSSE", "not a repository", "acme/app"),
        ("acme/app:1.2", "is a reference", "acme/app "),
        ("localhost:5000/app:1.2", "is a reference", "localhost:5000/app "),
        (f"acme/app@{DIGEST}", "is a reference", "acme/app "),
        (f"acme/app:1.2@{DIGEST}", "is a reference", "acme/app "),
        ("", "not a repository", "acme/app"),
        ("/app", "not a repository", "acme/app"),
        ("acme/", "not a repository", "acme/app"),
        ("acme//app", "not a repository", "acme/app"),
        ("-acme/app", "not a repository", "acme/app"),
        ("acme/app.", "not a repository", "acme/app"),
        ("acme/a___b", "not a repository", "acme/app"),
        ("acme/a..b", "not a repository", "acme/app"),
        ("acme/größe", "not a repository", "acme/app"),
        ("acme/app\n", "not a repository", "acme/app"),
        ("acme/ap p", "not a repository", "acme/app"),
        ("https://ghcr.io/acme/app", "not a repository", "acme/app"),
        ("-bad.io/app", "not a repository", "acme/app"),
        ("ghcr.io:port/app", "not a repository", "acme/app"),
        ("acme/" + "a" * 251, "256 characters", "255"),
    ],
)
def test_what_is_no_repository_is_a_usage_error(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        parse_repository(text)

    assert hint in f"{error.value.hint} "


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("app", "app", "latest", ""),
        ("acme/app:1.2", "acme/app", "1.2", ""),
        ("localhost:5000/app", "localhost:5000/app", "latest", ""),
        ("localhost:5000/app:1.2", "localhost:5000/app", "1.2", ""),
        (f"acme/app@{DIGEST}", "acme/app", "", DIGEST),
        # The digest says all that the tag could.
        (f"acme/app:1.2@{DIGEST}", "acme/app", "", DIGEST),
    ],
)
def test_a_reference_is_a_repository_and_a_tag_or_a_digest(
    text: str, repository: str, tag: str, digest: str
) -> None:
    reference = parse_reference(text)

    assert str(reference.repository) == repository
    assert (reference.tag, reference.digest) == (tag, digest)
    assert reference.name == (digest or tag)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme/app:",
        "acme/app@",
        "acme/app:-x",
        "acme/app@sha256:abc",
        "acme/app:1:2",
        "acme/app:1\n",
        "acme/app:" + "x" * 129,
        f"acme/app@{DIGEST}@{DIGEST}",
    ],
)
def test_what_is_no_reference_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_reference(text)

    assert error.value.hint


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.8.8.8", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("::1", True),
        ("registry.localhost", True),
        ("Registry.LocalHost:5000", True),
        ("localhost.", False),
        ("notlocalhost", False),
        ("ghcr.io", False),
        ("10.0.0.1:5000", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("docker.io", False),
    ],
)
def test_only_a_registry_on_this_machine_is_loopback(registry: str, expected: bool) -> None:
    assert is_loopback(registry) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ghcr.io", ("ghcr.io", "")),
        ("ghcr.io:443", ("ghcr.io", "443")),
        ("[fd00::1]:5000", ("fd00::1", "5000")),
        ("[fd00::1]", ("fd00::1", "")),
        ("fd00::1", ("fd00::1", "")),
        ("::1", ("::1", "")),
        ("", ("", "")),
    ],
)
def test_a_port_is_split_off_its_host(text: str, expected: tuple[str, str]) -> None:
    assert split_port(text) == expected


@pytest.mark.parametrize(
    ("text", "registry", "host"),
    [
        ("ghcr.io", "ghcr.io", "ghcr.io"),
        ("localhost", "localhost", "localhost"),
        ("registry:5000", "registry:5000", "registry:5000"),
        ("[fd00::1]:5000", "[fd00::1]:5000", "[fd00::1]:5000"),
        ("docker.io", "docker.io", "registry-1.docker.io"),
        ("index.docker.io", "docker.io", "registry-1.docker.io"),
        ("registry-1.docker.io", "docker.io", "registry-1.docker.io"),
    ],
)
def test_a_registry_has_a_name_and_a_host(text: str, registry: str, host: str) -> None:
    assert parse_registry(text) == registry
    assert registry_host(registry) == host


@pytest.mark.parametrize("text", ["", "registry", "ghcr.io/acme", "me@ghcr.io", "a b.io", "-.io"])
def test_what_no_reference_can_name_is_no_registry(text: str) -> None:
    """A bare name above all: in a reference it would be a repository of Docker Hub."""
    with pytest.raises(UsageError, match="is not a registry"):
        parse_registry(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3", True),
        ("_x", True),
        ("A" * 128, True),
        ("A" * 129, False),
        ("", False),
        (".x", False),
        ("-x", False),
        ("a+b", False),
        ("a/b", False),
        ("a\n", False),
        ("é", False),
        ("١", False),
    ],
)
def test_a_tag_is_what_dockers_grammar_takes(text: str, expected: bool) -> None:
    assert is_tag(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DIGEST, True),
        ("sha512:" + "a" * 128, True),
        ("sha256+b64:" + "a" * 32, True),
        ("sha256:abc", False),
        ("SHA256:" + "a" * 64, False),
        ("a" * 64, False),
        (DIGEST + "\n", False),
        ("../../x:" + "a" * 64, False),
    ],
)
def test_a_digest_is_an_algorithm_and_hexadecimal_digits(text: str, expected: bool) -> None:
    assert is_digest(text) is expected


def test_a_repository_makes_references() -> None:
    repository = parse_repository("ghcr.io/acme/app")

    assert repository.tagged("1.2") == Reference(repository, tag="1.2")
    assert str(repository.tagged("1.2")) == "ghcr.io/acme/app:1.2"
    assert str(repository.at(DIGEST)) == f"ghcr.io/acme/app@{DIGEST}"


component = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}", fullmatch=True)
registries = st.sampled_from(["", "docker.io/", "ghcr.io/", "localhost/", "localhost:5000/"])


@given(registries, st.lists(component, min_size=1, max_size=4))
def test_the_shown_name_means_the_same_repository(registry: str, parts: list[str]) -> None:
    # A first part with a dot is a registry, which has no underscore.
    assume(registry or not {".", "_"} <= set(parts[0]))
    repository = parse_repository(registry + "/".join(parts))

    assert parse_repository(str(repository)) == repository


@given(st.text(alphabet="aA0.-_/:@[]\n ", max_size=30))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return

    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text", ["bob:hunter2@ghcr.io/acme/app", "https://bob:hunter2@x.test/app:1"]
)
def test_a_password_in_a_repository_is_not_repeated(text: str) -> None:
    for parse in (parse_repository, parse_reference):
        with pytest.raises(UsageError) as caught:
            parse(text)
        assert "hunter2" not in caught.value.message + caught.value.hint
