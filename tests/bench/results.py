"""How results are kept and shown."""

from typing import Any


def merged(earlier: dict[str, Any], found: dict[str, dict[str, Any]], *, quick: bool, rows: int) -> dict[str, Any]:
    """The results with what was found now; figures that were not taken again stay as they were."""
    figures = earlier.get("figures", {}) | {name: figure | {"quick": quick} for name, figure in found.items()}
    return {"figures": figures, "quick": any(figure["quick"] for figure in figures.values()), "rows": rows}


def line(name: str, figure: dict[str, Any]) -> str:
    """One figure for the terminal."""
    if "peer" not in figure:
        return f"{name:28} {figure['ours']:>9,}"
    return (
        f"{name:28} {figure['ours']:>9,}/s  peer {figure['peer']:>9,}/s  ratio {figure['ratio']:<6} "
        f"processor {figure['ours_cpu_us']:,} µs, peer {figure['peer_cpu_us']:,} µs, ratio {figure['cpu_ratio']}"
    )
