#!/usr/bin/env python3
"""Measures the shape of the source tree: doc comments by opening word, import cycles, files per folder,
file sizes, types by number of methods, and what pages are made of.

    scripts/shape.py [DIR]          a report on DIR (default: src)
    scripts/shape.py --check [DIR]  fails when a limit of docs/testing.md is exceeded

It reads imports as text (`use` declarations and `crate::`, `super::`, `self::` paths outside tests),
so a path that only a macro spells out is missed.
"""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

OPENERS = {"What", "Whether", "How", "Where", "Who", "Whom", "Whose", "Nobody", "Somebody"}
MOST_OPENERS = 0.04
MOST_IN_CYCLE = 2


def code(text):
    """The text without unit tests, comments and string literals."""
    text = text.split("#[cfg(test)]\nmod tests", 1)[0]
    text = re.sub(r"#\[cfg\(test\)\]\s*(#\[path[^\]]*\]\s*)?(pub(\([^)]*\))? )?(mod|use) [^;{]*;", "", text)
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)


def modules(root):
    """Maps each module path, as a tuple of names, to its file."""
    found = {}
    for file in sorted(root.rglob("*.rs")):
        parts = list(file.relative_to(root).with_suffix("").parts)
        if parts[-1] in ("mod", "lib"):
            parts.pop()
        found[tuple(parts)] = file
    return found


def expand(tree):
    """Expands `a::{b, c::{d}}` into its paths."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        return [re.sub(r"\s+as\s+\w+$", "", tree)]
    prefix, inner = tree[:brace], tree[brace + 1 : tree.rfind("}")]
    depth, start, items = 0, 0, []
    for at, char in enumerate(inner):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            items.append(inner[start:at])
            start = at + 1
    items.append(inner[start:])
    return [prefix + path for item in items if item.strip() for path in expand(item)]


def paths(text):
    for match in re.finditer(r"(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", text):
        for path in expand(match.group(2)):
            yield path, bool(match.group(1))
    for match in re.finditer(r"\b(?:crate|super|self)(?:::\w+)+", re.sub(r"\buse\s+[^;]+;", "", text)):
        yield match.group(0), False


def absolute(path, module, is_folder):
    """The path from the crate's root, or None for another crate."""
    names = [name.strip() for name in path.split("::")]
    here = list(module)
    if names[0] == "crate":
        return names[1:]
    if names[0] not in ("super", "self"):
        return here + names if is_folder else None
    while names and names[0] in ("super", "self"):
        if names.pop(0) == "super":
            here = here[:-1]
    return here + names


def arrows(root):
    known = modules(root)
    graph = defaultdict(set)
    for module, file in known.items():
        is_folder = file.name == "mod.rs" or any(m[:-1] == module for m in known)
        for path, exported in paths(code(file.read_text())):
            names = absolute(path, module, is_folder)
            if names is None:
                continue
            target = next((tuple(names[:n]) for n in range(len(names), 0, -1) if tuple(names[:n]) in known), None)
            if target is None or target == module or (exported and target[: len(module)] == module):
                continue
            if target == tuple(names) and target[: len(module)] == module and not exported:
                pass
            graph[file].add(known[target])
    return graph


def cycles(graph):
    """Strongly connected components of more than one file (Tarjan)."""
    index, low, on, stack, found = {}, {}, set(), [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for after in graph.get(node, ()):
            if after not in index:
                visit(after)
                low[node] = min(low[node], low[after])
            elif after in on:
                low[node] = min(low[node], index[after])
        if low[node] == index[node]:
            component = []
            while True:
                one = stack.pop()
                on.discard(one)
                component.append(one)
                if one == node:
                    break
            if len(component) > 1:
                found.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for node in list(graph):
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def openings(root):
    """Opening words of doc comments."""
    words = Counter()
    for file in root.rglob("*.rs"):
        before = ""
        for line in file.read_text().splitlines():
            line = line.strip()
            kind = next((k for k in ("///", "//!") if line.startswith(k)), "")
            if kind and before != kind:
                word = re.match(r"[\[`*(\"]*(\w+)", line[3:].strip())
                words[word.group(1) if word else ""] += 1
            before = kind
    return words


def services(root):
    """Types of `auth` by number of inherent methods, with the number of parts that these use: fields, and
    stores of a bundle called `deps`."""
    methods, fields, stores = Counter(), {}, defaultdict(set)
    for file in (root / "auth").rglob("*.rs"):
        text = code(file.read_text())
        for name, body in re.findall(r"^impl (\w+) \{\n(.*?)^\}", text, re.M | re.S):
            methods[name] += len(re.findall(r"^    (?:pub(?:\([^)]*\))? )?(?:async )?fn ", body, re.M))
            stores[name].update(re.findall(r"self\s*\.deps\s*\.(\w+)\b(?!\()", body))
        for name, body in re.findall(r"^(?:pub(?:\([^)]*\))? )?struct (\w+) \{\n(.*?)^\}", text, re.M | re.S):
            fields[name] = re.findall(r"^    (?:pub(?:\([^)]*\))? )?(\w+):", body, re.M)
    found = []
    for name, count in methods.most_common():
        parts = len(stores[name]) + len([f for f in fields.get(name, ()) if f != "deps"])
        if "deps" in fields.get(name, ()) or "journal" in fields.get(name, ()):
            found.append((name, count, parts))
    return found


def pages(root):
    """Lines of the pages, and of the tests beside them."""
    files = [(f, len(f.read_text().splitlines())) for f in (root / "web").rglob("*.rs")]
    tests = sum(n for f, n in files if re.search(r"(^|_)(tests?|testing)(_|\.|$)", f.name) or "testing" in f.parts)
    return sum(n for _, n in files) - tests, tests


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent / "src")
    words = openings(root)
    total = sum(words.values())
    poor = sum(words[w] for w in OPENERS)
    print(f"doc comments: {total}; opening with {'/'.join(sorted(OPENERS))}: {poor} ({100 * poor / max(total, 1):.1f} %)")
    for word, count in words.most_common(12):
        print(f"  {word:<10} {count:>5} {100 * count / total:5.1f} %")
    found = cycles(arrows(root))
    print(f"import cycles: {len(found)}; largest: {max(map(len, found), default=0)}")
    for cycle in found:
        print(f"  {len(cycle)}: {', '.join(str(f.relative_to(root)) for f in cycle)}")
    folders = Counter(f.parent.relative_to(root).as_posix() for f in root.rglob("*.rs"))
    print("files per folder: " + ", ".join(f"{name} {count}" for name, count in folders.most_common(8)))
    sizes = sorted((len(f.read_text().splitlines()) for f in root.rglob("*.rs")), reverse=True)
    print(f"files: {len(sizes)}; lines: {sum(sizes)}; median {sizes[len(sizes) // 2]}; largest {sizes[0]}")
    largest = [found for found in services(root) if found[0] != "Parts"][:4]
    print("services by methods: " + ", ".join(f"{name} {methods} over {parts} parts" for name, methods, parts in largest))
    print("lines of web: {} of pages, {} of tests beside them".format(*pages(root)))
    if "--check" in sys.argv:
        wrong = [c for c in found if len(c) > MOST_IN_CYCLE]
        if wrong or poor / max(total, 1) >= MOST_OPENERS:
            sys.exit("the limits are exceeded: import cycles of at most two files, openers under 4 %")


main()
