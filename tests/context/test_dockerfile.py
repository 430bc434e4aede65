"""releasetag.context.dockerfile: the labels that a Dockerfile sets, and its base images."""

import pytest

from releasetag.context.dockerfile import base_image, base_images, own_labels


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
        ("FROM scratch\nLABEL a=1\nFROM scratch\nLABEL b=2\n", "0", {"a"}),
        # Directives: only at the very top, one a line, in any case.
        ("# syntax=x\n# escape=`\nFROM scratch\nLABEL a=1 `\n b=2", None, {"a", "b"}),
        ("\ufeff# EsCaPe = `\nFROM scratch\nLABEL a=1 `\n b=2", None, {"a", "b"}),
        ("# escape=`\r\nFROM scratch\r\nLABEL a=1 `\r\n b=2\r\n", None, {"a", "b"}),
        ("# escape=`\nFROM scratch\nENV P=C:\\\nLABEL a=1\n", None, {"a"}),
        ("\n# escape=`\nFROM scratch\nLABEL a=1 \\\n b=2", None, {"a", "b"}),
        ("# hello\n# escape=`\nFROM scratch\nLABEL a=1 \\\n b=2", None, {"a", "b"}),
        ("FROM scratch\nRUN a \\\\\nLABEL a=1\n", None, {"a"}),
        ("FROM scratch\nRUN a \\  \nLABEL a=1\nLABEL b=2\n", None, {"b"}),
        # What is and what is not a here-document.
        ("FROM scratch\nRUN cat <<< hello\nLABEL a=1\n", None, {"a"}),
        ("FROM scratch\nRUN echo 'see <<here'\nLABEL a=1\n", None, {"a"}),
        ("FROM scratch\nRUN echo $((1<<2))\nLABEL a=1\n", None, {"a"}),
        ('FROM scratch\nRUN ["echo", "<<END"]\nLABEL a=1\n', None, {"a"}),
        ("FROM scratch\nCMD cat <<END\nLABEL a=1\n", None, {"a"}),
        ("FROM scratch\nRUN <<END-OF-FILE\nLABEL a=1\nEND-OF-FILE\nLABEL b=2\n", None, {"b"}),
        ("FROM scratch\nCOPY <<1 <<2 /\nLABEL a=1\n1\nLABEL b=1\n2\nLABEL c=1\n", None, {"c"}),
        ("FROM scratch\nCOPY <<E /\n  E\nLABEL a=1\nE\nLABEL b=1\n", None, {"b"}),
        ("FROM scratch\nCOPY <<-'E' /\nLABEL a=1\n\tE\nLABEL b=1\n", None, {"b"}),
        ("FROM scratch\nONBUILD RUN <<E\nLABEL a=1\nE\nONBUILD LABEL b=1\n", None, set()),
        # Variables.
        ("FROM scratch AS x-a\nLABEL a=1\nFROM x-${V:-a}\n", None, {"a"}),
        ("ARG V=a\nARG W=x-$V\nFROM scratch AS x-a\nLABEL a=1\nFROM $W\n", None, {"a"}),
        (
            "FROM scratch\nARG K=a\nENV M='b'\nLABEL $K=1 x.${M}=2\n",
            None,
            {"a", "x.b"},
        ),
        ("ARG K=a\nFROM scratch\nARG K\nLABEL $K=1\n", None, {"a"}),
        (
            "FROM scratch AS x\nENV V=1\nFROM x\nLABEL x$V=1 y${U-2}=2 z$U=3\n",
            None,
            {"x1", "y2", "z"},
        ),
        # Names: of the stages above alone.
        ("FROM a AS b\nLABEL x=1\nFROM b AS c\nFROM z AS b\nLABEL y=1\nFROM c", None, {"x"}),
        ('FROM a AS b\nLABEL x=1\nFROM "b"', None, {"x"}),
        # Quotes and blanks.
        ('FROM a\nLABEL "it\'s"=1 \'a\\b\'=1 "a\\b"=1\n', None, {"it's", "a\\b"}),
        ("FROM a\nRUN cat << EOF\nLABEL x=1\nEOF\nLABEL y=1\n", None, {"y"}),
        ("FROM a\nRUN cat <<''\nLABEL x=1\n", None, {"x"}),
        ("FROM a\nCOPY <<\"it's\" /\nLABEL x=1\nit's\nLABEL y=1\n", None, {"y"}),
    ],
)
def test_the_labels_of_the_built_stage_and_of_those_it_is_from(
    dockerfile: str, target: str | None, labels: set[str]
) -> None:
    assert own_labels(dockerfile, target) == labels


