"""What counts as a secret, and what of a text stays."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.machine.secrets import (
    MARK,
    refuse_password,
    values_without_secrets,
    without_secrets,
    words_without_secrets,
)

ROOT = Path(__file__).parents[3]
FERN = "Fern4711x"
"""What no text may hold."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"ftp://anna:{FERN}@host/x", "ftp://host/x"),
        (f"ftp://anna:p@ss/{FERN}@host/x", "ftp://host/x"),
        (f"see https://{FERN}@hub/x, please", "see https://hub/x, please"),
        (f'{{"a":"ftp://anna:{FERN}@host","b":"me@x"}}', '{"a":"ftp://host","b":"me@x"}'),
        (f"hub.endpoint=me:{FERN}@hub.co/x", f"hub.endpoint=me:{MARK}@hub.co/x"),
        (f"GET /x?X-Amz-Signature={FERN}&expand=1 HTTP", f"GET /x?X-Amz-Signature={MARK}&expand=1 HTTP"),
        (
            f"https://cdn/x?Expires=3&Policy={FERN}&Key-Pair-Id={FERN}",
            f"https://cdn/x?Expires=3&Policy={MARK}&Key-Pair-Id={MARK}",
        ),
        (f"to=https%3A%2F%2Fh%3Fsig%3D{FERN}", f"to=https%3A%2F%2Fh%3Fsig%3D{MARK}"),
        (f"hub.token={FERN} again", f"hub.token={MARK} again"),
        (f"api_key = '{FERN} and more'", f"api_key = '{MARK}'"),
        (f'{{"access_token": "{FERN}", "n": 1}}', f'{{"access_token": "{MARK}", "n": 1}}'),
        (f"(b'X-Xet-Access-Token', b'{FERN}')", f"(b'X-Xet-Access-Token', b'{MARK}')"),
        (f"Authorization: Basic {FERN}==", f"Authorization: Basic {MARK}"),
        (f"'authorization': 'Bearer {FERN}'", f"'authorization': 'Bearer {MARK}'"),
        (f"Invalid user token: {FERN}", f"Invalid user token: {MARK}"),
        (f"train.py --password {FERN} --n 3", f"train.py --password {MARK} --n 3"),
        (f"hf_{FERN} and hf_{'a' * 34}", f"{MARK} and {MARK}"),
        (f"https://h/x%3Fsig%3D{FERN}", f"https://h/x%3Fsig%3D{MARK}"),
        (f"/var/log: passwd: {FERN}, path/password={FERN}", f"/var/log: passwd: {MARK}, path/password={MARK}"),
        ("AKIAIOSFODNN7EXAMPLE", MARK),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", MARK),
    ],
    ids=lambda _: "text",  # pytest puts names of tests into the environment, which is read for secrets, too
)
def test_a_secret_is_known_by_its_looks(text, shown):
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("http://host:80/a@b", "http://[::1]:80/a@b", "sftp://anna@host:22/x", "gs://bucket/a b@c", "me@x.org, 3:4"),
        *("source.missions=tokens", "policy.pad_token=x", "tokenizer.path=x", "policy@_global_.policy=random"),
        *("hf_hub_download", "HF_TOKEN=...", "hub.token=null", "hub.token=${oc.env:HF_TOKEN}", "policy=my.token:fn"),
        "There is no token for http://x: make one at http://x/settings/tokens, then run hf auth login, or set HF_TOKEN",
        "Unexpected token: end of input",
        "info/key of 'walker/joints', monkey=3, sort_key=a",
        *("/data/passwd/x", "source.path=/data/passwd/x", "/data/passwd: episode_0001.hdf5 is cut", "passwd"),
        *("'../../etc/passwd': it leads out", "{'/data/passwd': 'x.hdf5'}", "'passwd', 'episode_0001.hdf5'"),
        '["observation", "token", "mission"]',
    ],
    ids=lambda _: "text",
)
def test_what_is_no_secret_stays_as_it_is(text):
    assert without_secrets(text) == text
    assert words_without_secrets([text]) == [text]


