"""releasetag.config.settings: which component a git tag or a version belongs to."""

from pathlib import Path

import pytest

from releasetag.errors import UsageError
from tests.support.config import load_in

MONOREPO = """
images = ["acme/app"]
[[components]]
name = "api"
tag-prefix = "api/v"
images = ["acme/api"]
[[components]]
name = "web"
tag-prefix = "web-"
images = ["acme/web"]
"""
SHARED = "tags = ['latest']\n" + MONOREPO.replace('images = ["acme/app"]\n', "", 1)


@pytest.mark.parametrize(
    ("toml", "git_tag", "expected"),
    [
        (MONOREPO, "v1.2.3", "acme/app"),
        (MONOREPO, "api/v1.2.3", "acme/api"),
        (MONOREPO, "web-1.2.3", "acme/web"),
        (MONOREPO, "web-v1.2.3", None),
        (MONOREPO, "api/v1.2", None),
        (MONOREPO, "nightly", None),
        # With components alone there is nothing that `v1.2.3` is a release of.
        (SHARED, "v1.2.3", None),
        (SHARED, "api/v1.2.3", "acme/api"),
    ],
)
def test_a_component_is_chosen_by_the_prefix_of_the_git_tag(
    toml: str, git_tag: str, expected: str | None, tmp_path: Path
) -> None:
    found = load_in(tmp_path, toml=toml).of(git_tag)

    assert (found and [str(image) for image in found.images]) == (expected and [expected])


def test_the_longest_prefix_is_chosen_where_two_would_do(tmp_path: Path) -> None:
    toml = """
        [[components]]
        tag-prefix = ""
        images = ["acme/short"]
        [[components]]
        tag-prefix = "1"
        images = ["acme/long"]
    """

    found = load_in(tmp_path, toml=toml).of("11.2.3")

    assert found is not None
    assert [str(image) for image in found.images] == ["acme/long"]


@pytest.mark.parametrize(
    ("prefix", "git_tag", "expected"),
    [
        ("api/v", "api/v1.2.3", "acme/api"),
        ("api/v", "web-1.2.3", None),
        ("api/v", "v1.2.3", None),
        # The file's own prefix chooses what is outside any component.
        ("v", "v1.2.3", "acme/app"),
        ("v", "api/v1.2.3", None),
        ("other/v", "other/v1.2.3", "acme/app"),
    ],
)
@pytest.mark.parametrize("file_prefix", ["", "tag-prefix = 'v'\n"])
def test_a_prefix_from_above_the_file_chooses_a_component_and_renames_none(
    prefix: str, git_tag: str, expected: str | None, file_prefix: str, tmp_path: Path
) -> None:
    found = load_in(tmp_path, toml=file_prefix + MONOREPO, tag_prefix=prefix).of(git_tag)

    assert (found and [str(image) for image in found.images]) == (expected and [expected])


def test_options_and_environment_count_for_components_too(tmp_path: Path) -> None:
    environ = {"RELEASETAG_JOBS": "2"}

    found = load_in(tmp_path, toml=MONOREPO, environ=environ, build_args=["A=1"])

    assert [(each.jobs, each.build_args) for each in found.components] == [(2, {"A": "1"})] * 2


def test_values_that_may_be_secret_are_not_in_the_repr_of_settings(tmp_path: Path) -> None:
    found = load_in(tmp_path, build_args=["TOKEN=hunter2"], labels=["a=hunter2"])

    assert found.default.build_args == {"TOKEN": "hunter2"}
    assert "hunter2" not in repr(found)


def test_what_has_no_image_is_not_publishable(tmp_path: Path) -> None:
    toml = "[[components]]\ntag-prefix = 'a/v'\n[[components]]\ntag-prefix = 'b/v'\nimages = ['b']"

    found = load_in(tmp_path, toml=toml)

    assert [each.tag_prefix for each in found.publishable()] == ["b/v"]


def test_no_image_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image is given"):
        load_in(tmp_path).publishable()


@pytest.mark.parametrize(
    ("toml", "text", "expected"),
    [
        ("images = ['acme/app']", "1.2.3", ("acme/app", "1.2.3")),
        ("images = ['acme/app']", "v1.2.3", ("acme/app", "1.2.3")),
        (MONOREPO, "api/v1.2.3", ("acme/api", "1.2.3")),
        (MONOREPO, "web-1.2.3+b.1", ("acme/web", "1.2.3+b.1")),
        (MONOREPO, "v1.2.3", ("acme/app", "1.2.3")),
    ],
)
def test_a_version_or_a_git_tag_means_a_component_and_a_version(
    toml: str, text: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    settings, version = load_in(tmp_path, toml=toml).component_of(text)

    assert (str(settings.images[0]), str(version)) == expected


@pytest.mark.parametrize(
    ("toml", "text", "message"),
    [
        ("images = ['acme/app']", "1.2", "'1.2' is not a version"),
        (SHARED, "1.2.3", "1.2.3 may be a release of several components"),
    ],
)
def test_a_text_that_means_none_or_several_is_an_error(
    toml: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load_in(tmp_path, toml=toml).component_of(text)


SCHEMES = """
ignore = ["2.0"]
versions = "loose"
[[components]]
name = "api"
tag-prefix = "api/v"
versions = "pep440"
images = ["acme/api"]
ignore = ["1.0-RC.1", "v1.0.post1"]
[[components]]
name = "web"
tag-prefix = "web-"
images = ["acme/web"]
"""


def test_a_component_may_have_a_scheme_of_its_own(tmp_path: Path) -> None:
    found = load_in(tmp_path, toml=SCHEMES)
    api, web = found.components

    assert (api.versions, web.versions) == ("pep440", "loose")
    assert (api.policy.scheme, web.policy.scheme) == ("pep440", "loose")
    assert [str(each) for each in api.ignore] == ["1.0rc1", "1.0.post1"]
    # What all components share is read by the scheme of each.
    assert [(str(each), each.scheme) for each in web.ignore] == [("2.0", "loose")]
    assert found.of("api/v1.0rc1") is api
    assert found.of("web-1.0rc1") is None
    assert found.of("web-1.0-1") is web


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1!2.0", ("acme/api", "1!2.0")),  # of PEP 440 alone
        ("api/v1.0-3", ("acme/api", "1.0.post3")),
        ("web-01.2", ("acme/web", "01.2")),
    ],
)
def test_a_version_means_the_component_that_has_such_versions(
    text: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    settings, version = load_in(tmp_path, toml=SCHEMES).component_of(text)

    assert (str(settings.images[0]), str(version)) == expected


@pytest.mark.parametrize(
    ("scheme", "text", "message", "hint"),
    [
        ("semver", "1.2", "is not a semantic version", "1.2.3 or 2.0.0-rc.1"),
        ("pep440", "x", "is not a version of PEP 440", "1.2.3 or 2.0.0rc1"),
        ("loose", "1.2.3-rc.1", "is not a version of one to four numbers",
         "2024.01.05 or 1.2.3-2"),
    ],
)  # fmt: skip
def test_what_is_no_version_of_the_scheme_is_an_error_that_says_so(
    scheme: str, text: str, message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as error:
        load_in(tmp_path, toml=f"ignore = ['{text}']", versions=scheme)

    assert error.value.message == f"releasetag.toml: ignore: {text!r} {message}"
    assert error.value.hint == f"write it as in {hint}"


def test_a_scheme_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load_in(tmp_path, toml='versions = "calver"')

    assert error.value.message == "releasetag.toml: versions: 'calver' is not possible"
    assert error.value.hint == "choose one of semver, pep440, loose"