def test_build_arguments_say_which_stage_is_built_on() -> None:
    dockerfile = """
    ARG FLAVOUR=one
    ARG REGISTRY
    FROM scratch AS base-one
    LABEL one=1
    FROM $REGISTRY/acme/two AS base-two
    LABEL two=2
    FROM base-${FLAVOUR}
    ENV FLAVOUR=two
    """
    assert own_labels(dockerfile, None) == {"one"}
    assert own_labels(dockerfile, None, {"FLAVOUR": "two"}) == {"two"}
    assert own_labels(dockerfile, None, {"FLAVOUR": None}) == {"one"}
    assert base_images(dockerfile, {"REGISTRY": "ghcr.io"}) == ["ghcr.io/acme/two"]


def test_base_images_are_those_that_are_no_stage() -> None:
    dockerfile = """
    ARG BASE=alpine
    FROM --platform=linux/amd64 ghcr.io/acme/base:1 AS build
    FROM $BASE
    FROM $OTHER
    FROM BUILD
    FROM scratch
    FROM ghcr.io/acme/base:1
    FROM nginx AS nginx
    COPY --from=build /a /a
    COPY --link --from=ghcr.io/acme/tools /b /b
    COPY --from=0 /c /c
    FROM ghcr.io/acme/app:$TARGETARCH
    FROM "quoted${NONE}"
    """
    assert base_images(dockerfile) == [
        "ghcr.io/acme/base:1",
        "alpine",
        "nginx",
        "quoted",
        "ghcr.io/acme/tools",
    ]


@pytest.mark.parametrize(
    "dockerfile",
    [
        "RUN x \\\n" + "  && apt-get install --yes some-package \\\n" * 20_000,
        "# syntax= a" + " " * 500_000 + "b\nFROM scratch\n",
        "FROM a\nRUN " + "[" * 100_000 + " <<E\n",
        "FROM a\nRUN " + "'" * 100_001 + " <<E\n",
        "FROM a\nLABEL " + '"\\' * 100_000 + "\n",
        "FROM a\nLABEL " + "a= " * 100_000 + "\n",
        "FROM a\nRUN " + "<" * 100_000 + "\n",
        "FROM a\n" + "\\\n" * 100_000,
        "FROM " + "${" * 100_000 + "\n",
        "FROM a\nRUN cat <<" + " " * 100_000 + "<E\n",
        "FROM a\nCOPY " + "--a  " * 100_000 + "x\n",
        "FROM a\nRUN " + "--a  " * 100_000 + "[ <<E\n",
    ],
)
def test_a_long_dockerfile_takes_no_longer_than_its_length(dockerfile: str) -> None:
    """What takes time that grows with the square of the length does not end here."""
    own_labels(dockerfile, None)
    base_images(dockerfile)


@pytest.mark.parametrize(
    ("dockerfile", "target", "expected"),
    [
        ("FROM alpine:3.22", None, "alpine:3.22"),
        ("FROM scratch", None, ""),
        ("FROM alpine AS a\nFROM busybox\nFROM A", None, "alpine"),
        ("FROM alpine AS a\nFROM a AS b\nFROM b AS c", None, "alpine"),
        ("FROM alpine AS a\nFROM busybox", "a", "alpine"),
        ("FROM alpine AS a\nFROM busybox", "1", "busybox"),
        ("ARG V=3.22\nFROM alpine:$V", None, "alpine:3.23"),
        ("FROM alpine:$GONE-$TARGETARCH", None, ""),
        # A stage may have the name of the image that it is based on.
        ("FROM alpine AS alpine\nFROM alpine AS alpine", None, "alpine"),
        ("FROM alpine", "gone", ""),
        ("", None, ""),
    ],
)
def test_the_base_image_is_that_of_the_built_stage(
    dockerfile: str, target: str | None, expected: str
) -> None:
    assert base_image(dockerfile, target, {"V": "3.23"}) == expected
