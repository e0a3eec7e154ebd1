"""Each way in which GitHub says no ends in one clear line, the right exit code, and never in a second object."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from github_server import TOKEN, Answer, GitHub, serve
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.rest import Access
from remint.errors import ConfigError, ExitCode, LockedError, PermissionDeniedError, RemintError, ServiceError

HEAD = "remint/retrain/churn"


@pytest.fixture
def github() -> Iterator[GitHub]:
    with serve(GitHub(commit_of=lambda branch: "c" * 40)) as server:
        yield server


@pytest.fixture
def forge(github: GitHub) -> GitHubForge:
    return GitHubForge(Access(url=github.url, token=TOKEN, variable="GITHUB_TOKEN"), github.name)


def create(forge: GitHubForge) -> None:
    forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="")


def always(answer: Answer) -> Callable[[str, str], Answer | None]:
    return lambda method, path: answer


NOT_ALLOWED = "GitHub Actions is not permitted to create or approve pull requests."
BURST = "You have exceeded a secondary rate limit"
USED_UP = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795262400"}
INTEGRATION = "Resource not accessible by integration"


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(401, {"message": "Bad credentials"}), PermissionDeniedError, "GITHUB_TOKEN"),
        (Answer(403, {"message": INTEGRATION}), PermissionDeniedError, "pull-requests: write"),
        (
            Answer(403, {"message": INTEGRATION}, {"X-Accepted-GitHub-Permissions": "pull_requests=write"}),
            PermissionDeniedError,
            "pull_requests: write",
        ),
        (Answer(403, {"message": NOT_ALLOWED}), PermissionDeniedError, "Settings, Actions, General"),
        (Answer(403, {"message": "x"}, USED_UP), ServiceError, "2026-11-21T12:00:00Z"),
        (Answer(403, {"message": BURST}, {"Retry-After": "42"}), ServiceError, "42 s"),
        (Answer(429, {"message": BURST}), ServiceError, "60 s"),
        (Answer(404, {"message": "Not Found"}), ConfigError, "not found"),
        (Answer(409, {"message": "Conflict"}), LockedError, "try again"),
        (Answer(422, {"message": "No", "errors": [{"field": "base", "code": "invalid"}]}), ConfigError, "base invalid"),
        (Answer(502, None), ServiceError, "502"),
        (Answer(200, ["no pull request"]), ServiceError, "description"),
        (Answer(418, {"message": "I am a teapot\n::error::"}), ConfigError, "teapot ::error::"),
    ],
    ids=lambda v: f"{v.status}" if isinstance(v, Answer) else "",
)  # fmt: skip
def test_a_refusal_is_one_line_that_says_what_to_do(
    github: GitHub, forge: GitHubForge, answer: Answer, error: type[RemintError], says: str
) -> None:
    github.refuse = always(answer)
    with pytest.raises(error) as failure:
        create(forge)
    text = str(failure.value)
    assert says in text
    assert "\n" not in text
    assert TOKEN not in text
    assert "/repos/acme/churn/pulls" in text
    expected = ExitCode.SERVICE if error in {ServiceError, LockedError} else ExitCode.USAGE
    assert failure.value.exit_code is expected
    assert len(github.seen) == 1  # a write is never sent twice


def test_a_read_is_repeated_when_the_server_stumbles(github: GitHub, forge: GitHubForge) -> None:
    github.refuse = lambda method, path: Answer(502) if len(github.seen) < 3 else None
    assert forge.repository().name == "acme/churn"
    assert len(github.seen) == 3


def test_a_write_whose_answer_was_lost_is_not_sent_again_and_is_found(github: GitHub, forge: GitHubForge) -> None:
    github.lose = {0}
    with pytest.raises(ServiceError, match="nothing is done twice"):
        create(forge)
    assert len(github.seen) == 1
    assert len(forge.pulls(HEAD)) == 1


def test_a_dead_server_is_a_service_that_failed() -> None:
    forge = GitHubForge(Access(url="http://127.0.0.1:9", token=TOKEN, variable="GITHUB_TOKEN"), "acme/churn")
    with pytest.raises(ServiceError, match="cannot be reached"):
        forge.repository()


def test_a_renamed_repository_is_followed_and_a_post_stays_a_post(github: GitHub, forge: GitHubForge) -> None:
    github.name = "acme/leavers"
    for status in (301, 307):
        github.pulls.clear()
        github.refuse = lambda method, path, status=status: (  # type: ignore[misc]
            Answer(status, {"message": "Moved"}, {"Location": f"{github.url}{path.replace('churn', 'leavers')}"})
            if "churn" in path
            else None
        )
        create(forge)
        assert len(github.pulls) == 1


def test_the_token_goes_to_no_other_server(github: GitHub, forge: GitHubForge) -> None:
    github.refuse = always(Answer(302, None, {"Location": "http://localhost:1/repos/acme/churn"}))
    with pytest.raises(ServiceError, match="another server"):
        forge.repository()


def test_a_fork_with_a_branch_of_our_name_is_not_ours(github: GitHub, forge: GitHubForge) -> None:
    create(forge)
    github.pulls[1]["fork"] = 2
    assert forge.pulls(HEAD) == []


def test_every_page_is_read(github: GitHub, forge: GitHubForge) -> None:
    create(forge)
    github.page_size = 2
    for number in range(5):
        forge.create_comment(1, str(number))
    assert [comment.body for comment in forge.comments(1)] == list("01234")


def test_the_last_word_of_a_reviewer_counts_and_a_plain_comment_takes_nothing_back(
    github: GitHub, forge: GitHubForge
) -> None:
    create(forge)
    said = [("ann", "APPROVED"), ("bob", "APPROVED"), ("bob", "CHANGES_REQUESTED"), ("ann", "COMMENTED")]
    github.reviews[1] = [{"user": who, "state": state, "commit_id": "c" * 40} for who, state in said]
    assert [approval.author for approval in forge.approvals(1)] == ["ann"]


def test_what_a_branch_asks_for_is_read(github: GitHub, forge: GitHubForge) -> None:
    reviews = {"required_approving_review_count": 2, "dismiss_stale_reviews": True, "require_code_owner_reviews": False}
    checks = {"contexts": ["remint/gate/churn"], "checks": []}
    github.protection = {"required_status_checks": checks, "required_pull_request_reviews": reviews}
    protection = forge.protection("main")
    assert protection is not None
    assert (protection.checks, protection.approvals, protection.dismisses_stale) == ({"remint/gate/churn"}, 2, True)
