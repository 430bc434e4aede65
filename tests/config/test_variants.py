"""``[[variants]]``: several images of one release."""

import re
from pathlib import Path

import pytest

from releasetag.config import Settings
from releasetag.errors import UsageError
from tests.support.config import load_in

THREE = """
    images = ["acme/app"]
    build.args = { A = "1" }
    [[variants]]
    name = "alpine"
    build.target = "alpine"
    build.args = { B = "2" }
    [[variants]]
    name = "debian"
    default = true
    suffix = "-bookworm"
    latest = "bookworm-latest"
    [[variants]]
    name = "slim"
    suffix = ""
    images = ["acme/slim"]
"""


def tags(settings: Settings) -> list[str]:
    return [template.text for template in settings.tags]


def test_variants_have_the_shared_settings_and_their_own(tmp_path: Path) -> None:
    debian, alpine, slim = load_in(tmp_path, toml=THREE).default.each_variant()

    assert [each.variant for each in (debian, alpine, slim)] == ["debian", "alpine", "slim"]
    assert (alpine.target, alpine.build_args) == ("alpine", {"A": "1", "B": "2"})
    assert (debian.target, debian.build_args) == (None, {"A": "1"})
    assert [str(image) for image in slim.images] == ["acme/slim"]
    assert alpine.images == debian.images != slim.images


def test_the_tags_are_named_as_those_of_official_images(tmp_path: Path) -> None:
    debian, alpine, slim = load_in(tmp_path, toml=THREE).default.each_variant()

    assert tags(alpine) == ["{version}-alpine", "{major}.{minor}-alpine", "alpine"]
    assert tags(debian) == [
        *["{version}", "{major}.{minor}", "latest"],
        *["{version}-bookworm", "{major}.{minor}-bookworm", "bookworm-latest"],
    ]
    assert tags(slim) == ["{version}", "{major}.{minor}", "latest"]


def test_what_a_tag_follows_stays(tmp_path: Path) -> None:
    toml = 'tags = ["{version}", {tag = "beta", follows = "any"}]\n[[variants]]\nname = "x"'
    (found,) = load_in(tmp_path, toml=toml).default.each_variant()
    assert [(each.text, each.follows) for each in found.tags] == [
        ("{version}-x", "stable"),
        ("beta-x", "any"),
    ]


def test_options_are_above_a_variant(tmp_path: Path) -> None:
    found = load_in(tmp_path, toml=THREE, target="given", variants=["alpine"]).default
    (alpine,) = found.each_variant()
    assert (alpine.variant, alpine.target) == ("alpine", "given")
    assert alpine.each_variant() == (alpine,)


def test_a_component_has_variants_of_its_own_or_those_above(tmp_path: Path) -> None:
    own = '[[components]]\ntag-prefix = "a/v"\n[[components]]\ntag-prefix = "b/v"\n'
    own += '[[components.variants]]\nname = "own"'
    a, b = load_in(tmp_path, toml=f'[[variants]]\nname = "shared"\n{own}').components
    assert [each.variant for each in a.each_variant()] == ["shared"]
    assert [each.variant for each in b.each_variant()] == ["own"]


def test_a_component_whose_variants_alone_have_images_is_published(tmp_path: Path) -> None:
    toml = '[[variants]]\nname = "server"\nsuffix = ""\nimages = ["acme/server"]\n'
    toml += '[[variants]]\nname = "worker"\nsuffix = ""\nimages = ["acme/worker"]\n'
    found = load_in(tmp_path, toml=toml)
    assert found.publishable() == (found.default,)
    assert [str(each) for each in found.default.all_images] == ["acme/server", "acme/worker"]
    # Beside components, one that has an image in a variant is a component of its own, too.
    beside = load_in(tmp_path, toml=f'{toml}[[components]]\ntag-prefix = "api/v"')
    assert beside.of("v1.2.3") is beside.default


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ("variants = 1", "variants is not a list of tables", r"\[\[variants\]\]"),
        ("[[variants]]", "variant 1 has no name", "name ="),
        ("[[variants]]\nname = 1", "variant 1 has no name", "name ="),
        ('[[variants]]\nname = "a/b"', "variant 1 has no name", "name ="),
        ('[[variants]]\nname = "a"\nsuffix = "a"', "a: suffix is not '-', '_' or '.'", "-alpine"),
        ('[[variants]]\nname = "a"\nsuffix = 1', "a: suffix is not", "-alpine"),
        ('[[variants]]\nname = "a"\nlatest = 1', "a: latest is not a string", "…"),
        ('[[variants]]\nname = "a"\nlatest = "/"', "tag template '/' cannot give a tag", "letters"),
        ('[[variants]]\nname = "a"\ndefault = 1', "a: default is not true or false", "true"),
        ('[[variants]]\nname = "a"\ntarget = "x"', "unknown key 'target'", "'build.target'"),
        ('[[variants]]\nname = "a"\nsufix = "x"', "unknown key 'sufix'", "'suffix'"),
        ('[[variants]]\nname = "a"\njobs = 2', "jobs is one for all variants", "above"),
        ('[[variants]]\nname = "a"\ntag-prefix = "x"', "tag-prefix is one for all", "above"),
        (
            '[[variants]]\nname = "a"\n[[variants]]\nname = "a"',
            "two variants have the name 'a'",
            "its own",
        ),
        (
            '[[variants]]\nname = "a"\ndefault = true\n[[variants]]\nname = "b"\ndefault = true',
            "several variants are the default",
            "one alone",
        ),
        (
            '[[components]]\ntag-prefix = "v"\n[[components]]\nname = "b"\ntag-prefix = "v"',
            "component b has the tag-prefix 'v', as another component has",
            r"\[\[variants\]\]",
        ),
    ],
)
def test_what_a_variant_cannot_be(toml: str, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as error:
        load_in(tmp_path, toml=toml)

    assert re.search(hint, error.value.hint)


@pytest.mark.parametrize(
    ("toml", "pick", "hint"),
    [
        (THREE, "alpin", "did you mean 'alpine'?"),
        (THREE, "xyz", "the variants are: debian, alpine, slim"),
        ("", "alpine", "write [[variants]]"),
    ],
)
def test_a_variant_that_there_is_not_is_an_error(
    toml: str, pick: str, hint: str, tmp_path: Path
) -> None:
    found = load_in(tmp_path, toml=toml, variants=[pick]).default
    with pytest.raises(UsageError, match=f"there is no variant {pick!r}") as error:
        found.each_variant()
    assert error.value.hint == hint
