"""Every remote refuses what its own key rules refuse."""

import pytest


@pytest.mark.parametrize("key", ["sk_sandbox", "nonsense"])
async def test_only_the_public_key_starts(play, key):
    caller = await play()

    answer = await caller.http.post("/v1/public/bot/start", json={}, headers={"Authorization": f"Bearer {key}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "401")
    assert caller.sandbox.world()["sessions"]["started"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/agents"),
        ("GET", "/v1/agents/bot"),
        ("GET", "/v1/agents/bot/sessions"),
        ("GET", "/v1/agents/bot/sessions/{id}"),
        ("DELETE", "/v1/agents/bot/sessions/{id}"),
        ("DELETE", "/v1/organizations/org/services/bot/sessions/{id}"),
    ],
)
async def test_the_public_key_opens_no_private_path(play, method, path):
    caller = await play()
    session = await caller.start()

    answer = await caller.http.request(method, path.format(id=session["sessionId"]), headers=caller.public)

    assert answer.status_code == 401
    assert len(caller.sandbox.world()["sessions"]["alive"]) == 1


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({}, 400, "authorization-header-error"),
        ({"Authorization": "daily_sandbox"}, 400, "authorization-header-error"),
        ({"Authorization": "Bearer nonsense"}, 401, "authentication-error"),
    ],
)
async def test_daily_tells_a_missing_key_from_a_wrong_one(play, headers, status, word):
    caller = await play()

    answer = await caller.http.get("/v1/rooms", headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (status, word)


@pytest.mark.parametrize("headers", [{}, {"X-CEKURA-API-KEY": "nonsense"}])
async def test_cekura_refuses_a_missing_and_a_wrong_key(play, headers):
    caller = await play()

    answer = await caller.http.post(caller.submit_path, json={}, headers=headers)

    assert answer.status_code == 401
    assert "detail" in answer.json()


async def test_a_project_key_may_not_read_billing(play):
    caller = await play(key_has_billing=False)

    answer = await caller.http.get(f"{caller.api}/billing/info/", headers=caller.cekura)

    assert answer.status_code == 403


async def test_a_missing_slash_redirects_a_get_with_301_and_a_post_with_its_body(play):
    caller = await play()

    get = await caller.http.get(f"{caller.api}/v2/results", headers=caller.cekura, params={"page": 1})
    post = await caller.http.post(caller.submit_path.rstrip("/"), json={"scenarios": []}, headers=caller.cekura)

    assert (get.status_code, get.headers["location"]) == (301, "/test_framework/v2/results/?page=1")
    assert (post.status_code, post.headers["location"]) == (308, caller.submit_path)
    assert caller.sandbox.world()["requests"] == {}
