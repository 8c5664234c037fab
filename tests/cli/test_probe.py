"""What `probe` can show without Daily: that it refuses, and where its token comes from."""


def test_a_room_that_is_not_on_daily_is_not_joined(shell, play):
    sandbox = play()

    ended = shell.look("probe", f"{sandbox.url}/room", "--json")

    assert ended.code == 3
    assert ended.document["joined"] is False
    assert "not a sandbox's" in ended.document["error"]


def test_a_token_file_that_cannot_be_read_ends_with_2(shell):
    ended = shell.look("probe", "https://acme.daily.co/room", "--token-file", "missing")

    assert ended.code == 2
    assert "--token-file missing" in ended.err


def test_what_is_no_address_of_a_room_is_refused(shell):
    ended = shell.look("probe", "https://example.com/room")

    assert ended.code == 3
    assert "not an https address of a Daily room" in ended.err
