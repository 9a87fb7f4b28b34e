"""Shows domains and drawn tasks to people."""

from __future__ import annotations

from rich.table import Table

from toolmaster.errors import InputError
from toolmaster.progress import console
from toolmaster.world.quirks import FAMILIES, KINDS
from toolmaster.world.tasks import LEVELS, World


def list_domains(world: World) -> None:
    """A table of the domains and one of the quirks."""
    table = Table(title="domains")
    for column in ("domain", "split", "tools", "goals", "about"):
        table.add_column(column)
    for domain in sorted(world.domains.values(), key=lambda d: (d.split, d.name)):
        counts = (str(len(domain.tools)), str(len(domain.goals)))
        table.add_row(domain.name, domain.split, *counts, domain.about)
    console.print(table)
    quirks = Table(title="hidden behaviours")
    for column in ("family", "split", "kind", "what it does"):
        quirks.add_column(column)
    for kind in KINDS:
        about = (kind.__doc__ or "").split("\n")[0]
        quirks.add_row(kind.family, kind.split, kind.kind, about)
    console.print(quirks)


def show_domain(world: World, name: str) -> None:
    """One domain's canonical tools and goals, and one drawn task of each family.

    Raises:
        InputError: no such domain.
    """
    domain = world.domains.get(name)
    if domain is None:
        raise InputError(f"no domain {name!r}; there are {', '.join(sorted(world.domains))}")
    table = Table(title=f"{name} ({domain.split}): {domain.about}")
    for column in ("tool", "effect", "parameters", "documentation"):
        table.add_column(column)
    for tool in domain.tools.values():
        table.add_row(tool.key, tool.effect, ", ".join(tool.params), tool.doc)
    console.print(table)
    for family in FAMILIES:
        drawn = world.draw(f"{LEVELS['full']}/{domain.split}/{name}/{family}/0")
        console.print(f"\n[bold]{drawn.task.id}[/bold] ({drawn.task.labels['quirk']})")
        console.print(f"  {drawn.task.query}", highlight=False)
        for surface in drawn.surfaces:
            shown = ", ".join(surface.params.values())
            console.print(f"  [cyan]{surface.name}[/cyan]({shown}): {surface.doc}", highlight=False)
        console.print(f"  answer: {drawn.plan.answer}", highlight=False)
