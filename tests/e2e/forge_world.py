"""The machines around the forge: a clone, a service, a Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from remint.demo.world import World

SERVICE_TOKEN: Final = "only-for-a-test"


@dataclass(slots=True)
class ForgeWorld(World):
    """The demo's world, with the forge for origin and the service's export switched on."""

    def environment(self) -> dict[str, str]:
        # not super(): a dataclass with slots is another class than the one that its methods close over
        return {**World.environment(self), "REMINT_SERVICE_TOKEN": SERVICE_TOKEN}

    def clone(self, address: str) -> None:
        for folder in (self.bundles, self.root / "store", self.root / "dvc-remote", self.root / "data"):
            folder.mkdir(parents=True)
        (self.root / "gitconfig").write_text(
            "[user]\n\tname = Ada\n\temail = ada@example.invalid\n[init]\n\tdefaultBranch = main\n"
        )
        self.run("git", "clone", "--quiet", address, str(self.repo), at=self.root)