def test_the_values_of_secret_variables_are_known_wherever_they_stand(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("kept-by-login\n")
    monkeypatch.setenv("HF_TOKEN", "hushed")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:proxy/word@proxy:3128")
    monkeypatch.setenv("FSSPEC_S3", json.dumps({"key": "public", "secret": "of the bucket"}))
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants", raising=False)
    secrets = ("hushed", "proxy/word", "proxy%2Fword", "of the bucket", "0123456789abcdef", "kept-by-login")
    assert without_secrets("-".join(secrets)) == "-".join([MARK] * len(secrets))


def test_a_common_word_in_a_variable_of_another_program_takes_no_text_away(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "postgres")
    monkeypatch.setenv("SSH_TOKEN", "/home/me/token-file-1")
    assert without_secrets("/home/postgres at /home/me/token-file-1") == "/home/postgres at /home/me/token-file-1"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--token", FERN, "x"], ["--token", MARK, "x"]),
        (["hub.token", "=", FERN], ["hub.token", "=", MARK]),
        (["hub.token=", FERN], ["hub.token=", MARK]),
        (["hub.token", f"={FERN}"], ["hub.token", f"={MARK}"]),
        (["token:", FERN], ["token:", MARK]),
        ([f"--api-key={FERN} with spaces"], [f"--api-key={MARK}"]),
        ([f"hub={{token: {FERN}}}"], [f"hub={{token: {MARK}}}"]),
        ([f"hub.token:{FERN}"], [f"hub.token:{MARK}"]),
        (["~hub.token", "stage=x"], ["~hub.token", "stage=x"]),
        (["--token", "--n", "3"], ["--token", "--n", "3"]),
        (["source.path", "=", "/data/passwd", "stage=x"], ["source.path", "=", "/data/passwd", "stage=x"]),
        (["/data/secret:", "x"], ["/data/secret:", "x"]),
    ],
)
def test_a_word_after_the_name_of_a_secret_is_one(words, shown):
    assert words_without_secrets(words) == shown


def test_values_of_secret_names_go_at_any_depth_and_numbers_stay():
    stays = {"token": None, "pad_token": "x", "data/passwd": "a file"}
    facts = {"kwargs": {"api_key": FERN, "size": 3, "urls": [f"ftp://a:{FERN}@h"]}, **stays}
    kept = {"kwargs": {"api_key": MARK, "size": 3, "urls": ["ftp://h"]}, **stays}
    assert values_without_secrets(facts) == kept


def test_an_address_with_a_password_is_refused_and_one_with_a_name_is_not():
    refuse_password("sftp://anna@host/x", "source.root")
    refuse_password(None, "source.root")
    for address in (f"s3://me:{FERN}@bucket", f"https://h/x?token={FERN}", f"anna:{FERN}@host"):
        with pytest.raises(InvalidInput, match=r"source\.root must not hold .* FSSPEC_") as caught:
            refuse_password(address, "source.root")
        assert FERN not in str(caught.value)


def test_a_long_text_takes_no_long_time():
    text = "://a:b" * 2_000 + " token" * 2_000 + "--token" * 2_000 + "a" * 100_000
    assert without_secrets(text)


CODE = """
import logging, sys, threading, warnings
from pipeline.machine.outlets import keep_secrets_out
keep_secrets_out()
logging.basicConfig(stream=sys.stdout, level=1)
own = logging.getLogger("library"); own.propagate = False; own.addHandler(logging.StreamHandler(sys.stderr))
for log in (logging.getLogger("httpx"), own):
    log.debug("GET %s", "https://h/?sig=SECRET")
    log.info("token=SECRET")
    try:
        raise OSError("ftp://a:SECRET@h")
    except OSError:
        log.exception("what the server said: %s", {"token": "SECRET"}, stack_info=True)
    log.warning("wrong %d", "token=SECRET")
warnings.warn("password=SECRET")
thread = threading.Thread(target=lambda: int("token=SECRET")); thread.start(); thread.join()
raise ValueError("api_key=SECRET")
"""


def test_nothing_that_a_process_says_shows_a_secret_whichever_handler_says_it():
    code = CODE.replace("SECRET", '"+"'.join(FERN))  # the traceback shows lines of the program, too
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert FERN not in said
    assert said.count(MARK) >= 9
    for line in ("GET https://h/?sig=[secret]", "OSError: ftp://h", "ValueError: ", "UserWarning: password=[secret]"):
        assert line in said


def test_records_keep_their_level_name_and_text(caplog):
    logging.getLogger("some").warning("%s of %d", "one", 2)
    assert caplog.record_tuples == [("some", logging.WARNING, "one of 2")]
