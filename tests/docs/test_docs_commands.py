"""Every command and every Python block of README.md and docs/*.md, run with the wheel in an empty folder.

The wheel is built and installed into a fresh environment; no file of the checkout lies beside it. The commands of a page run
in the page's order, README first, in one folder, as a reader would call them; only what the reader brings (a model folder,
questions, answers) is put there, and options that shrink a run of minutes to seconds are appended. ``RULES`` says for each
command what is appended and what must come out, or why it cannot run here. **A command without a rule fails**, and so does a
rule without a command.

Commands in thinklab's messages and docstrings, the examples' comments, the notebooks and docs/measurements are checked against
the command line: subcommand, options, shipped files.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.fake_server import GOOD, KEY, Server
from tests.support.installed_wheel import install_wheel

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDERS = {"RUN": "runs/mine", "NAME": "self-check"}
STARTS = r"(?:thinklab|python|pip|make|lm-eval)"
REPLY = (
    "<opinion>incorrect</opinion><reason>Hmm... I rushed and did not check. I should have added step by step.</reason>"
    "<phrase>12+7=19. So \\boxed{19}.</phrase>"
)


@dataclass(frozen=True)
class Run:
    """Call it with ``more`` behind it; ``says`` must be in what it prints."""

    more: str = ""
    says: str = ""
    codes: tuple[int, ...] = (0,)
    stdin: str = ""
    fresh: bool = False
    """In a process of its own by the installed script, where it matters what is imported first."""
    lane: int = 0
    """Commands of one lane run one after the other; two lanes keep two cores busy."""


@dataclass(frozen=True)
class Skip:
    """Not run here, and why."""

    why: str


@dataclass(frozen=True)
class Mention:
    """No whole command, only its name: ``thinklab eval``. Subcommand and options must exist."""


TRAIN = "train.steps=2 train.questions=2 train.samples=4 probe.questions=6 probe.every=0 train.checkpoint_every=1"
OWN = (
    "steps=1 train.questions=1 train.samples=2 train.micro_batch=2 train.max_prompt_tokens=160 train.max_completion_tokens=40 "
    "guidance.max_tokens=40 probe.questions=2 train.warmup_steps=0 train.checkpoint_every=1"
)
RECIPE = (
    f"{OWN} probe.every=0 student.path=DIR student.quantize=none student.dtype=float32 student.chat_template_kwargs={{}} "
    "task.path=train.jsonl"
)
CHECKOUT = Skip("a script of the repository, not part of the wheel")

RULES: list[tuple[str, Run | Skip | Mention]] = [
    (r"make demo", Run("--steps 2 --questions 6", "Report: runs/demo/report.html", lane=1)),  # as `thinklab demo`
    (r"make (test|test-teachers|test-unsloth|test-matrix)", Skip("these very tests")),
    (r"make docs", Skip("its tools are an environment of their own; .ci/run calls it, tests/docs/test_site.py checks its parts")),
    (r"make( PYTHON=\S+ demo)?", Skip("the command's name, and the choice of the interpreter that makes .venv")),
    (r"pip install \.", Skip("what the fixture `installed` does")),
    (r"pip install 'thinklab\[\w+\]'", Skip("needs an index; that the extra exists is checked below")),
    (r"lm-eval run .*", Skip("lm-evaluation-harness is an extra; tests/evaluation/test_harness.py runs it")),
    (r"python (benchmarks|tools|examples)/\w+\.py.*", CHECKOUT),
    (r"python -m pytest .*", CHECKOUT),
    (r"thinklab demo .*luffy.*", Run("--steps 2 --questions 6 --out runs/luffy", "Report: runs/luffy/report.html", lane=1)),
    (r"thinklab demo .*vijay.*", Run("--steps 2 --questions 6 --out runs/ending", "Report: runs/ending/report.html", lane=1)),
    (r"thinklab train .*--review.*", Skip("waits for people; tests/view/test_train_review.py and test_view_browser.py are they")),
    (
        r"thinklab train examples/gsm8k.yaml .*student.kind=unsloth.*",
        Run("", "nsloth", (1, 2), fresh=True),
    ),  # needs a GPU: it says so
    (
        r"thinklab train examples/gsm8k.yaml .*--profile t4.*",
        Run(OWN + " student.quantize=none student.dtype=float32 --out runs/t4", "run folder: runs/t4"),
    ),
    (
        r"thinklab train examples/gsm8k.yaml .*enable_thinking=false",
        Run(OWN, "has no variable 'enable_thinking'", (2,)),
    ),  # the reader's model here is no reasoning model: an error, as the page says
    (r"thinklab train examples/gsm8k.yaml .*", Run(OWN, "run folder: runs/gsm8k")),
    (
        r"thinklab train .*report_to.*",
        Skip("needs the service's package; tests/experiment/test_reporting.py reads back what it stores"),
    ),
    (r"pip install tensorboard", Skip("needs an index")),
    (r"thinklab train brief.yaml .*", Skip("with the files of its page, by tests/docs/test_docs_own_rewards.py")),
    (r"thinklab train examples/demo-self-check.yaml .*", Run(TRAIN, "run folder: runs/mine")),
    (r"thinklab train examples/recipes/\S+ --profile 24gb", Run(RECIPE, "run folder: runs/", lane=1)),
    (r"thinklab train examples/recipes/\S+ --profile (t4|16gb|80gb)", Skip("another card's name; the one for 24 GB is run")),
    (
        r"thinklab train examples/recipes/\S+ --profile 24gb train.steps=3 --out runs/short",
        Run(RECIPE.replace("steps=1", "steps=3"), "run folder: runs/short"),
    ),
    (
        r"thinklab train --resume runs/mine teacher.cap_usd=9",
        Skip("a paid run; tests/experiment/test_paid_teacher_run.py raises a cap"),
    ),
    (r"thinklab plan examples/recipes/\S+ --profile 24gb --measured runs/short", Run("", "generations of")),
    (r"thinklab plan examples/recipes/\S+ --profile 24gb", Skip("tests/docs/test_reference.py compares what it prints")),
    (r"thinklab train \.\.\. && thinklab eval \.\.\.", Mention()),
    (r"thinklab train runs/mine/config.yaml --out OTHER", Run("", "run folder: OTHER")),
    (
        r"thinklab train --resume runs/mine review.pause=false",
        Skip("goes on without people; tests/view/test_train_review.py resumes such runs"),
    ),
    (
        r"thinklab train --resume runs/mine teacher.cap_usd=5",
        Skip("a paid run; tests/experiment/test_paid_teacher_run.py raises a cap"),
    ),
    (r"pip install", Skip("the command's name")),
    (r"thinklab train (--resume )?runs/\S+( --resume)?", Run("", "run folder: runs/mine")),
    (r"thinklab view runs/?", Skip("serves until Ctrl-C; tests/view/test_view_api.py and test_view_browser.py ask it")),
    (r"thinklab view runs/? --export share", Run("--rollouts 4", "share/index.html")),
    (r"thinklab doctor CONFIG( --profile \S+)?", Mention()),
    (r"thinklab doctor .*", Run("", "A run would fail", (1,))),
    (r"thinklab probe runs/mine.*--persistence.*", Run("--persistence 1 --questions 4", "persistence")),
    (r"thinklab probe runs/mine.*", Run("--questions 4", "accuracy")),
    (r"thinklab report runs/mine", Run("", "runs/mine/report.html")),
    (r"thinklab save runs/mine --as merged", Run("", "runs/mine/export/merged")),
    (r"thinklab push .*", Run("", "nothing was uploaded", stdin="n\n")),
    (r"thinklab behaviors list", Run("", "thalapathy-vijay")),
    (
        r"thinklab behaviors (add|remove) (my-pack|hub:org/pack)",
        Skip("asks, or needs the hub; tests/behavior/test_packs.py does both"),
    ),
    (r"thinklab teachers", Run("", "ANTHROPIC_API_KEY")),
    (
        r"thinklab --install-completion",
        Skip("changes the shell's start file; tests/cli/test_completion.py does it in a home of its own"),
    ),
    (r"thinklab behaviors show self-check", Run("", "detector  ")),
    (r"thinklab behaviors new ends-with-thanks", Run("", "wrote ends-with-thanks.yaml")),
    (r"thinklab behaviors (lint|test) ends-with-thanks.yaml", Run("", "")),
    (r"thinklab behaviors preview self-critique", Run("", "1,000 calls: about")),
    (
        r"thinklab behaviors .*(draft|weakest-step|spot-check|louder|wrong)\.yaml.*|thinklab behaviors new draft",
        Skip("with the files of its page, by tests/docs/test_docs_write_a_behavior.py"),
    ),
    (r"thinklab guide .*--dry-run", Run("", "Before: 3 calls")),
    (
        r"thinklab guide .*--batch.*",
        Skip("needs a batch API; tests/teachers/test_batches.py kills this command and runs it again"),
    ),
    (r"thinklab guide .*anthropic.*", Run("", "3 of 3 answers asked about, 3 usable replies")),  # of a server on this machine
    (r"thinklab guide .*scripted.*", Run("", "opinion right: 3 of 3")),
    (
        r"python -m thinklab.students.make_world .*",
        Skip("an hour; tests/students/test_small_world.py makes a student of one step"),
    ),
    (r"thinklab study \S*small-world\S* --dry-run", Run("", "base-0/aas/seed-0")),
    (
        r"thinklab eval \S*small-world\S*",
        Skip("needs the runs of its study, hours; tests/evaluation/test_eval.py reads the file"),
    ),
    (r"thinklab study .*--(un)?pack .*", Skip("needs finished runs; tests/studies/test_study.py packs and unpacks such")),
    (r"thinklab study \S+ --dry-run", Run("", "self-check/aas/seed-0")),
    (r"thinklab study \S+/four-reflections-gsm8k.yaml", Skip("needs a model, questions and a GPU")),
    (r"thinklab study .*", Run("--dry-run", "self-check/aas/seed-0")),  # hours; test_study.py runs a small one
    (r"thinklab eval \S*tiny-grid\S* --dry-run", Run("", "runs  thinktuning/strategyqa", lane=1)),
    (r"thinklab eval \S*tiny-grid\S* --only 'sft/\*' --report-only", Run("", "Not run yet: self-verify/*", lane=1)),
    (r"thinklab eval \S*tiny-grid\S*", Run("--only '[sz][fe][tr]*/*'", "sft against zero-shot", lane=1)),  # zero-shot and sft
    (r"thinklab eval examples/paper/table.yaml --dry-run", Run("", "runs  thinktuning/mmlu_pro", lane=1)),
    (r"thinklab eval examples/paper/table.yaml", Run("", "from the Hugging Face Hub", (2,), lane=1)),  # offline
    (r"thinklab harness export .*", Run("", "lm-eval run --model hf")),
    (r"thinklab harness check runs/harness", Run("", "run the harness with --log_samples", (1,))),
    (r"thinklab( [a-z]+)*( --\w[\w-]*)*", Mention()),
]


@dataclass
class Command:
    """One command as a page has it."""

    text: str
    page: str
    result: int | None = None
    output: str = ""
    called: str = ""
    advised: list[str] = field(default_factory=list)

    @property
    def rule(self) -> Run | Skip | Mention | None:
        return next((rule for pattern, rule in RULES if re.fullmatch(pattern, self.text)), None)


def normal(line: str) -> str:
    """A command without comment, environment folder and placeholders."""
    line = re.sub(r"\s+#\s.*$", "", line.strip()).removeprefix("$ ")
    line = re.sub(r"^(?:\w+=\S+ )*\.venv/bin/|^(?:[A-Z_]+=\S+ )+", "", line).strip()
    return re.sub(r"\b[A-Z]+\b(?=\s|/|$)", lambda m: PLACEHOLDERS.get(m[0], m[0]), " ".join(line.split()))


def commands_of(page: Path) -> list[Command]:
    """The commands of shell and console blocks, of indented blocks, and of inline code, in order and once each."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    found: list[tuple[int, str]] = []
    rest = text
    for m in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        lines = m[2].splitlines()
        if m[1] in ("sh", "bash"):
            found += [(m.start(), normal(line)) for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if m[1] == "console":
            found += [(m.start(), normal(line)) for line in lines if line.startswith("$ ")]
        rest = rest.replace(m[0], "\n" * m[0].count("\n"), 1)
    found += [(text.index(m[0]), normal(m[1])) for m in re.finditer(rf"^ {{4}}({STARTS} .*)$", rest, re.MULTILINE)]
    inside = r"(?:[^`\n]|\n(?!\n))+"
    spans = re.finditer(rf"`((?:thinklab|make)(?:\s{inside})?|{STARTS}\s{inside})`", rest)
    found += [(text.index(m[0]), normal(m[1])) for m in spans]
    return [Command(line, page.name) for _, line in sorted(found, key=lambda pair: pair[0])]


def every_command() -> list[Command]:
    seen: dict[str, Command] = {}
    for page in PAGES:
        for command in commands_of(page):
            seen.setdefault(command.text, command)
    return list(seen.values())


WITH_FILES = ("write-a-behavior.md", "own-rewards.md")
FRAGMENTS = ("plain-trl-0",)
"""Blocks that use names of the reader's own script; tests/method/test_plain_trl.py checks this one."""


def python_blocks() -> list[tuple[str, str]]:
    """(name, code) of the pages' Python blocks; those of ``WITH_FILES`` run in tests of their own, with their files."""
    return [
        (f"{page.stem}-{k}", code)
        for page in PAGES
        if page.name not in WITH_FILES
        for k, code in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE))
        if f"{page.stem}-{k}" not in FRAGMENTS
    ]


