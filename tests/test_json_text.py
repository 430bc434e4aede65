"""JSON of others: a value that can be used, or one error that quotes nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.json_text import MAX_DEPTH, InvalidJsonError, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


def nested(depth: int) -> str:
    return '{"a":[' * (depth // 2) + "]}" * (depth // 2)


@given(VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]), st.booleans())
def test_json_is_read_in_every_unicode_encoding(value: object, encoding: str, ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    assert parse_json(text) == parse_json(text.encode(encoding)) == value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"is not JSON \(line 1, column 1\)"),
        ('{"a": 1}\nb', r"is not JSON \(line 2, column 1\)"),
        (b"\xff\xfe\xff", "is not JSON in Unicode"),
        (b'"\xff"', "is not JSON in Unicode"),
        (b'"\xed\xa0\x80"', "is not JSON in Unicode"),
        ('"\udcff"', "is not JSON in Unicode"),
        (r'"\ud800"', "is not JSON in Unicode"),
        (r'{"a": [{"\uDFFF": 1}]}', "is not JSON in Unicode"),
        ("1" * 5000, "is not JSON"),
        ('{"a": NaN}', "is not JSON"),
        ("[-Infinity]", "is not JSON"),
        ("1e999", "is not JSON"),
        (nested(MAX_DEPTH + 2), "is nested too deeply"),
        (nested(1_000_000), "is nested too deeply"),
        ("[" * 1_000_000, "is nested too deeply"),
        ('{"a":' * 1_000_000, "is nested too deeply"),
    ],
    ids=range(16),
)
def test_what_cannot_be_used_is_one_error(text: bytes | str, fault: str) -> None:
    with pytest.raises(InvalidJsonError, match=f"^{fault}$"):
        parse_json(text)


def test_what_is_parsed_can_be_written() -> None:
    value = parse_json(nested(MAX_DEPTH))
    assert json.loads(json.dumps(value, indent="\t")) == value
    assert parse_json(r'"\ud83d\ude00"') == "\U0001f600"


def test_an_error_holds_nothing_of_the_text() -> None:
    with pytest.raises(InvalidJsonError) as caught:
        parse_json('{"password": "s3cr3t", }')
    assert caught.value.__context__ is None
    assert "s3cr3t" not in str(caught.value)


@given(st.binary(max_size=50) | st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_text_is_a_value_or_an_error(text: bytes | str) -> None:
    try:
        value = parse_json(text)
    except InvalidJsonError:
        return
    json.dumps(value, ensure_ascii=False).encode()
