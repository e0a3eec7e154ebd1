"""Each way in which GitHub says no ends in one clear line, the right exit code, and never in a second object."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from github_server import TOKEN, Answer, GitHub, serve
from remint.adapters.forge import CommitStatus, PullState, StatusState
from remint.adapters.forge.answers import pull_request
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


# -- auto-merge: only where GitHub has something to wait for -----------------------------------------------------------

GATE = "remint/gate/churn"
GATED = {"required_status_checks": {"contexts": [GATE], "checks": []}}
RULES = [
    {
        "type": "required_status_checks",
        "parameters": {
            "required_status_checks": [{"context": GATE}],
            "strict_required_status_checks_policy": True,
        },
    },
    {
        "type": "pull_request",
        "parameters": {
            "required_approving_review_count": 1,
            "dismiss_stale_reviews_on_push": True,
            "require_code_owner_review": False,
            "require_last_push_approval": False,
            "required_review_thread_resolution": False,
        },
    },
    {"type": "non_fast_forward"},
]


def green(forge: GitHubForge, state: StatusState = StatusState.SUCCESS) -> None:
    forge.set_status("c" * 40, CommitStatus(context=GATE, state=state, description="Gate"))


@pytest.mark.parametrize("by", ["the branch's protection", "a ruleset"])
def test_auto_merge_waits_for_the_gate_and_then_merges(github: GitHub, forge: GitHubForge, by: str) -> None:
    """A token without administration is enough to see that a check stands in between."""
    github.administrator = False
    github.protection, github.rules = (GATED, []) if by != "a ruleset" else (None, RULES[:1])
    create(forge)
    green(forge, StatusState.PENDING)
    for _ in range(2):  # a repeated run asks once
        forge.enable_auto_merge(1, commit="c" * 40)
    assert forge.pull(1).state is PullState.OPEN
    green(forge)
    assert forge.pull(1).state is PullState.MERGED
    assert [path for _, path in github.writes].count("/graphql enablePullRequestAutoMerge") == 1


def test_auto_merge_is_taken_back_once(github: GitHub, forge: GitHubForge) -> None:
    github.protection = GATED
    create(forge)
    forge.disable_auto_merge(1)
    forge.enable_auto_merge(1, commit="c" * 40)
    for _ in range(2):
        forge.disable_auto_merge(1)
    green(forge)
    assert forge.pull(1).state is PullState.OPEN
    assert [path for _, path in github.writes].count("/graphql disablePullRequestAutoMerge") == 1


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("Auto merge is not allowed for this repository", "allow_auto_merge=true"),
        ("Pull request Protected branch rules not configured for this branch", "settings/branches"),
        ("Pull request Pull request is in clean status", "still missing"),
        ("Pull request Pull request is in unstable status", "still missing"),
    ],
)
def test_what_github_says_against_auto_merge_ends_in_the_setting_and_never_in_a_merge(
    github: GitHub, forge: GitHubForge, said: str, mend: str
) -> None:
    github.protection = GATED
    create(forge)
    refusal = Answer(200, {"data": None, "errors": [{"type": "UNPROCESSABLE", "message": said}]})
    github.refuse = lambda method, path: refusal if path == "/graphql enablePullRequestAutoMerge" else None
    with pytest.raises(ConfigError, match="no auto-merge") as failure:
        forge.enable_auto_merge(1, commit="c" * 40)
    assert mend in str(failure.value)
    assert forge.pull(1).state is PullState.OPEN


@pytest.mark.parametrize(
    ("case", "error", "says"),
    [
        ("not allowed", ConfigError, "gh api --method PATCH repos/acme/churn -F allow_auto_merge=true"),
        ("unprotected", ConfigError, "settings/branches, rule for main"),
        ("no check", ConfigError, "would be merged at once"),
        ("green", ConfigError, "merge it by hand"),
        ("moved", LockedError, "by now"),
        ("closed", ConfigError, "it is closed"),
        ("fork", ConfigError, "in a fork"),
    ],
)
def test_auto_merge_is_not_asked_for_where_nothing_would_be_waited_for(
    github: GitHub, forge: GitHubForge, case: str, error: type[RemintError], says: str
) -> None:
    github.protection = None if case == "unprotected" else GATED
    if case == "no check":
        github.protection = {"enforce_admins": {"url": "https://x", "enabled": True}}
    github.allow_auto_merge = case != "not allowed"
    create(forge)
    if case == "green":
        green(forge)
    if case == "closed":
        forge.close_pull(1)
    if case == "fork":
        github.pulls[1]["fork"] = 2
    with pytest.raises(error) as failure:
        forge.enable_auto_merge(1, commit=("d" if case == "moved" else "c") * 40)
    assert says in str(failure.value)
    assert github.pulls[1].get("auto_merge") is None
    asked = "/graphql enablePullRequestAutoMerge" in [path for _, path in github.writes]
    assert asked == (case == "green")  # that one GitHub alone can know


@pytest.mark.parametrize(
    ("kind", "error"),
    [("FORBIDDEN", PermissionDeniedError), ("NOT_FOUND", ConfigError), ("RATE_LIMITED", ServiceError)],
)
def test_a_refusal_inside_a_200_is_the_error_that_it_means(
    github: GitHub, forge: GitHubForge, kind: str, error: type[RemintError]
) -> None:
    github.refuse = always(Answer(200, {"data": None, "errors": [{"type": kind, "message": INTEGRATION}]}))
    with pytest.raises(error):
        forge.whoami()


def test_rulesets_and_protection_add_up_and_what_is_hidden_is_unknown(github: GitHub, forge: GitHubForge) -> None:
    github.rules = RULES
    found = forge.protection("main")
    assert found is not None
    assert (found.checks, found.approvals, found.dismisses_stale) == ({GATE}, 1, True)
    reviews = {"required_approving_review_count": 2, "dismiss_stale_reviews": False, "require_code_owner_reviews": True}
    github.protection = {"required_pull_request_reviews": reviews}
    found = forge.protection("main")
    assert found is not None
    assert (found.checks, found.approvals, found.dismisses_stale) == ({GATE}, 2, True)
    github.administrator = False
    found = forge.protection("main")
    assert found is not None
    assert (found.checks, found.approvals, found.dismisses_stale) == ({GATE}, None, None)


def test_pull_requests_of_a_commit_are_those_of_forks_too(github: GitHub, forge: GitHubForge) -> None:
    create(forge)
    known = github.pulls[1]
    github.pulls[2] = {**known, "number": 2, "fork": 7}
    github.pulls[3] = {**known, "number": 3, "state": "closed"}
    assert [(p.number, p.fork) for p in forge.open_pulls_at("c" * 40)] == [(2, True), (1, False)]
    assert forge.open_pulls_at("d" * 40) == []
    assert [pull.number for pull in forge.pulls(HEAD)] == [3, 1]


def test_a_pull_request_whose_fork_was_deleted_is_a_forks(github: GitHub, forge: GitHubForge) -> None:
    """GitHub answers null for its repository, which its description does not say."""
    create(forge)
    body = github._pull(github.pulls[1])
    assert not pull_request(body).fork
    assert pull_request({**body, "head": {**body["head"], "repo": None}}).fork


def test_a_comment_of_an_issue_is_of_no_pull_request(github: GitHub, forge: GitHubForge) -> None:
    create(forge)
    assert forge.comment(forge.create_comment(1, "x").id).pull == 1
    github.comments[9] = {"id": 9, "number": 77, "author": "ann", "body": "an issue"}
    assert forge.comment(9).pull is None
