"""``find_pack`` and ``accept``: a behavior pack from a folder or the Hub, checked and shown before it is pinned."""

from __future__ import annotations

import difflib
import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from thinklab.behavior.behavior import Behavior
from thinklab.behavior.loader import read
from thinklab.config.packs import ABOUT, Pack, accepted_packs, data_folder, write_accepted
from thinklab.config.strict_yaml import MAX_BYTES, FileError, parse
from thinklab.errors import BehaviorError

MOST_FILES = 100
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
DESCRIBED = ("name", "title", "description", "license", "url")
"""What ``pack.yaml`` may say; each is a text."""


@dataclass(frozen=True)
class FoundPack:
    """Files that nobody has accepted yet."""

    name: str
    source: str
    revision: str
    files: dict[str, bytes]
    behaviors: list[Behavior]

    @property
    def pins(self) -> dict[str, str]:
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}


def find_pack(source: str, name: str = "") -> FoundPack:
    """Read the pack at ``source`` and check each of its files.

    Args:
        source: a folder, one behavior file, or ``hub:ORG/PACK`` (a data set on the Hugging Face Hub), with ``@REVISION`` if wanted.
        name: what to call it here; default: as its ``pack.yaml`` says, or as the folder is called.

    Raises:
        BehaviorError: it cannot be read, has no behavior, or a file is not a valid behavior; the message says where.
    """
    with tempfile.TemporaryDirectory() as downloaded:
        revision = ""
        if source.startswith("hub:"):
            folder, revision = _download(source.removeprefix("hub:"), Path(downloaded))
            shown = source.partition("@")[0]
        else:
            folder, shown = Path(source).expanduser(), str(Path(source).expanduser().resolve())
        files = _files(folder, source)
        said = _about(files, folder)
        called = name or said.get("name") or (folder.stem if not revision else shown.rpartition("/")[2]).lower().replace("_", "-")
        if not NAME.fullmatch(called):
            raise BehaviorError(
                f"{source}: {called!r} is no name for a pack: lower case, digits and hyphens; choose one with --name"
            )
        behaviors = _checked(files, Path(downloaded) / "checked")
    return FoundPack(called, shown, revision, files, behaviors)


def _files(folder: Path, source: str) -> dict[str, bytes]:
    """The YAML files directly in ``folder``, or the one that it is; links are not followed."""
    if not folder.exists():
        raise BehaviorError(f"there is no folder or file {source}; give a path, or hub:ORG/PACK")
    paths = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
    if len(paths) > MOST_FILES:
        raise BehaviorError(f"{source}: a pack may have {MOST_FILES} files, not {len(paths)}")
    files = {}
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise BehaviorError(f"{path}: not a file of its own (a link or a folder); a pack has only files")
        if path.stat().st_size > MAX_BYTES:
            raise BehaviorError(f"{path}: larger than {MAX_BYTES // 1024} KiB")
        files[path.name] = path.read_bytes()
    if not any(name != ABOUT for name in files):
        raise BehaviorError(f"{source}: no behavior files (*.yaml) in it")
    return files


def _about(files: dict[str, bytes], folder: Path) -> dict[str, str]:
    """The content of ``pack.yaml``; empty without one."""
    if ABOUT not in files:
        return {}
    shown = str(folder / ABOUT)
    try:
        told = parse(files[ABOUT].decode("utf-8"), shown).plain()
    except (FileError, UnicodeDecodeError) as error:
        raise BehaviorError(str(error)) from None
    if not isinstance(told, dict) or not all(isinstance(v, str) for v in told.values()) or not set(told) <= set(DESCRIBED):
        raise BehaviorError(f"{shown}: texts only, under {', '.join(DESCRIBED)}")
    return told


def _checked(files: dict[str, bytes], folder: Path) -> list[Behavior]:
    """Every behavior, read from a folder with nothing else in it."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    found = []
    for name in files:
        if name == ABOUT:
            continue
        try:
            behavior = Behavior(read(folder / name), folder / name)
        except BehaviorError as error:
            raise BehaviorError(str(error).replace(f"{folder}/", "")) from None
        if behavior.name != Path(name).stem:
            raise BehaviorError(f"{name}: the file of the behavior {behavior.name!r} must be called {behavior.name}.yaml")
        found.append(behavior)
    return found


def _download(wanted: str, folder: Path) -> tuple[Path, str]:
    """The YAML files of a data set on the hub at one commit, and that commit."""
    from huggingface_hub import HfApi, snapshot_download

    repository, _, revision = wanted.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise BehaviorError(f"hub:{wanted}: write hub:ORG/PACK, or hub:ORG/PACK@REVISION")
    try:
        commit = HfApi().dataset_info(repository, revision=revision or None).sha
        assert commit is not None, "the hub names the commit of what it is asked for"
        target = folder / "hub"
        snapshot_download(
            repository,
            repo_type="dataset",
            revision=commit,
            allow_patterns=["*.yaml", "*.yml"],
            ignore_patterns=["*/*"],
            local_dir=target,
        )
    except Exception as error:  # the hub's client raises a dozen kinds, from DNS failures to a repository that is not there
        raise BehaviorError(f"hub:{wanted} cannot be read: {str(error).strip().splitlines()[0][:300]}") from None
    target.mkdir(exist_ok=True)
    return target, commit


def visible(text: str) -> str:
    """``text`` with every character that a terminal would act on, or not show, written as an escape."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text)


def shown(pack: FoundPack, known: Pack | None) -> str:
    """Everything to read before accepting: each file in full, or, for a pack that is accepted already, what differs."""
    parts = []
    for name, data in sorted(pack.files.items()):
        text, digest = visible(data.decode("utf-8", "replace")), pack.pins[name]
        if known is not None and digest == known.pins.get(name):
            continue
        here = known.folder / name if known is not None and name in known.pins else None
        old = here.read_text("utf-8", "replace") if here is not None and here.is_file() else ""
        lines = (
            list(difflib.unified_diff(visible(old).splitlines(), text.splitlines(), "here", "new", lineterm="", n=2))
            if old
            else []
        )
        parts.append(f"--- {name}, sha256 {digest}\n" + ("\n".join(lines) or text.rstrip()))  # no lines: it was changed here
    gone = sorted(set(known.pins) - set(pack.files)) if known else []
    return "\n".join((*parts, *(f"--- {name}: no longer in the pack" for name in gone)))


def accept(pack: FoundPack) -> Pack:
    """Copy the files to the user's folder and pin them; a pack of that name is replaced."""
    packs = accepted_packs()
    folder = data_folder() / "packs" / pack.name
    fresh = folder.with_name(f".{pack.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, data in pack.files.items():
        (fresh / name).write_bytes(data)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    packs[pack.name] = Pack(pack.name, folder, pack.source, pack.revision, pack.pins)
    write_accepted(packs)
    return packs[pack.name]


def remove(name: str) -> None:
    """Forget an accepted pack and delete its copy.

    Raises:
        BehaviorError: there is none of that name.
    """
    packs = accepted_packs()
    if name not in packs:
        raise BehaviorError(f"no behavior pack {name!r} was added; there are: {', '.join(packs) or 'none'}")
    shutil.rmtree(packs.pop(name).folder, ignore_errors=True)
    write_accepted(packs)
