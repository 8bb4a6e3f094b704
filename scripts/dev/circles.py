"""Finds circles among the files of each folder of Rust modules; lint_modules.py reports them.

A file stands for its module and for all modules below it; `mod` is the folder's own file (`mod.rs`, or `NAME.rs` next
to the folder). An arrow goes from the file that imports or writes a path to the one that defines the name, through all
re-exports. All files of the folder may use a constant of `mod`. Method calls are not detected.
"""

import re

NAME = r"[A-Za-z_]\w*"
PATH = re.compile(rf"(?<![\w:])((?:r#)?{NAME}(?:\s*::\s*{NAME})*)")
DEFINITION = re.compile(rf"^(?:pub(?:\([^)]*\))? )?(?:unsafe |async |const )*(?:fn|struct|enum|union|trait|type) (\w+)", re.M)
USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
NOISE = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|' + r"r(#*)\".*?\"\1|'(?:[^'\\\n]|\\.)'", re.S)


def product_code(text):
    """The code without comments, strings and the tests at its end; line numbers stay the same."""
    text = re.split(r"^#\[cfg\(test\)\]\s*mod tests ", text, flags=re.M)[0]
    return NOISE.sub(lambda found: "\n" * found[0].count("\n"), text)


def leaves(tree, before=()):
    """(path, name) of everything that the tree of a `use` brings in, such as `a::{self, b::C as D}`."""
    tree = tree.strip()
    if found := re.match(r"(.*?)(?:::)?\s*\{(.*)\}$", tree, re.S):
        path = before + tuple(part.strip() for part in found[1].split("::") if part.strip())
        for part in parts(found[2]):
            yield from leaves(part, path)
    elif tree:
        path, _, name = (part.strip() for part in tree.partition(" as "))
        path = before + tuple(part.strip() for part in path.split("::") if part.strip())
        path = path[:-1] if path[-1] == "self" and len(path) > 1 else path
        yield path, name or path[-1]


def parts(inner):
    """The parts of a list, split at the commas outside of braces."""
    depth, part = 0, ""
    for sign in inner:
        depth += (sign == "{") - (sign == "}")
        if sign == "," and not depth:
            yield part
            part = ""
        else:
            part += sign
    yield part


class Module:
    def __init__(self, file, code):
        self.file, self.code = file, code
        self.defines = set(DEFINITION.findall(code))
        self.uses = []  # (line, is re-exported, path, name)
        for found in USE.finditer(code):
            line = code.count("\n", 0, found.start(2)) + 1
            self.uses += [(line, bool(found[1]), path, name) for path, name in leaves(found[2])]
        body = re.sub(rf"\bmod {NAME};", "", code)
        body = USE.sub(lambda found: "\n" * found[0].count("\n"), body)
        self.paths = [
            (body.count("\n", 0, found.start()) + 1, tuple(re.split(r"\s*::\s*", found[1])))
            for found in PATH.finditer(body)
        ]
        self.words = {path[0] for _, path in self.paths}


class Crate:
    def __init__(self, root, folder):
        """The modules below `folder`; `root` is the file of the crate itself."""
        self.modules = {}
        for file in sorted(folder.rglob("*.rs")):
            path = file.relative_to(folder).with_suffix("").parts
            path = () if file == root else path[:-1] if path[-1] == "mod" else path
            if path[:1] != ("bin",) and path[-1:] != ("tests",):
                self.modules[path] = Module(file, product_code(file.read_text()))

    def absolute(self, module, path):
        """The path from the root of the crate, or None if it leads out of the crate."""
        first, *rest = path
        if first in ("crate", "$crate"):
            return tuple(rest)
        if first == "self":
            return self.absolute(module, rest) if rest[:1] == ["super"] else module + tuple(rest)
        if first == "super":
            return self.absolute(module[:-1], rest) if rest[:1] == ["super"] else module[:-1] + tuple(rest)
        if module + (first,) in self.modules:
            return module + tuple(path)
        imported = [path for _, _, path, name in self.modules[module].uses if name == first and path[0] != first]
        return self.absolute(module, imported[0] + tuple(rest)) if rest and imported else None

    def definition(self, path, seen=()):
        """(module, names) of the item at `path`: the module that defines it, and its name there. None outside."""
        module = ()
        for index, name in enumerate(path):
            if module + (name,) in self.modules:
                module += (name,)
                continue
            owner, rest = self.modules[module], path[index + 1 :]
            exported = [target for _, _, target, as_name in owner.uses if as_name == name]
            if name in owner.defines or not exported or (module, name) in seen:
                return module, path[index:]
            target = self.absolute(module, exported[0])
            return target and self.definition(target + rest, (*seen, (module, name)))
        return module, ()

    def arrows(self):
        """(user, owner, line, names) of each path to another module; `names` are the used names, if any."""
        for path, module in self.modules.items():
            named = [(line, used) for line, _, used, name in module.uses if not _ or name in module.words]
            for line, used in named + [(line, used) for line, used in module.paths if len(used) > 1]:
                target = self.absolute(path, used)
                owner, names = (target and self.definition(target)) or (path, ())
                is_above = path[: len(owner)] == owner
                if owner != path and (not is_above or {*names[:1]} & self.modules[owner].defines):
                    yield path, owner, line, names[:1]

    def folders(self):
        """{path of a folder: {(from, to): [place]}}: the arrows among the files of each folder."""
        found = {}
        for user, owner, line, names in self.arrows():
            shared = next((i for i, (a, b) in enumerate(zip(user, owner)) if a != b), min(len(user), len(owner)))
            a, b = (path[shared] if len(path) > shared else "mod" for path in (user, owner))
            place = f"{self.modules[user].file.name}:{line}{''.join(f' {name}' for name in names)}"
            found.setdefault(user[:shared], {}).setdefault((a, b), []).append(place)
        return found


def circles(arrows):
    """The groups of files that reach each other along arrows {(from, to): …}."""
    after = {}
    for a, b in arrows:
        after.setdefault(a, set()).add(b)

    def reached(start):
        seen, open_ = set(), [start]
        while open_:
            for name in after.get(open_.pop(), ()):
                if name not in seen:
                    seen.add(name)
                    open_.append(name)
        return seen

    reach = {name: reached(name) for name in after}
    groups = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in reach if a in reach[a]}
    return sorted(sorted(group) for group in groups)
