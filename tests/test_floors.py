"""The floors hold: a module imports only from floors below its own or from its own folder, and never in a circle."""

import ast
from pathlib import Path

import pytest

import edgelm

ROOT = Path(edgelm.__file__).parent
# The table of docs/design.md: a top-level module or folder and its floor.
FLOORS = {
    "__init__": 0, "errors": 0,
    "files": 1, "folders": 1, "archives": 1, "plugins": 1, "recipe": 1, "pages": 1, "seccomp": 1,
    "headers": 2, "shapes": 2, "checkpoint": 2, "bundle": 2, "chat": 2, "report": 2, "rules": 2,
    "submission": 3, "links": 3, "kit": 3, "data": 3, "results": 3, "native": 3,
    "stock": 4, "tasks": 4, "engines": 4, "devices": 4,
    "train": 5, "deploy": 5,
    "compress": 6, "evaluate": 6, "measure": 6, "bridges": 6, "verify": 6,
    "init": 7, "pack": 7, "check": 7, "score": 7,
    "server": 8,
    "cli": 9, "__main__": 10,
}  # fmt: skip
BELOW_3 = {7: range(4), 8: (*range(4), 7)}  # these floors build on what is on disk alone, never on what runs models
# Within a floor, what is made of what: each may import those before it. Those in one string may not import each other.
ORDER = {
    0: ["errors", "__init__"], 1: ["files", "folders", "archives", "plugins", "recipe", "pages", "seccomp"],
    2: ["headers", "shapes", "checkpoint", "bundle", "chat", "report", "rules"],
    3: ["submission", "links", "kit", "data", "results", "native"],
    4: ["stock", "tasks engines devices"],
    6: ["compress evaluate measure bridges", "verify"],
}  # fmt: skip
# Late imports of our own: what says what a step would do needs no torch, what does it does.
LATE_OWN = {
    ("edgelm.compress.width", "edgelm.compress.maths.widths"),
    ("edgelm.compress.cast", "edgelm.compress.maths.casting"),
    ("edgelm.compress.repair", "edgelm.compress.maths.repairing"),
    *(("edgelm.compress.depth", f"edgelm.compress.maths.depth_{name}") for name in ("removals", "replace", "scores")),
    ("edgelm.compress.kv", "edgelm.compress.maths.merging"), ("edgelm.compress.kv", "edgelm.compress.stream.rewrite"),
    *(("edgelm.compress.heal", f"edgelm.compress.healing.{name}") for name in ("block", "lessons", "whole")),
    ("edgelm.verify.process", "edgelm.verify.loaded"),
    ("edgelm.train.pretrain", "edgelm.train.stage"), ("edgelm.train.sft", "edgelm.train.fine_tune"),
}  # fmt: skip
MODELS = {"torch", "transformers", "tokenizers", "accelerate", "safetensors"}
# Packages that one module may load late, because it alone needs them: heavy ones, and one that not every system has.
LATE = MODELS | {
    "gguf", "ray", "vllm", "executorch", "jieba", "jinja2", "matplotlib", "psutil", "resource", "datasets", "pyarrow",
}  # fmt: skip


def _modules():
    return sorted(ROOT.rglob("*.py"))


def _place(path):
    """`compress/depth.py` → ("compress", "edgelm.compress.depth")."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0], ".".join(("edgelm", *(part for part in parts if part != "__init__")))


def _imports(path):
    """Every import of a module: (name, whether at the top level, line); those for type checkers alone left out."""
    found = []

    def visit(node, top):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, top, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found.extend((_resolve(node.module, alias.name), top, node.lineno) for alias in node.names)
        inner = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def _resolve(module, name):
    """`from edgelm.check import run` imports a module, `from edgelm.check.run import check` a name of one."""
    inner = ROOT.joinpath(*module.split(".")[1:], name)
    is_module = inner.with_suffix(".py").is_file() or (inner / "__init__.py").is_file()
    return f"{module}.{name}" if module.startswith("edgelm") and is_module else module


def _may_import(own, other):
    """Whether the top-level place `own` may import from the place `other`."""
    floor, below = FLOORS[own], FLOORS[other]
    if own == other or other == "__init__":  # the package itself holds the version alone
        return True
    if floor == below:
        rank = {place: number for number, places in enumerate(ORDER.get(floor, ())) for place in places.split()}
        return own in rank and rank[other] < rank[own]
    return below in BELOW_3.get(floor, range(floor))


def _own_imports():
    """All imports between modules of edgelm: (module, its place, imported module, its place, top level, line)."""
    for path in _modules():
        place, module = _place(path)
        for name, top, line in _imports(path):
            if name == "edgelm" or name.startswith("edgelm."):
                yield module, place, name, [*name.split("."), "__init__"][1], top, line


def test_every_module_and_folder_has_its_floor():
    assert {_place(path)[0] for path in _modules()} <= set(FLOORS)


def test_imports_go_down_the_floors():
    wrong = [
        f"{module}:{line} (floor {FLOORS[own]}) imports {name} (floor {FLOORS[other]})"
        for module, own, name, other, _, line in _own_imports() if not _may_import(own, other)
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    graph = {}
    for module, _, name, _, _, _ in _own_imports():
        graph.setdefault(module, set()).add(name)
    done = set()

    def walk(module, path):
        assert module not in path, f"a circle: {' → '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for name in sorted(graph.get(module, set()) - {module}):
                walk(name, [*path, module])
            done.add(module)

    for module in sorted(graph):
        walk(module, [])


def test_only_verbs_import_our_own_modules_late():
    wrong = [f"{module}:{line} imports {name} inside a function" for module, own, name, _, top, line in _own_imports()
             if not top and own != "cli" and (module, name) not in LATE_OWN]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def _foreign_imports():
    for path in _modules():
        place, module = _place(path)
        for name, top, line in _imports(path):
            yield module, place, name.partition(".")[0], top, line


def test_model_libraries_are_on_floors_4_to_6_alone():
    wrong = [f"{module}:{line} (floor {FLOORS[place]}) imports {package}"
             for module, place, package, _, line in _foreign_imports()
             if package in MODELS and FLOORS[place] not in (4, 5, 6)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_only_verbs_and_a_few_packages_are_imported_late():
    wrong = [f"{module}:{line} imports {package} inside a function"
             for module, place, package, top, line in _foreign_imports()
             if not top and package != "edgelm" and package not in LATE and place != "cli"]  # fmt: skip
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("own", "other", "allowed"), [
    ("files", "errors", True), ("errors", "files", False), ("tasks", "engines", False), ("score", "tasks", False),
    ("score", "submission", True), ("check", "score", False), ("server", "score", True), ("server", "evaluate", False),
    ("report", "checkpoint", True), ("checkpoint", "report", False), ("cli", "server", True), ("tasks", "tasks", True),
    ("engines", "stock", True), ("devices", "stock", True), ("stock", "engines", False), ("devices", "engines", False),
    ("engines", "tasks", False), ("compress", "stock", True), ("train", "stock", True), ("check", "stock", False),
])  # fmt: skip
def test_the_rule_itself(own, other, allowed):
    assert _may_import(own, other) is allowed
