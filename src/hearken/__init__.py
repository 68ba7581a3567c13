"""hearken listens to speech and says in words what is wrong with it; then it repairs it.

>>> import hearken
>>> sorted(n for n in dir(hearken) if n[0].isupper())[:3]
['Critic', 'Enhancer']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hearken.critic import Critic as Critic
    from hearken.enhancer import Enhancer as Enhancer

__version__ = "0.1.0"
__all__ = ["Critic", "Enhancer", "__version__"]

_HOMES = {"Critic": "hearken.critic", "Enhancer": "hearken.enhancer"}


def __getattr__(name: str) -> Any:
    """Import the heavy names on first use: `import hearken` itself stays instant."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hearken' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
