"""releasetag.engine.dockerfile: the labels that a Dockerfile sets, and its base images."""

import pytest

from releasetag.engine.dockerfile import base_images, own_labels


@pytest.mark.parametrize(
    ("dockerfile", "target", "labels"),
    [
        ("", None, set()),
        ("LABEL a=1\nFROM scratch\n", None, set()),
        ('FROM scratch\nLABEL a=1 b="two words"\n', None, {"a", "b"}),
        ("FROM scratch\nLABEL a some words = more\n", None, {"a"}),
        ("from\tscratch\nlabel\ta=1\n", None, {"a"}),
        ("FROM scratch\nLABEL a=1 \\\n  # why\n\n  b=2\n", None, {"a", "b"}),
        ("# escape=`\nFROM scratch\nLABEL a=1 `\n  b=2\n", None, {"a", "b"}),
        ("FROM scratch\nRUN <<END\nLABEL a=1\nEND\nLABEL b=2\n", None, {"b"}),
        ('FROM scratch\nLABEL a="unclosed\n', None, {"a"}),
        ("FROM scratch AS Base\nLABEL a=1\nFROM base\nLABEL b=2\n", None, {"a", "b"}),
        ("FROM scratch AS one\nLABEL a=1\nFROM scratch\nLABEL b=2\n", "ONE", {"a"}),
        ("FROM scratch\nLABEL a=1\n", "missing", set()),
        ("FROM a AS a\nLABEL a=1\n", None, {"a"}),
        ("FROM scratch\n\\", None, set()),
    ],
)
def test_the_labels_of_the_built_stage_and_of_those_it_is_from(
    dockerfile: str, target: str | None, labels: set[str]
) -> None:
    assert own_labels(dockerfile, target) == labels


def test_base_images_are_those_that_are_no_stage() -> None:
    dockerfile = """
    ARG BASE=alpine
    FROM --platform=linux/amd64 ghcr.io/acme/base:1 AS build
    FROM $BASE
    FROM BUILD
    FROM scratch
    FROM ghcr.io/acme/base:1
    """
    assert base_images(dockerfile) == ["ghcr.io/acme/base:1"]
