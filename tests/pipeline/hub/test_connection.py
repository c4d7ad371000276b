"""Settings of a hub, and what is tried again."""

from __future__ import annotations

import json

import httpx2
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from pipeline.errors import HubError, InvalidInput
from pipeline.hub.connection import Hub, hub_may_recover, plain_errors


@pytest.mark.parametrize("name", ["data", "me/data/more", "/data", "me/", "me/a b", "me/.hidden", "https://x/y"])
def test_a_repository_is_owner_and_name(name):
    with pytest.raises(InvalidInput, match="OWNER/NAME"):
        Hub(name)


def test_no_repository_says_what_to_give():
    with pytest.raises(InvalidInput, match="hub.repo_id=OWNER/NAME"):
        _ = Hub().repo


def test_an_address_holds_no_password():
    for settings in ({"endpoint": "https://me:hushed@hub"}, {"repo_id": "https://me:hushed@hub/me/x"}):
        with pytest.raises(InvalidInput, match="must not hold a password") as caught:
            Hub(**settings)
        assert "hushed" not in str(caught.value)


def test_an_address_of_the_environment_holds_no_password(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "https://me:hushed@hub")
    with pytest.raises(InvalidInput, match="must not hold a name or password") as caught:
        Hub("me/x").api()
    assert "hushed" not in str(caught.value)


def failed(status):
    response = httpx2.Response(status, request=httpx2.Request("GET", "http://x"))
    return HfHubHTTPError("no", response=response)


def wrapped(error):
    try:
        raise RuntimeError("Error while uploading") from error
    except RuntimeError as outer:
        return outer


def test_what_may_pass_is_tried_again_and_nothing_else():
    for status in (408, 409, 412, 429, 500, 502, 503, 504):
        assert hub_may_recover(failed(status))
        assert hub_may_recover(wrapped(failed(status)))
    for status in (400, 401, 403, 404, 413):
        assert not hub_may_recover(failed(status))
    assert hub_may_recover(httpx2.ReadError("reset"))
    assert hub_may_recover(json.JSONDecodeError("a page", "<html>", 0))
    assert not hub_may_recover(ValueError("ours"))
    assert not hub_may_recover(RuntimeError("ours"))


def test_an_error_that_is_not_the_hubs_goes_through_as_it_is():
    hub = Hub("me/x", retries=0)
    with pytest.raises(RuntimeError, match="ours"), plain_errors(hub, "Publishing"):
        hub.with_retries(lambda: (_ for _ in ()).throw(RuntimeError("ours")))


def test_steps_end_after_so_many_retries():
    tries = []

    def step():
        tries.append(1)
        raise failed(503)

    hub = Hub("me/x", endpoint="http://x", retries=1)
    with (
        pytest.raises(HubError, match=r"Publishing me/x at http://x: the hub failed 2 times"),
        plain_errors(hub, "Publishing"),
    ):
        hub.with_retries(step)
    assert len(tries) == 2
