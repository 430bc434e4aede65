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
