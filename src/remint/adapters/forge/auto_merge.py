"""Auto-merge fails closed: what has to be true before a forge is asked for it, and what to switch on where it is not.

A forge with nothing to wait for merges at once. So a required check has to stand between the two, and where there is
none nothing is asked. What ties a merge to one commit is that check as well: a commit status is of one commit, while
both forges keep a standing request when somebody pushes a newer one.
"""

from __future__ import annotations

from typing import Final

from remint.adapters.forge.protocol import Protection, PullRequest, PullState, Repository
from remint.errors import ConfigError, LockedError

_ALLOW: Final = 'Settings, General: "Allow auto-merge", or gh api --method PATCH repos/{name} -F allow_auto_merge=true'
_REQUIRE: Final = "{url}/settings/branches, rule for {base}: require the gate's status"
_WAITING: Final = "merge it by hand; auto-merge needs a required check or approval that is still missing"
_AT_ONCE: Final = ("clean status", "unstable status")
_UNPROTECTED: Final = "protected branch rules not configured"
_NOT_MERGEABLE: Final = "please try again later"  # Gitea, while it looks for conflicts and when it has found some
_NOT_ALLOWED: Final = "auto merge is not allowed"


def check_auto_merge(
    pull: PullRequest, commit: str, *, protection: Protection | None, repository: Repository
) -> ConfigError | LockedError | None:
    """Why the forge may not be asked to merge ``pull`` by itself; None where it may."""
    where = pull.url
    if pull.state is not PullState.OPEN:
        return ConfigError(f"no auto-merge: it is {pull.state.value}", where=where)
    if pull.fork:
        return ConfigError("no auto-merge: its branch is in a fork", where=where)
    if pull.commit != commit:
        return LockedError(
            f"no auto-merge: its branch is {pull.commit[:12]} by now, not {commit[:12]}", where=where, hint="try again"
        )
    if repository.auto_merge is False:
        hint = _ALLOW.format(name=repository.name)
        return ConfigError(f"no auto-merge: {repository.name} does not allow it", where=where, hint=hint)
    if protection is None or not protection.checks:
        return ConfigError(
            f"no auto-merge: {pull.base} requires no check, so it would be merged at once",
            where=where,
            hint=_REQUIRE.format(url=repository.url, base=pull.base),
        )
    return None


def auto_merge_refusal(pull: PullRequest, repository: Repository, said: str) -> ConfigError:
    """What the forge answered, with the setting that it means."""
    text = said.lower()
    hint = None
    if any(known in text for known in _AT_ONCE):
        hint = _WAITING
    elif _NOT_MERGEABLE in text:
        hint = f"does it conflict with {pull.base}?"
    elif _UNPROTECTED in text:
        hint = _REQUIRE.format(url=repository.url, base=pull.base)
    elif _NOT_ALLOWED in text:
        hint = _ALLOW.format(name=repository.name)
    return ConfigError(f"no auto-merge: {said}", where=pull.url, hint=hint)
