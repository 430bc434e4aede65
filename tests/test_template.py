"""releasetag.template: fields, kind, scope."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import UsageError
from releasetag.template import DEFAULT_TEMPLATES, FIELDS, parse_template
from releasetag.version import Release, parse_version

REVISION = "0123456789abcdef0123456789abcdef01234567"


def release(text: str) -> Release:
    version = parse_version(text)
    assert version is not None, text
    return Release(f"v{text}", version, REVISION)


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
    assert parse_template(template).render(release(version)) == expected


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
    assert parse_template(template).render(release(version)) is None


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("{version}", "exact"),
        ("{major}.{minor}.{patch}", "exact"),
        ("{sha}", "exact"),
        ("edge-{short_sha}", "exact"),
        ("{version}-alpine", "exact"),
        ("{major}.{minor}", "floating"),
        ("{major}", "floating"),
        ("latest", "floating"),
        ("{channel}", "floating"),
        ("{prerelease}", "floating"),
        ("{build}", "floating"),
    ],
)
def test_a_template_is_exact_if_it_holds_what_names_one_version(template: str, kind: str) -> None:
    assert parse_template(template).kind == kind


@pytest.mark.parametrize(
    ("template", "one", "other", "same"),
    [
        ("{major}.{minor}", "1.2.3", "1.2.9", True),
        ("{major}.{minor}", "1.2.3", "1.3.3", False),
        ("{major}.{minor}", "1.2.3", "2.2.3", False),
        ("{major}", "1.2.3", "1.9.0", True),
        ("{major}", "1.2.3", "2.2.3", False),
        ("latest", "1.2.3", "9.9.9", True),
        ("{channel}", "1.0.0-rc.1", "2.0.0-rc.7", True),
        ("{channel}", "1.0.0-rc.1", "1.0.0-beta.1", False),
        ("{major}-{channel}", "1.0.0-rc.1", "1.5.0-rc.1", True),
        ("{major}-{channel}", "1.0.0-rc.1", "2.0.0-rc.1", False),
        # What renders alike is not the same scope: 1.11 and 11.1.
        ("{major}{minor}", "1.11.0", "11.1.0", False),
    ],
)
def test_the_scope_is_the_fields_that_a_template_holds(
    template: str, one: str, other: str, same: bool
) -> None:
    parsed = parse_template(template)

    equal = parsed.scope(release(one).version) == parsed.scope(release(other).version)

    assert equal is same


def test_the_default_templates_can_be_parsed() -> None:
    parsed = [parse_template(text) for text in DEFAULT_TEMPLATES]

    assert [template.text for template in parsed] == ["{version}", "{major}.{minor}", "latest"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{majr}", "unknown field {majr} in the tag template '{majr}'", "did you mean {major}?"),
        ("{Version}", "{Version}", "{version}"),
        ("{short-sha}", "{short-sha}", "{short_sha}"),
        ("{}", "unknown field {}", "the fields are: version, major, minor"),
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


def test_a_tag_that_is_too_long_is_a_usage_error_that_says_so() -> None:
    with pytest.raises(UsageError, match="134 characters") as error:
        parse_template("{version}").render(release("1.2.3-" + "x" * 128))

    assert "128" in error.value.hint


@given(st.text(alphabet="{}majornivespt_.-x", max_size=20))
def test_a_template_is_parsed_or_refused_with_a_usage_error(text: str) -> None:
    try:
        template = parse_template(text)
    except UsageError:
        return

    assert template.fields <= set(FIELDS)
    name = template.render(release("1.2.3-rc.1+b"))
    assert name is not None
    assert "{" not in name
