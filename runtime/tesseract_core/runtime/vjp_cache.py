"""The size and the contents of the cache of backward functions that `jax_recipes` keeps (off by default).

Apart from `jax_recipes`, so that `set_jax_vjp_cache_size` can be named where JAX is not installed.
"""

from __future__ import annotations

from tesseract_core.runtime.tree_transforms import LRUCache

_cache = LRUCache(maxsize=0)


def set_jax_vjp_cache_size(size: int) -> None:
    """Keep the backward functions of the last `size` calls of `jax_apply`; `jax_vjp` on equal inputs reuses one.

    Each entry holds the residuals of one evaluation in memory. Every call empties the cache; 0 switches it off.

    Raises:
        ValueError: `size` is negative.
    """
    global _cache
    if size < 0:
        raise ValueError(f"the VJP cache cannot have size {size}; give 0 (off) or more")
    _cache = LRUCache(maxsize=size)


def vjp_cache() -> LRUCache:
    """The cache in use; its `maxsize` is 0 while it is off."""
    return _cache
