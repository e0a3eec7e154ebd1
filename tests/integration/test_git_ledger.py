"""Git, the ledger and the registry against real repositories, with and without an origin."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remint.adapters.git import Git, PushRejected
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, champion, load_registry, register
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.registry import Version
from remint.errors import ConfigError, DocumentError, LockedError, PermissionDeniedError, ServiceError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = "churn-20261121T040000Z-1a2b3c"


def run(path: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=path, check=True, capture_output=True, text=True).stdout.strip()


def commit(path: Path, message: str = "change") -> str:
    run(path, "commit", "-q", "--allow-empty", "-m", message)
    return run(path, "rev-parse", "HEAD")


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A repository without an origin."""
    path = tmp_path / "alone"
    path.mkdir()
    run(path, "init", "-q")
    (path / "README").write_text("hello\n")
    run(path, "add", ".")
    commit(path, "first")
    return path


@pytest.fixture
def clones(tmp_path: Path, alone: Path) -> tuple[Path, Path]:
    """Two clones of one origin."""
    run(tmp_path, "clone", "-q", "--bare", str(alone), "origin.git")
    for name in ("a", "b"):
        run(tmp_path, "clone", "-q", "origin.git", name)
    return tmp_path / "a", tmp_path / "b"


def entry(number: int = 0, event: LedgerEvent = LedgerEvent.DECISION) -> LedgerEntry:
    return LedgerEntry(at=NOW + timedelta(minutes=number), event=event, run_id=RUN, data={"number": number})


def ledger(path: Path) -> Ledger:
    return Ledger(Git(path), "churn")


# -- git -------------------------------------------------------------------------------------------------------------


def test_no_repository_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not inside a git repository"):
        Git(tmp_path)
    with pytest.raises(ConfigError, match="the directory is missing"):
        Git(tmp_path / "absent")


def test_files_are_read_at_a_revision_relative_to_the_pipelines_directory(alone: Path) -> None:
    inside = alone / "models" / "churn"
    inside.mkdir(parents=True)
    (inside / "params.yaml").write_bytes(b"pipeline: churn\r\n")
    run(alone, "add", ".")
    commit(alone)
    git = Git(inside)
    (inside / "params.yaml").unlink()
    assert git.prefix == "models/churn/"
    assert git.show("HEAD", "params.yaml") == b"pipeline: churn\r\n"
    assert git.show("HEAD~1", "params.yaml") is None
    with pytest.raises(ConfigError, match=r"unknown revision 'v9'"):
        git.show("v9", "params.yaml")


def test_a_revision_is_never_taken_for_an_option(alone: Path) -> None:
    with pytest.raises(ConfigError, match="unknown revision '--all'"):
        Git(alone).resolve("--all")


