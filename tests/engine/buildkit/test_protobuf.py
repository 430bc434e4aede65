"""Messages described in Python are on the wire what protoc's would be."""

from datetime import UTC, datetime

import pytest
from google.protobuf import descriptor_pb2

from releasetag.engine.buildkit.protobuf import define

EVERYTHING = {
    "Inner": {"name": (1, "string")},
    "Outer": {
        "text": (1, "string"),
        "raw": (2, "bytes"),
        "big": (3, "int64"),
        "yes": (4, "bool"),
        "names": (5, "string*"),
        "inner": (6, "Inner"),
        "inners": (7, "Inner*"),
        "at": (8, "Timestamp"),
        "head_ers": (9, "map<string,string>"),
        "blobs": (10, "map<string,bytes>"),
        "by_name": (11, "map<string,Inner>"),
        "times": (12, "Timestamp*"),
    },
}


@pytest.mark.parametrize(
    ("values", "wire"),
    [
        ({"text": "é"}, b"\x0a\x02\xc3\xa9"),
        ({"raw": b"\xff\x00"}, b"\x12\x02\xff\x00"),
        ({"big": -1}, b"\x18" + b"\xff" * 9 + b"\x01"),
        ({"yes": True}, b"\x20\x01"),
        ({"names": ["a", "b"]}, b"\x2a\x01a\x2a\x01b"),
        ({"inner": {"name": "n"}}, b"\x32\x03\x0a\x01n"),
        ({"inners": [{"name": "n"}, {}]}, b"\x3a\x03\x0a\x01n\x3a\x00"),
        ({"head_ers": {"k": "v"}}, b"\x4a\x06\x0a\x01k\x12\x01v"),
        ({"blobs": {"k": b"\xff"}}, b"\x52\x06\x0a\x01k\x12\x01\xff"),
        ({}, b""),
    ],
)
def test_every_type_has_its_wire_form_and_comes_back(
    values: dict[str, object], wire: bytes
) -> None:
    outer = define("releasetag.test", EVERYTHING)["Outer"]
    assert outer(**values).SerializeToString() == wire
    assert outer.FromString(wire) == outer(**values)


def test_a_timestamp_is_googles_and_knows_its_date() -> None:
    outer = define("releasetag.test", EVERYTHING)["Outer"]
    message = outer.FromString(b"\x42\x02\x08\x01")
    assert message.at.ToDatetime(UTC) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)  # type: ignore[attr-defined] # made at run time


def test_messages_in_maps_can_be_reached() -> None:
    outer = define("releasetag.test", EVERYTHING)["Outer"]
    message = outer.FromString(b"\x5a\x08\x0a\x01k\x12\x03\x0a\x01n")
    assert message.by_name["k"].name == "n"  # type: ignore[attr-defined] # made at run time


def test_a_name_may_be_defined_twice() -> None:
    first = define("releasetag.test", {"M": {"a": (1, "string")}})["M"]
    second = define("releasetag.test", {"M": {"b": (2, "bool")}})["M"]
    assert first is not second


def test_a_definition_agrees_with_protobufs_own() -> None:
    ours = define(
        "releasetag.test", {"Part": {"name_part": (1, "string"), "is_extension": (2, "bool")}}
    )["Part"]
    wire = descriptor_pb2.UninterpretedOption.NamePart(
        name_part="x", is_extension=True
    ).SerializeToString()
    assert ours.FromString(wire).SerializeToString() == wire


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="Nowhere"):
        define("releasetag.test", {"M": {"a": (1, "Nowhere")}})
