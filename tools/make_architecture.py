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
    paragraph = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n\n")[0]
    text = " ".join(paragraph.split())
    return re.split(r"(?<! et al)(?<=[a-z)`\"\]0-9}])\.(?= |$)", text, maxsplit=1)[0].rstrip(".")


def public(file: Path) -> list[str]:
    """The functions and classes that ``file`` defines for others."""
    body = ast.parse(file.read_text("utf-8")).body
    return [n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith("_")]


def tree(package: Path) -> str:
    """One line a file, folders after the files of their parent. The sentence of an ``__init__.py`` describes its folder, so its own
    line lists what it defines; without any, it only hands names on and has no line."""
    lines = []

    def walk(folder: Path, depth: int) -> None:
        pad = "  " * depth
        lines.append(f"{pad}{folder.name + '/':{28 - len(pad)}} {sentence(folder / '__init__.py')}".rstrip())
        for file in sorted(folder.glob("*.py")):
            if file.name == "__init__.py":
                if names := public(file):
                    lines.append(f"{pad}  {file.name:{26 - len(pad)}} {', '.join(f'``{name}``' for name in names)}")
            else:
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
