"""releasetag.remote_url: what is shown of a remote's URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.remote_url import HIDDEN, web_url, without_credentials


@pytest.mark.parametrize(
    ("remote_url", "expected"),
    [
        ("https://github.com/acme/app.git", "https://github.com/acme/app"),
        ("https://github.com/acme/app/", "https://github.com/acme/app"),
        ("HTTPS://GitHub.com/acme/app", "https://github.com/acme/app"),
        ("http://git.example.com:8080/acme/app", "https://git.example.com:8080/acme/app"),
        ("https://[2001:db8::1]:8443/acme/app", "https://[2001:db8::1]:8443/acme/app"),
        ("git@github.com:acme/app.git", "https://github.com/acme/app"),
        ("github.com:acme/app.git", "https://github.com/acme/app"),
        ("git@gitlab.example.com:/group/sub/app.git", "https://gitlab.example.com/group/sub/app"),
        # The port of ssh is none of the web's.
        ("ssh://git@git.example.com:2222/acme/app.git", "https://git.example.com/acme/app"),
        ("git://git.example.com/acme/app.git", "https://git.example.com/acme/app"),
        ("git+ssh://git@git.example.com/acme/app.git", "https://git.example.com/acme/app"),
        ("https://github.com/acme/gr%C3%B6%C3%9Fe", "https://github.com/acme/gr%C3%B6%C3%9Fe"),
        ("../app.git", ""),
        ("/srv/app.git", ""),
        ("file:///srv/app.git", ""),
        ("https:///acme/app", ""),
        ("https://git.example.com:port/acme/app", ""),
        ("https://[::1/app", ""),
        ("https://github.com/acme\x1b[31m/app", ""),
        ("https://github.com/acme\n/app", ""),
        ("https://git\x00hub.com/acme/app", ""),
        ("ext::sh -c anything", ""),
        ("codecommit::eu-west-1://profile@app", ""),
        ("", ""),
    ],
)
def test_a_remote_is_named_as_a_person_opens_it(remote_url: str, expected: str) -> None:
    assert web_url(remote_url) == expected


USERINFO = [
    "hunter2@",
    "alice:hunter2@",
    "x-access-token:hunter2@",
    "alice:hunter2@hunter2@",
    "alice:hunter2%2F%40@",
    "hunter2%40x:@",
    ":hunter2@",
    "alice:hunter 2@",
]
# Everything before the first / is the host to git: a part of the password, and the rest a path.
AMBIGUOUS = [
    "alice:hunter2/x@",
    "alice:1234/hunter2@",
    "hunter2/x@",
    "al.ice/hunter2@",
    "alice:hunter2/@x@",
    "alice:hunter2?x@",
    "alice:hunter2#x@",
]


@pytest.mark.parametrize("userinfo", USERINFO)
def test_credentials_are_left_out_of_the_label(userinfo: str) -> None:
    assert web_url(f"https://{userinfo}github.com/acme/app.git") == "https://github.com/acme/app"


@pytest.mark.parametrize("userinfo", AMBIGUOUS)
@pytest.mark.parametrize("scheme", ["https", "http", "ssh", "git"])
def test_a_url_in_which_credentials_cannot_be_told_from_the_path_gives_no_label(
    scheme: str, userinfo: str
) -> None:
    assert web_url(f"{scheme}://{userinfo}github.com/acme/app.git") == ""


@pytest.mark.parametrize(
    "remote_url",
    [
        "alice:hunter2@github.com:acme/app.git",
        "al.ice:hunter2@github.com:acme/app.git",
        "al.ice:hunter2/x@github.com:acme/app.git",
        "git@al.ice:hunter2@github.com:acme/app.git",
        "https://github.com/acme/app.git?token=hunter2",
        "https://github.com/acme/app.git?mail=a@b&token=hunter2",
        "https://github.com/acme/app.git#hunter2",
        "ext::ssh alice:hunter2@github.com",
    ],
)
def test_no_credential_of_a_remote_gets_into_a_label(remote_url: str) -> None:
    assert web_url(remote_url) in {"https://github.com/acme/app", ""}


MESSAGES = [
    "fatal: unable to access '{url}/': Could not resolve host: github.com",
    "fatal: Authentication failed for '{url}/'",
    "fatal: could not read Password for '{url}': terminal prompts disabled",
    "fatal: repository '{url}' not found",
    "error: {url}",
    "{url}: Permission denied (publickey).",
]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("userinfo", USERINFO)
def test_a_message_names_the_remote_without_its_credentials(userinfo: str, message: str) -> None:
    url = f"https://{userinfo}github.com/acme/app.git"
    expected = message.format(url="https://github.com/acme/app.git")

    assert without_credentials(message.format(url=url), url) == expected
    # Of a URL that is not known, nothing says where it ends but a blank.
    if " " not in url:
        assert without_credentials(message.format(url=url)) == expected


@pytest.mark.parametrize("userinfo", AMBIGUOUS)
@pytest.mark.parametrize("words", [*MESSAGES, "Could not resolve host: hunter2", "port hunter2"])
def test_a_message_about_a_url_that_cannot_be_read_is_not_shown(userinfo: str, words: str) -> None:
    url = f"https://{userinfo}github.com/acme/app.git"

    assert without_credentials(words.format(url=url), url) == HIDDEN


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        # By url.*.insteadOf the URL is another than the one that is configured.
        ("'https://hunter2/x@github.com/app': no", "'https://… no"),
        ("'https://github.com/app?token=hunter2'", "'https://github.com/app"),
        ("'https://github.com/app?mail=a@b&token=hunter2'", "'https://…"),
        ("alice:hunter2@github.com: Permission denied", "github.com: Permission denied"),
        ("alice:hunter2/x@github.com: Permission denied", "github.com: Permission denied"),
        # Nothing secret in these.
        ("git@github.com: Permission denied", "git@github.com: Permission denied"),
        ("'/srv/a@b/app.git' does not appear", "'/srv/a@b/app.git' does not appear"),
        ("'file:///srv/a@b/app.git'", "'file:///srv/a@b/app.git'"),
        ("fatal: Could not read from remote", "fatal: Could not read from remote"),
    ],
)
def test_other_urls_in_a_message_lose_their_credentials(message: str, expected: str) -> None:
    assert without_credentials(message) == expected
    assert without_credentials(message, "/srv/a@b/app.git") == expected
    assert without_credentials(message, "file:///srv/a@b/app.git") == expected


@pytest.mark.parametrize(
    "url",
    ["alice:hunter2@github.com:acme/app", "alice:hun/ter2@github.com:acme/app", "a.b:c@d:e"],
)
def test_a_colon_before_the_at_sign_may_be_a_password(url: str) -> None:
    assert without_credentials("fatal: hunter2", url) == HIDDEN


@given(
    scheme=st.sampled_from(["https", "http", "ssh", "git", "git+ssh", "ext", "x"]),
    before=st.text(alphabet="a:/@?#%.[]- \t'\"", max_size=6),
    after=st.text(alphabet="a:/@?#%.[]- \t'\"", max_size=6),
)
def test_a_secret_is_never_shown_wherever_it_stands(scheme: str, before: str, after: str) -> None:
    url = f"{scheme}://{before}hunter2{after}@github.com/acme/app.git"

    assert "hunter2" not in web_url(url)
    assert "hunter2" not in without_credentials(f"fatal: unable to access '{url}/': no", url)


@pytest.mark.parametrize("text", ["x", ":", "http://", "a.", "@", "x@", ":@", "'"])
def test_a_long_message_takes_no_long_time(text: str) -> None:
    # A remote may print what it likes; a slip would take minutes here.
    long = text * 100_000

    assert len(without_credentials(long, long)) <= len(long)
    assert len(web_url(long)) <= len(long) + len("https://")
