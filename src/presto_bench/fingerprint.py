"""Hash of a rule's code: all modules that it reaches by static import, without comments and docstrings.

`params.code` = hash of the AST of the static import closure of the rule's module, plus the item's own plug-in. So an
edit to an imported module reruns the rules that use it, which Snakemake alone would miss; an edit to a comment reruns
nothing.
"""

import ast
import hashlib
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "presto_bench"
ROOT = Path(__file__).parent


def code_hash(modules: Iterable[str]) -> str:
    """Hash over the import closure of `modules` (dotted names; a foreign module counts alone)."""
    reached = sorted(set().union(*(closure(module) for module in modules)))
    joined = "\n".join(f"{module} {_source(module).hash}" for module in reached)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


def closure(module: str) -> frozenset[str]:
    """Modules of this package that `module` reaches by import, itself included."""
    found, open_ends = set(), [module]
    while open_ends:
        current = open_ends.pop()
        if current in found:
            continue
        found.add(current)
        open_ends += _imports(current)
    return frozenset(found)


def _imports(module: str) -> tuple[str, ...]:
    """Modules that `module` imports: of this package, and for a user's plug-in also those that lie beside it."""
    return tuple(name for name in _source(module).names if _counts(name, module))


def _counts(name: str, importer: str) -> bool:
    ours = importer.split(".")[0] == PACKAGE
    if name.split(".")[0] == PACKAGE:  # a plug-in may use any part of the config, and no stage knows which
        return (ours or name.startswith(f"{PACKAGE}.config")) and _path(name) is not None
    home = _path(importer)
    path = home and _beside(home.parent, name)
    return path is not None and not ours


def _beside(folder: Path, name: str) -> Path | None:
    """Source of a plug-in's neighbour, looked up as a file: nothing is imported to find it."""
    last = name.split(".")[-1]
    return next((path for path in (folder / f"{last}.py",) if path.is_file()), None)


def _path(module: str) -> Path | None:
    """Source file of `module`, without importing it; None when there is none."""
    return _located(module, ROOT)


@cache
def _located(module: str, root: Path) -> Path | None:
    if module.split(".")[0] != PACKAGE:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            return None
        return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
    base = root.joinpath(*module.split(".")[1:])
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@dataclass(frozen=True)
class Source:
    """What counts of one module's source. names: all that it imports, anywhere in it; hash: of its tree without docstrings."""

    names: tuple[str, ...]
    hash: str


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _source(module: str) -> Source:
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(f"no source for module {module}")
    found = path.stat()
    return _read(path, found.st_mtime_ns, found.st_size)


@cache
def _read(path: Path, changed: int, size: int) -> Source:
    """Imports and hash of one module, in one walk of its tree. changed: time of the last edit.

    It must be fast: each parse of the Snakefile reads every module of ours, and each cluster job parses the Snakefile.
    """
    tree, names = ast.parse(path.read_text(encoding="utf-8")), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return Source(tuple(names), hashlib.sha256(ast.dump(tree).encode()).hexdigest())


def content_hash(path: Any) -> str:
    """sha256 of a file, of a folder's files with their names, or of a list of either."""
    if isinstance(path, list | tuple) or not isinstance(path, str | os.PathLike):
        return ",".join(content_hash(str(p)) for p in path)
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(path.parent).as_posix().encode())
        if file.name != "manifest.json":  # holds times
            with open(file, "rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()