def test_an_empty_repository_says_that_it_has_no_commit(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q")
    with pytest.raises(ConfigError, match="no commit yet"):
        Git(tmp_path).head()


def test_a_shallow_clone_is_refused_with_what_to_do(alone: Path, tmp_path: Path) -> None:
    commit(alone)
    run(tmp_path, "clone", "-q", "--depth", "1", f"file://{alone}", "shallow")
    with pytest.raises(ConfigError, match="fetch-depth: 0"):
        champion(Git(tmp_path / "shallow"), "churn")
    with pytest.raises(ConfigError, match="fetch-depth: 0"):
        Git(tmp_path / "shallow").resolve("HEAD~1")


def test_variables_that_git_sets_for_hooks_do_not_redirect_us(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert Git(alone).toplevel == alone.resolve()


def test_remint_signs_only_where_git_knows_nobody(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger(alone).append(entry(1))
    assert run(alone, "log", "-1", "--format=%an <%ae>", "remint/ledger/churn") == "Test <test@example.invalid>"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "empty"))
    ledger(alone).append(entry(2))
    assert run(alone, "log", "-1", "--format=%an, %cn", "remint/ledger/churn") == "Remint, Remint"


def test_a_forced_push_overwrites_only_what_was_seen(clones: tuple[Path, Path]) -> None:
    first, second = clones
    ref = "refs/heads/remint/retrain/churn"
    mine, theirs = commit(first), commit(second, "other")
    Git(first).push(mine, ref, lease=None, force=True)
    with pytest.raises(PushRejected):
        Git(second).push(theirs, ref, lease=None, force=True)
    Git(second).push(theirs, ref, lease=mine, force=True)
    assert Git(first).remote_ref(ref) == theirs


def test_a_push_that_a_rule_forbids_says_what_is_missing_and_is_not_tried_again(clones: tuple[Path, Path]) -> None:
    first, _ = clones
    hook = first.parent / "origin.git" / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'GH006: protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PermissionDeniedError, match="contents: write") as refused:
        Git(first).push(commit(first), "refs/heads/main")
    assert refused.value.exit_code == 2


# -- the ledger ------------------------------------------------------------------------------------------------------


def test_entries_come_back_in_order_and_the_checkout_is_untouched(alone: Path) -> None:
    assert ledger(alone).entries() == ()
    for number in range(3):
        ledger(alone).append(entry(number), attachments={"decision.json": f"{number}\n".encode()})
    assert ledger(alone).entries() == (entry(0), entry(1), entry(2))
    assert ledger(alone).attachment(RUN, "decision.json") == b"2\n"
    assert ledger(alone).attachment(RUN, "gate.json") is None
    assert run(alone, "status", "--porcelain") == ""
    assert run(alone, "ls-tree", "-r", "--name-only", "remint/ledger/churn").split() == [
        "ledger.jsonl",
        f"runs/{RUN}/decision.json",
    ]


def test_the_branch_shares_no_history_with_the_code(alone: Path) -> None:
    ledger(alone).append(entry())
    assert run(alone, "rev-list", "--count", "remint/ledger/churn") == "1"


def test_the_same_entry_again_changes_nothing(alone: Path) -> None:
    ledger(alone).append(entry(), attachments={"run.json": b"{}"})
    before = run(alone, "rev-parse", "remint/ledger/churn")
    ledger(alone).append(entry(), attachments={"run.json": b"{}"})
    assert run(alone, "rev-parse", "remint/ledger/churn") == before


def test_clones_see_each_others_entries_at_once(clones: tuple[Path, Path]) -> None:
    first, second = map(ledger, clones)
    first.append(entry(1), attachments={"run.json": b"one"})
    assert second.entries() == (entry(1),)
    second.append(entry(2))
    first.append(entry(3))
    assert second.entries() == (entry(1), entry(2), entry(3))
    assert second.attachment(RUN, "run.json") == b"one"


def test_entries_made_before_there_was_an_origin_are_published(alone: Path, tmp_path: Path) -> None:
    ledger(alone).append(entry(1))
    run(tmp_path, "init", "-q", "--bare", "late.git")
    run(alone, "remote", "add", "origin", str(tmp_path / "late.git"))
    assert ledger(alone).entries() == (entry(1),)
    ledger(alone).append(entry(2))
    run(tmp_path, "clone", "-q", "late.git", "other")
    assert ledger(tmp_path / "other").entries() == (entry(1), entry(2))


def test_a_ledger_that_went_its_own_way_is_not_overwritten(clones: tuple[Path, Path]) -> None:
    first, second = clones
    ledger(first).append(entry(1))
    run(second, "remote", "rename", "origin", "away")
    ledger(second).append(entry(2))
    run(second, "remote", "rename", "away", "origin")
    with pytest.raises(ConfigError, match="entries that origin's has not"):
        ledger(second).entries()


def test_a_lost_race_is_run_again_behind_the_winner(clones: tuple[Path, Path]) -> None:
    first, second = map(ledger, clones)
    first.append(entry(0))
    seen = []

    def late_rival(entries: object) -> None:
        if not seen:
            second.append(entry(1))  # lands between our reading and our writing
        seen.append(entries)

    first.append(entry(2), guard=late_rival)
    assert first.entries() == (entry(0), entry(1), entry(2))
    assert [len(e) for e in seen] == [1, 2]  # type: ignore[arg-type]


def test_what_the_guard_allowed_is_true_when_the_entry_lands(clones: tuple[Path, Path]) -> None:
    first, second = map(ledger, clones)
    tries = []

    def only_one(entries: tuple[LedgerEntry, ...]) -> None:
        if any(e.event is LedgerEvent.RETRAIN_STARTED for e in entries):
            raise LockedError("a retrain is running")
        if not tries:
            tries.append(1)
            second.append(entry(1, LedgerEvent.RETRAIN_STARTED))

    with pytest.raises(LockedError):
        first.append(entry(2, LedgerEvent.RETRAIN_STARTED), guard=only_one)
    assert len(first.entries()) == 1


@pytest.mark.parametrize("shared", [False, True], ids=["one checkout", "two clones"])
def test_processes_that_write_at_once_lose_no_entry(clones: tuple[Path, Path], shared: bool) -> None:
    script = textwrap.dedent(
        """
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from remint.adapters.git import Git
        from remint.adapters.ledger import Ledger
        from remint.core.ledger import LedgerEntry, LedgerEvent
        ledger = Ledger(Git(Path(sys.argv[1])), "churn")
        for number in range(4):
            at = datetime(2026, 11, 21, int(sys.argv[2]), number, tzinfo=UTC)
            data = {"writer": sys.argv[2]}
            ledger.append(LedgerEntry(at=at, event=LedgerEvent.DECISION, run_id=sys.argv[3], data=data))
        """
    )
    places = clones if shared else (clones[0], clones[0])
    if not shared:
        run(clones[0], "remote", "remove", "origin")
    writers = [subprocess.Popen([sys.executable, "-c", script, str(p), str(i), RUN]) for i, p in enumerate(places)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    entries = ledger(clones[0]).entries()
    for writer in ("0", "1"):
        assert [e.at.minute for e in entries if e.data["writer"] == writer] == [0, 1, 2, 3]
    assert len(entries) == 8


def test_an_origin_that_does_not_answer_is_a_service_failure(alone: Path) -> None:
    run(alone, "remote", "add", "origin", str(alone.parent / "gone.git"))
    for ask in (ledger(alone).entries, lambda: ledger(alone).append(entry())):
        with pytest.raises(ServiceError, match=r"origin: git ls-remote failed: fatal: .*gone.git"):
            ask()


def test_a_line_that_is_unknown_here_is_refused(alone: Path) -> None:
    ledger(alone).append(entry())
    git = Git(alone)
    text = (git.show("remint/ledger/churn", "ledger.jsonl") or b"").replace(b'"decision"', b'"prophecy"')
    blob = git.run("hash-object", "-w", "--stdin", stdin=text)
    tree = git.run("mktree", stdin=f"100644 blob {blob}\tledger.jsonl\n".encode())
    git.run("update-ref", "refs/heads/remint/ledger/churn", git.run("commit-tree", tree, "-m", "by hand"))
    with pytest.raises(DocumentError, match=r"remint/ledger/churn:ledger\.jsonl:1: unknown event 'prophecy'"):
        ledger(alone).entries()


# -- the registry ----------------------------------------------------------------------------------------------------


def test_registering_a_commit_again_gives_the_same_version(clones: tuple[Path, Path]) -> None:
    first, second = map(Git, clones)
    made = register(first, "churn", "HEAD", now=NOW)
    assert (made.tag, str(made.version)) == ("churn@v0.1.0", "v0.1.0")
    again = register(second, "churn", "HEAD", now=NOW + timedelta(hours=1))
    assert (again.tag, again.registered_at) == (made.tag, NOW)
    other = commit(clones[1])
    assert register(second, "churn", other, now=NOW).tag == "churn@v0.2.0"
    assert [v.tag for v in load_registry(first, "churn").versions] == ["churn@v0.1.0", "churn@v0.2.0"]
    assert run(clones[0], "cat-file", "-t", "churn@v0.1.0") == "tag"


def test_the_champion_is_what_was_assigned_last_by_anybody(clones: tuple[Path, Path]) -> None:
    first, second = map(Git, clones)
    old, new = commit(clones[0], "old"), commit(clones[0], "new")
    run(clones[0], "push", "-q", "origin", "HEAD")
    run(clones[1], "fetch", "-q")
    assert champion(second, "churn") is None
    register(first, "churn", new, now=NOW)
    assign(first, "churn", old, now=NOW)
    assign(second, "churn", new, now=NOW + timedelta(hours=1))
    assign(second, "churn", new, now=NOW + timedelta(hours=2))
    found = champion(first, "churn")
    assert found is not None
    assert (found.tag, found.number, found.version, found.commit) == ("churn#stable#2", 2, "v0.1.0", new)
    assert found.assigned_at == NOW + timedelta(hours=1)
    assert champion(first, "other") is None


def test_rolling_back_is_one_more_assignment(alone: Path) -> None:
    git = Git(alone)
    old, new = commit(alone, "old"), commit(alone, "new")
    for made in (old, new, old):
        assign(git, "churn", made, now=NOW)
    found = champion(git, "churn")
    assert found is not None
    assert (found.tag, found.commit) == ("churn#stable#3", old)


def test_a_taken_version_is_refused(alone: Path) -> None:
    git = Git(alone)
    register(git, "churn", "HEAD", now=NOW, version=Version.parse("v2.0.0"))
    commit(alone)
    with pytest.raises(ConfigError, match=r"version v2.0.0 is commit .*v2.1.0 is free"):
        register(git, "churn", "HEAD", now=NOW, version=Version.parse("v2.0.0"))


def test_a_dry_run_makes_no_tag(alone: Path) -> None:
    git = Git(alone)
    assert register(git, "churn", "HEAD", now=NOW, dry_run=True).tag == "churn@v0.1.0"
    assert assign(git, "churn", "HEAD", now=NOW, dry_run=True).tag == "churn#stable#1"
    assert run(alone, "tag") == ""
