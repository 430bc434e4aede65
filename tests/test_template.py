"""releasetag.template: fields, kind, tags."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import UsageError
from releasetag.template import DEFAULT_TEMPLATES, FIELDS, expand, expand_platform, parse_template
from releasetag.version import Release, Scheme, Version, parse_version

REVISION = "0123456789abcdef0123456789abcdef01234567"


def version_of(text: str) -> Version:
    version = parse_version(text)
    assert version is not None, text
    return version


@pytest.mark.parametrize(
    ("template", "version", "expected"),
    [
        ("{version}", "1.2.3", "1.2.3"),
        ("{version}", "2.0.0-rc.1+build.5", "2.0.0-rc.1_build.5"),
        ("{major}", "1.2.3", "1"),
        ("{major}.{minor}", "1.2.3", "1.2"),
        ("{major}.{minor}.{patch}", "1.2.3-rc.1", "1.2.3"),
        ("{prerelease}", "2.0.0-rc.1", "rc.1"),
        ("{build}", "2.0.0+b.5", "b.5"),
        ("{channel}", "2.0.0-rc.1", "rc"),
        ("{sha}", "1.2.3", REVISION),
        ("sha-{short_sha}", "1.2.3", "sha-0123456"),
        ("latest", "1.2.3", "latest"),
        ("{version}-alpine", "1.2.3", "1.2.3-alpine"),
        ("{major}{major}", "1.2.3", "11"),
    ],
)
def test_fields_are_replaced_and_other_text_is_literal(
    template: str, version: str, expected: str
) -> None:
    assert parse_template(template).render(version_of(version), REVISION) == expected


@pytest.mark.parametrize(
    ("template", "version"),
    [
        ("{channel}", "1.2.3"),
        ("{channel}", "1.2.3-1"),
        ("{build}", "1.2.3"),
        ("{prerelease}", "1.0.0"),
    ],
)
def test_nothing_is_rendered_if_nothing_is_left_without_the_missing_field(
    template: str, version: str
) -> None:
    assert parse_template(template).render(version_of(version), REVISION) is None


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("{version}", "exact"),
        ("{major}.{minor}.{patch}", "exact"),
        ("{version}-{sha}", "exact"),
        ("{git_tag}", "exact"),
        ("{git_tag}-{short_sha}", "exact"),
        ("{patch}.{minor}.{major}", "exact"),
        ("{sha}", "commit"),
        ("edge-{short_sha}", "commit"),
        ("{major}.{minor}-{short_sha}", "commit"),
        ("{patch}", "floating"),
        ("{minor}.{patch}", "floating"),
        ("{version}-alpine", "exact"),
        ("{major}.{minor}", "floating"),
        ("{major}", "floating"),
        ("latest", "floating"),
        ("{channel}", "floating"),
        ("{prerelease}", "floating"),
        ("{build}", "floating"),
    ],
)
def test_the_fields_of_a_template_say_what_its_tags_name(template: str, kind: str) -> None:
    assert parse_template(template).kind == kind


@pytest.mark.parametrize(
    ("template", "name", "possible"),
    [
        ("{version}", "1.2.0", True),
        ("{version}", "1.2.0-rc.1_5", True),
        ("{version}", "1.2", False),
        ("{version}", "01.2.0", False),
        ("{version}", "v1.2.0", False),
        ("{major}.{minor}.{patch}", "1.2.0", True),
        ("{major}.{minor}.{patch}", "1.2.0-rc.1", False),
        ("{major}.{major}.{minor}.{patch}", "1.1.2.3", True),
        ("{major}.{major}.{minor}.{patch}", "1.2.2.3", False),
        ("v{version}-x", "v1.2.3-x", True),
        ("a.{version}", "ab1.2.3", False),
        ("{version}-{short_sha}", "1.2.3-0123abc", True),
        ("{git_tag}", "v1.2.3", True),
        ("{git_tag}", "1.2.3-rc.1_5", True),
        ("{git_tag}", "api-v1.2.3", True),
        ("{git_tag}", "v1.2", False),
        ("{version}-{channel}", "1.2.3-rc-rc", True),
    ],
)
def test_a_name_is_possible_if_some_version_could_have_it(
    template: str, name: str, possible: bool
) -> None:
    assert parse_template(template).may_render(name) is possible


@given(
    st.sampled_from(["1.2.3", "0.0.0-rc.1", "10.20.30-a.b-c+d.7", "1.0.0+001", "1.0.0--.-"]),
    st.lists(st.sampled_from([f"{{{field}}}" for field in FIELDS] + ["-", ".", "x"]), min_size=1),
)
def test_what_a_template_renders_to_is_possible(version: str, parts: list[str]) -> None:
    try:
        template = parse_template("".join(parts))
        name = template.render(version_of(version), REVISION, f"v{version}")
    except UsageError:
        return

    assert name is None or template.may_render(name)


@pytest.mark.parametrize(
    ("git_tag", "expected"),
    [("v1.2.3", "v1.2.3"), ("1.2.3-rc.1", "1.2.3-rc.1"), ("api/v1.2.3+5", "api-v1.2.3_5")],
)
def test_a_git_tag_is_written_as_a_docker_tag_can_hold_it(git_tag: str, expected: str) -> None:
    template = parse_template("{git_tag}-x")
    version = version_of(git_tag.removeprefix("api/").removeprefix("v"))

    assert template.render(version, REVISION, git_tag) == f"{expected}-x"


def test_a_git_tag_that_no_docker_tag_can_hold_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"'@acme-1\.2\.3' from template '\{git_tag\}'"):
        parse_template("{git_tag}").render(version_of("1.2.3"), REVISION, "@acme/1.2.3")


@pytest.mark.parametrize(
    ("text", "follows", "message", "hint"),
    [
        (
            "{version}",
            "any",
            "the tag template '{version}' names a version and follows nothing",
            "omit follows; a floating tag such as latest can have it",
        ),
        (
            "sha-{sha}",
            "stable",
            "the tag template 'sha-{sha}' names a commit and follows nothing",
            "omit follows; a floating tag such as latest can have it",
        ),
        (
            "{channel}",
            "any",
            "the tag template '{channel}' follows the prereleases of its channel",
            "omit follows, or name the tag without {channel}",
        ),
        (
            "beta",
            "all",
            "'all' is not what a tag can follow",
            "choose one of stable, prerelease, any",
        ),
    ],
)
def test_what_cannot_follow_is_a_usage_error(
    text: str, follows: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as error:
        parse_template(text, follows)

    assert (str(error.value), error.value.hint) == (message, hint)


def test_the_default_templates_can_be_parsed() -> None:
    parsed = [parse_template(text) for text in DEFAULT_TEMPLATES]

    assert [template.text for template in parsed] == ["{version}", "{major}.{minor}", "latest"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{majr}", "unknown field {majr} in the tag template '{majr}'", "did you mean {major}?"),
        ("{Version}", "{Version}", "{version}"),
        ("{short-sha}", "{short-sha}", "{short_sha}"),
        ("{}", "unknown field {}", "the fields are: version, git_tag, major, minor"),
        ("{date}", "unknown field {date}", "fields are"),
        ("{version:>9}", "unknown field", "{version}"),
        ("{version.major}", "unknown field", "{version}"),
        ("{version", "brace", "{major}.{minor}"),
        ("version}", "brace", "{major}.{minor}"),
        ("}{", "brace", "{major}.{minor}"),
        ("{{version}}", "brace", "{major}.{minor}"),
        ("", "cannot give a tag", "a tag is"),
        ("-{version}", "cannot give a tag", "neither '.' nor '-'"),
        (".{version}", "cannot give a tag", "neither '.' nor '-'"),
        ("{version}+x", "cannot give a tag", "a tag is"),
        ("acme/app:{version}", "cannot give a tag", "a tag is"),
        ("latest\n", "cannot give a tag", "a tag is"),
        ("größe", "cannot give a tag", "a tag is"),
        ("x" * 129, "cannot give a tag", "128"),
    ],
)
def test_a_template_that_can_give_no_tag_is_a_usage_error(
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        parse_template(text)

    assert hint in error.value.hint
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{version", "write fields as in {major}.{minor}"),
        (
            "-x",
            "a tag is letters, digits, '_', '.' and '-', begins with neither '.' nor '-',"
            " and holds at most 128 characters",
        ),
    ],
)
def test_the_hint_says_how_to_write_a_template(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_template(text)

    assert error.value.hint == hint


def test_a_tag_that_is_too_long_is_a_usage_error_that_says_so() -> None:
    version = version_of("1.2.3-" + "x" * 123)
    with pytest.raises(UsageError) as error:
        parse_template("{version}").render(version, REVISION)

    shown = "1.2.3-" + "x" * 34
    assert str(error.value) == (
        f"the tag '{shown}'… from template '{{version}}' is 129 characters long"
    )
    assert error.value.hint == (
        "a tag holds at most 128 characters: shorten the template or the version"
    )
    assert parse_template("{version}").render(version_of(str(version)[:-1]), REVISION)


def test_a_tag_that_begins_as_none_may_is_a_usage_error_that_says_so() -> None:
    # The longest that could be: its length is not what is wrong.
    identifier = "-" + "x" * 127
    with pytest.raises(UsageError) as error:
        parse_template("{prerelease}").render(version_of(f"1.2.3-{identifier}"), REVISION)

    assert str(error.value) == (
        f"the tag '{identifier}' from template '{{prerelease}}' is not possible"
    )
    assert error.value.hint == (
        "a tag is letters, digits, '_', '.' and '-', and does not begin with '.' or '-'"
    )


def test_a_field_takes_the_room_of_one_character_of_a_template() -> None:
    template = parse_template("x" * 127 + "{major}")

    assert template.render(version_of("1.2.3"), REVISION) == "x" * 127 + "1"


@given(st.text(alphabet="{}majornivespt_.-x", max_size=20))
def test_a_template_is_parsed_or_refused_with_a_usage_error(text: str) -> None:
    try:
        template = parse_template(text)
    except UsageError:
        return

    assert template.fields <= set(FIELDS)
    name = template.render(version_of("1.2.3-rc.1+b"), REVISION, "v1.2.3-rc.1+b")
    assert name is not None
    assert "{" not in name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{version}", "1.2.3-rc.1+b"),
        ("{git_tag} {sha} {short_sha}", f"v1.2.3-rc.1+b {REVISION} 0123456"),
        ("{major}.{minor}.{patch} {prerelease} {build} {channel}", "1.2.3 rc.1 b rc"),
        ("built {created}", "built 2026-01-02T03:04:05Z"),
        ('{"a": {version}, {}, {no}, ${sha}', f'{{"a": 1.2.3-rc.1+b, {{}}, {{no}}, ${REVISION}'),
        ("{{version}}", "{1.2.3-rc.1+b}"),
        ("", ""),
    ],
)  # fmt: skip
def test_fields_of_other_texts_are_replaced_and_other_braces_stay(text: str, expected: str) -> None:
    release = Release("v1.2.3-rc.1+b", version_of("1.2.3-rc.1+b"), REVISION)

    assert expand(text, release, "2026-01-02T03:04:05Z") == expected


@pytest.mark.parametrize(
    ("scheme", "prefix", "template", "name", "possible"),
    [
        ("loose", None, "{version}", "1", True),
        ("loose", None, "{version}", "2024.01.05", True),
        ("loose", None, "{version}", "1.2.3.4-05", True),
        ("loose", None, "{version}", "1.2.3.4.5", False),
        ("loose", None, "{version}", "1.2.3-rc.1", False),
        ("loose", None, "{version}", "v1.2", False),
        ("loose", None, "{major}.{minor}.{patch}", "2024.01.05", True),
        ("loose", None, "{git_tag}", "v1.2", True),
        ("loose", None, "{git_tag}", "1.2", True),
        ("loose", None, "{git_tag}", "buildcache-image-linux-arm-v7", False),
        ("loose", "api/v", "{git_tag}", "api-v7", True),
        ("loose", "api/v", "{git_tag}", "v7", False),
        ("loose", "", "{git_tag}", "v7", False),
        ("loose", "a.", "{git_tag}", "ab7", False),
        ("pep440", None, "{version}", "1.2", True),
        ("pep440", None, "{version}", "1-1.2rc1.post2.dev3_a.5", True),
        ("pep440", None, "{version}", "1.2.0.0.0.1", True),
        ("pep440", None, "{version}", "01.2", False),
        ("pep440", None, "{version}", "1.2-rc1", False),
        ("pep440", None, "{version}", "latest", False),
        ("pep440", None, "{git_tag}", "v1.2-RC.1", True),
        ("pep440", None, "{git_tag}", "buildcache-7", False),
        ("pep440", "api/", "{git_tag}", "api-1.2", True),
        ("pep440", None, "{major}.{minor}.{patch}", "1.02.3", False),
    ],
)
def test_a_name_is_possible_by_the_scheme(
    scheme: Scheme, prefix: str | None, template: str, name: str, possible: bool
) -> None:
    assert parse_template(template).may_render(name, scheme, prefix) is possible


@pytest.mark.parametrize("prefix", [None, "", "v", "api/v", "rel+", "1!"])
@given(
    st.sampled_from(
        [
            *(("loose", text) for text in ("1", "01.2", "2024.01.05", "1.2.3.4-05")),
            *(("pep440", text) for text in ("1", "1.2rc1", "1!1.2.dev3", "1.2.3.4.5.post0+a.5")),
        ]
    ),
    st.lists(st.sampled_from([f"{{{field}}}" for field in FIELDS] + ["-", ".", "x"]), min_size=1),
)
def test_what_a_template_renders_to_is_possible_in_any_scheme(
    prefix: str | None, of: tuple[Scheme, str], parts: list[str]
) -> None:
    scheme, text = of
    version = parse_version(text, scheme)
    assert version is not None
    try:
        template = parse_template("".join(parts))
        name = template.render(version, REVISION, f"{prefix or ''}{text}")
    except UsageError:
        return

    assert name is None or template.may_render(name, scheme, prefix)


@pytest.mark.parametrize(
    ("text", "template", "expected"),
    [
        ("5", "{major}.{minor}", None),
        ("5", "v{major}", "v5"),
        ("1.2", "x{patch}", None),  # "x" would be a tag
        ("1.2", "{minor}-{patch}-{sha}", None),
        ("01.02.03", "{major}-{minor}-{patch}", "01-02-03"),
    ],
)
def test_a_number_that_a_version_lacks_leaves_no_tag(
    text: str, template: str, expected: str | None
) -> None:
    version = parse_version(text, "loose")
    assert version is not None

    assert parse_template(template).render(version, REVISION) == expected


def test_an_epoch_is_written_with_a_hyphen() -> None:
    version = parse_version("1!2.0+a", "pep440")
    assert version is not None

    assert parse_template("{version}").render(version, REVISION) == "1-2.0_a"
    assert parse_template("{git_tag}").render(version, REVISION, "v1!2.0+a") == "v1-2.0_a"
    assert expand("{version}", Release("v1!2.0+a", version, REVISION), "") == "1!2.0+a"


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux/arm64", "linux-arm64- {x} {version} linux"),
        ("linux/arm/v7", "linux-arm-v7 {x} {version} linux"),
    ],
)
def test_the_fields_of_a_platform_are_replaced_and_others_stay(
    platform: str, expected: str
) -> None:
    text = "{os}-{arch}-{variant} {x} {version} {os}"

    assert expand_platform(text, platform) == expected


def test_the_prefix_of_a_git_tag_is_not_known_under_semver() -> None:
    """A name that only could be one is refused, as ever."""
    assert parse_template("{git_tag}").may_render("other-1.2.3", "semver", "api/v")
