"""Bundles the studio's editor, CodeMirror 6 (MIT), into thinklab/widgets/static/codemirror.js: ``python tools/make_editor.py``.

Needs npm and its registry, and only whoever changes the versions in tools/editor/package.json runs it: the bundle is committed, so that
the studio works offline and nobody needs npm. It holds one name, because a notebook gets all modules of a view as one text.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "editor"
STATIC = Path(__file__).parent.parent / "thinklab" / "widgets" / "static"
HEAD = "var codemirror="


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file in ("entry.js", "package.json"):
            shutil.copy(SOURCE / file, folder)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True)
        build = ["node_modules/.bin/esbuild", "entry.js", "--bundle", "--minify", "--format=iife", "--global-name=codemirror"]
        made = subprocess.run(
            [*build, "--charset=utf8", "--legal-comments=none", "--target=es2022"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        made = made.removeprefix('"use strict";').strip()
        assert made.startswith(HEAD) and "</script" not in made, made[:80]
        lock = json.loads((folder / "package-lock.json").read_text())["packages"]
        parts = sorted(p for p in lock if p and not lock[p].get("optional") and "esbuild" not in p)
        names = [f"{p.removeprefix('node_modules/')} {lock[p]['version']}" for p in parts]
        (STATIC / "codemirror.js").write_text(
            f"// CodeMirror 6 and what it needs, bundled by tools/make_editor.py; MIT, see codemirror.LICENSE.txt. {', '.join(names)}\n"
            f"export const codemirror={made.removeprefix(HEAD)}\n",
            "utf-8",
        )
        texts: dict[str, list[str]] = {}
        for part, name in zip(parts, names, strict=True):
            texts.setdefault((folder / part / "LICENSE").read_text("utf-8").strip(), []).append(name)
        (STATIC / "codemirror.LICENSE.txt").write_text(
            "\n\n".join(f"{', '.join(n)}\n\n{t}" for t, n in texts.items()) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