COMMANDS, BLOCKS = every_command(), python_blocks()


# ---- the wheel in an empty folder ---------------------------------------------------------------------------------------


def clean() -> dict[str, str]:
    """This process's environment without what would lead to the checkout or to a service."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ANTHROPIC", "OPENAI"))}


class Runner:
    """tests/support/wheel_runner.py in the environment under test."""

    def __init__(self, python: Path, folder: Path, logs: Path, env: dict[str, str]):
        self.folder, self.logs, self.env = folder, logs, env
        self.process = subprocess.Popen(
            [str(python), str(ROOT / "tests" / "support" / "wheel_runner.py")],
            cwd=folder,
            text=True,
            env={**clean(), **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.ready = json.loads(self.process.stdout.readline())
        self.done: dict[str, int] = {}
        self.news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            told = json.loads(line)
            with self.news:
                self.done[told["id"]] = told["rc"]
                self.news.notify_all()

    def __call__(self, name: str, *, stdin: str = "", env: dict[str, str] | None = None, **job) -> tuple[int, str]:
        log = self.logs / f"{len(list(self.logs.iterdir()))}-{re.sub(r'[^a-z0-9]+', '-', name)[:60]}.txt"
        log.touch()
        name = log.name
        with self.news:
            self.process.stdin.write(
                json.dumps({"id": name, "cwd": str(self.folder), "env": env or {}, "log": str(log), "stdin": stdin, **job}) + "\n"
            )
            self.process.stdin.flush()
            assert self.news.wait_for(lambda: name in self.done, timeout=240), f"{name} does not end"
        return self.done[name], log.read_text("utf-8", "replace")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """(python, folder): a fresh environment with the wheel, and an empty folder."""
    base = tmp_path_factory.mktemp("wheel")
    python = install_wheel(base)
    folder = base / "empty"
    folder.mkdir()
    return python, folder


def what_the_reader_brings(folder: Path) -> None:
    """A model folder ``DIR``, questions, and answers to comment on."""
    from thinklab.students import TINY

    shutil.copytree(TINY, folder / "DIR")
    shutil.copy(ROOT / "examples" / "eval" / "tiny-questions" / "gsm8k.jsonl", folder / "train.jsonl")
    answers = [
        {"question": f"What is {a}+{b}?", "response": f"{a}+{b}={said}. So \\boxed{{{said}}}.", "gold": str(a + b)}
        for a, b, said in ((12, 7, 20), (20, 5, 25), (8, 9, 19))
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in answers))


@pytest.fixture(scope="module")
def played(installed, tmp_path_factory):
    """Every command that has a ``Run``, with its exit code and what it printed; then the Python blocks."""
    python, folder = installed
    assert not list(folder.iterdir())
    what_the_reader_brings(folder)
    home = tmp_path_factory.mktemp("home")
    env = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(home), "HOME": str(home), "COLUMNS": "200"}
    with Server(text=lambda body: GOOD if "I check:" in json.dumps(body) else REPLY) as server:
        runner = Runner(python, folder, tmp_path_factory.mktemp("logs"), env)
        assert str(folder.parent) in runner.ready["thinklab"], "it must be the wheel's"
        paid = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}

        def call(command: Command, more: str, stdin: str, name: str) -> None:
            words = shlex.split(command.text)
            if words[0] == "make":  # what the Makefile's recipe calls
                words = ["thinklab", *words[1:]]
            command.called = shlex.join(words + shlex.split(more))
            more_env = paid if "anthropic" in command.text else {}
            if isinstance(command.rule, Run) and command.rule.fresh:
                done = subprocess.run(
                    [python.parent / "thinklab", *words[1:], *shlex.split(more)],
                    cwd=folder,
                    text=True,
                    env={**clean(), **env, **more_env},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                )
                command.result, command.output = done.returncode, done.stdout + done.stderr
            else:
                command.result, command.output = runner(name, argv=words + shlex.split(more), stdin=stdin, env=more_env)
            for line in re.findall(r"thinklab [a-z]+ [^\n`]*", command.output):
                command.advised += [normal(part) for part in line.split("&&")]

        def lane(number: int) -> None:
            for command in COMMANDS:
                rule = command.rule
                if isinstance(rule, Run) and rule.lane == number:
                    call(command, rule.more, rule.stdin, command.text)

        other = threading.Thread(target=lane, args=(1,))
        other.start()
        lane(0)
        advised = [
            Command(text, f"printed by {c.text}")
            for c in COMMANDS
            for text in dict.fromkeys(c.advised)
            if c.text.startswith("thinklab behaviors new")
        ]
        for command in advised:
            call(command, "", "", command.text)
        other.join()
        results = {name: runner(name, code=code) for name, code in map(shrunk, BLOCKS)}
        runner.close()
    return {"folder": folder, "advised": advised, "blocks": results, "python": python}


def shrunk(block: tuple[str, str]) -> tuple[str, str]:
    """A Python block whose training takes seconds, in which a policy decides in place of the person at the pane."""
    name, code = block
    code = code.replace(
        'Lab("demo-self-check", out="runs/mine")',
        f'Lab("demo-self-check", out="runs/block-{name}", train={{'
        '"questions": 2, "samples": 4, "warmup_steps": 1}, probe={"questions": 4, "every": 0})',
    )
    code = code.replace("lab.review(batch)", 'lab.review(batch, auto="accept")').replace("lab.train(20)", "lab.train(1)")
    if name == "views-1":  # the second block of views.md goes on from a Lab whose batch has guidance
        code = (
            'from thinklab import Lab\nlab = Lab("demo-self-check", out="runs/block-views", train={"questions": 2, '
            '"samples": 4})\nlab.guide(lab.rollout())\n' + code
        )
    return name, code


# ---- tests --------------------------------------------------------------------------------------------------------------


def test_every_command_has_a_rule():
    left = [f"{c.page}: {c.text}" for c in COMMANDS if c.rule is None]
    assert not left, "say in RULES what these must do, or why they cannot run here:\n" + "\n".join(left)
    assert len(COMMANDS) > 40 and len([c for c in COMMANDS if isinstance(c.rule, Run)]) > 25


def test_every_rule_has_a_command():
    optional = r"thinklab train (--resume )?runs/", r"thinklab behaviors (lint|test) ends"
    texts = [c.text for c in COMMANDS]
    stale = [p for p, _ in RULES if not p.startswith(optional) and next((t for t in texts if re.fullmatch(p, t)), None) is None]
    assert not stale, f"no page has such a command any more: {stale}"


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if isinstance(c.rule, Run)], ids=lambda c: f"{c.page}: {c.text}"[:90])
def test_it_does_what_the_page_says(played, command):
    told = f"{command.called}\nexit code {command.result}\n{command.output}"
    assert command.result in command.rule.codes, told
    assert command.rule.says in command.output and "Traceback" not in command.output, told


@pytest.mark.slow
def test_commands_that_it_prints_work_as_well(played):
    assert [c.text for c in played["advised"]] == [
        "thinklab behaviors lint ends-with-thanks.yaml",
        "thinklab behaviors test ends-with-thanks.yaml",
    ]
    for command in played["advised"]:
        assert command.result == 0, command.output
    for command in COMMANDS:
        for text in command.advised:
            check_against_the_command_line(text, command.text)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in BLOCKS])
def test_python_blocks_run(played, name):
    code, output = played["blocks"][name]
    assert code == 0 and "Traceback" not in output, output


@pytest.mark.slow
def test_the_script_itself_and_what_needs_a_key(played):
    """``thinklab`` as the wheel installs it, in a process of its own; without a key it names the variable and asks nothing."""
    script = played["python"].parent / "thinklab"
    env = clean() | {"HOME": str(played["folder"])}
    done = subprocess.run([script, "behaviors", "list"], cwd=played["folder"], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "self-check" in done.stdout
    done = subprocess.run(
        [script, "guide", "answers.jsonl", "--behavior", "self-check", "--teacher", "anthropic"],
        env=env,
        cwd=played["folder"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1 and "set the environment variable ANTHROPIC_API_KEY" in done.stderr, done.stderr


def test_make_and_the_extras_are_there():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "\ndemo: $(STAMP)\n\t$(BIN)/thinklab demo\n" in makefile
    for command in COMMANDS:
        if found := re.fullmatch(r"pip install 'thinklab\[(\w+)\]'", command.text):
            assert found[1] in extras
        if found := re.fullmatch(r"make ([\w-]+)", command.text):
            assert f"\n{found[1]}:" in makefile
        if found := re.fullmatch(r"python ((?:benchmarks|tools|examples)/\w+\.py).*", command.text):
            assert (ROOT / found[1]).is_file()


def elsewhere() -> list[tuple[str, str]]:
    """(place, command) in messages and docstrings of the package, comments of the examples, and the notebooks."""
    found = []
    for file in sorted((ROOT / "thinklab").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts = [
                    *re.findall(r"`+(thinklab [a-z][^`]*)`+", node.value),
                    *re.findall(r"^ *#? {2,}(thinklab [a-z].*)$", node.value, re.MULTILINE),
                ]
                found += [(f"{file.name}:{node.lineno}", t) for t in texts]
    for file in sorted((ROOT / "examples").rglob("*.yaml")):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if m := re.match(r"#\s+(?:\w+=\S+ )*(thinklab [a-z].*)$", line):
                found.append((f"{file.name}:{number}", re.split(r"   +", m[1])[0]))
            found += [(f"{file.name}:{number}", t) for t in re.findall(r"`(thinklab [a-z][^`]*)`", line)]
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(file.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"]).replace("\n", " ")
            found += [(file.name, t) for t in re.findall(r"`(thinklab [a-z][^`]*)`", source)]
    for file in sorted((ROOT / "docs" / "measurements").glob("*.md")):
        found += [(file.name, t) for t in re.findall(r"`(?:nice [^`]*)?(thinklab [a-z][^`\n]*)`", file.read_text("utf-8"))]
    for c in COMMANDS:
        if isinstance(c.rule, Mention) or (isinstance(c.rule, Skip) and c.text.startswith("thinklab")):
            found.append((c.page, c.text))
    return [(place, part.strip()) for place, text in found for part in text.split("&&")]


def check_against_the_command_line(text: str, place: str) -> None:
    """The subcommand exists, each option is one of its own, and each shipped example that it names is there."""
    import typer

    from thinklab.cli.app import app
    from thinklab.config.shipped import find_config

    at = typer.main.get_command(app)
    words = text.split()
    for word in words[1:]:
        commands = getattr(at, "commands", None)
        if commands is None or word.startswith("--"):  # an option of ``thinklab`` itself
            break
        known = commands.get(re.sub(r"\W+$", "", word))
        assert known is not None, f"{place}: {text}: there is no command {word!r}"
        at = known
    options = {o for p in getattr(at, "params", ()) for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    for word in words:
        if word.startswith("-") and not re.fullmatch(r"-+", word):
            assert re.sub(r"[,.;:)]+$", "", word.partition("=")[0]) in options, f"{place}: {text}: there is no option {word}"
        if word.startswith("examples/"):
            kind = {"eval": "evaluation", "study": "study", "export": "evaluation"}.get(at.name, "experiment")
            assert find_config(word, kind).is_file(), f"{place}: {text}"


def test_commands_in_messages_comments_and_notebooks_exist():
    found = elsewhere()
    assert len(found) > 40
    for place, text in found:
        check_against_the_command_line(text, place)
