"""Write the tree in docs/architecture.md from the first sentence of each module's docstring.

python tools/make_architecture.py
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- tree: written by tools/make_architecture.py -->\n", "<!-- end of the tree -->\n"


def sentence(file: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    text = " ".join((ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").split())
    return re.split(r"(?<! et al)(?<=[a-z)`\"\]0-9}])\.(?= |$)", text, maxsplit=1)[0].rstrip(".")


def tree(package: Path) -> str:
    """One line a file, folders after the files of their parent; an ``__init__.py`` speaks for its folder."""
    lines = []

    def walk(folder: Path, depth: int) -> None:
        pad = "  " * depth
        lines.append(f"{pad}{folder.name + '/':{28 - len(pad)}} {sentence(folder / '__init__.py')}".rstrip())
        for file in sorted(folder.glob("*.py")):
            if file.name != "__init__.py":
                lines.append(f"{pad}  {file.name:{26 - len(pad)}} {sentence(file)}".rstrip())
        for inner in sorted(p for p in folder.iterdir() if (p / "__init__.py").is_file()):
            walk(inner, depth + 1)

    walk(package, 0)
    return "```text\n" + "\n".join(lines) + "\n```\n"


def page(text: str) -> str:
    """``text`` with the tree as it is now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + tree(ROOT / "thinklab") + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
