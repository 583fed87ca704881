"""The commented file that ``thinklab behaviors new`` writes (``new_file``), and the JSON ``schema`` of behavior files.

The new file passes lint and its own tests unchanged.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from thinklab.behavior.explain import name_hint
from thinklab.behavior.spec import BehaviorSpec
from thinklab.config.shipped import resource_dir
from thinklab.errors import BehaviorError

_FILE = """\
# yaml-language-server: $schema={schema}
# A behavior: what the teacher should add to a student's answer, and how to tell that the student does it by itself.
# In this example, the student ends with "In short:" and one sentence. Change it to what you want, then run
#   thinklab behaviors lint {name}.yaml && thinklab behaviors test {name}.yaml
name: "{name}"
title: Ends with a short summary
description: The response ends with the words "In short:" and one sentence.
version: 1                       # increase it when you change the behavior; its hash is kept with every rollout
placement: end                   # where it belongs: anywhere | end | before_answer

teacher:
  # The prompt of the teacher. The teacher must reply with the three blocks named here.
  # Texts are templates: {{{{ name }}}}, {{{{ title }}}} and {{{{ description }}}} are replaced.
  system: |
    You show how a student could go on after its answer. You are given the question and the student's response.
    Write as the student, in the first person. Reply with exactly three blocks and nothing else:
    <opinion>correct</opinion> or <opinion>incorrect</opinion>: whether the final answer is right.
    <reason>one sentence: what was right or wrong.</reason>
    <phrase>In short: and one sentence that says what was found.</phrase>
  # Examples of what you want. Mix right and wrong attempts, and take no question from a benchmark.
  few_shots:
    - question: A box holds 12 pens. How many pens are in 3 boxes?
      response: 3*12=36. So \\boxed{{36}}.
      verdict: correct
      reason: I multiplied the boxes by the pens in each.
      phrase: "In short: three boxes hold 36 pens."
    - question: A rope of 20 m loses 3 m and then 4 m. How long is it now?
      response: 20-3=17. So \\boxed{{17}}.
      verdict: incorrect
      reason: I forgot the second piece.
      phrase: "In short: I took off one piece, but two were cut."

# How the reply becomes part of the answer: these blocks, in this order, with these texts between them.
splice:
  fields: [phrase]               # reason, phrase or both
  joiner: " "                    # between the blocks
  separator: " "                 # between the student's text and the first block

# Guidance that breaks one of these is refused, and the answer stays as the student wrote it.
guidance:
  longest: 300                   # characters
  must_contain: ["In short: "]
  must_end_with: ["."]

# How to tell that a text shows the behavior. One of: phrase, regex, all, any, not, same_as, judge, python.
detector:
  all:
    - phrase: "In short:"
      count: 1                   # exactly once in the whole text
    - phrase: "In short:"
      where: last_sentence       # and there

# What it is worth, on top of a right answer. 0 means that a right answer alone is rewarded.
reward:
  bonus: 0.5
  count: 1                       # earned only when it occurs exactly this often

# Texts that show the behavior, and texts that do not although they look like it.
tests:
  texts:
    - {{text: 'So \\boxed{{36}}. In short: there are 36.', shows: true}}
    - {{text: "So \\\\boxed{{36}}.\\n\\nIn short: 36 pens.\\n", shows: true}}
    - {{text: 'So \\boxed{{2}}. In short: both are right', shows: true, because: the full stop may be missing}}
    - {{text: 'It is 5. In short: it is 5!', shows: true}}
    - {{text: 'Wait, no. So \\boxed{{17}}. In short: I forgot a piece.', shows: true}}
    - {{text: 'So \\boxed{{36}}.', shows: false}}
    - {{text: 'In short: there are 36. So \\boxed{{36}}.', shows: false, because: not at the end}}
    - {{text: 'In short: 36. So \\boxed{{36}}. In short: 36.', shows: false, because: twice}}
    - {{text: 'So \\boxed{{36}}. In short, there are 36.', shows: false, because: another form}}
    - {{text: 'The queue is short: 3 people. So \\boxed{{3}}.', shows: false}}
  # What the rendered conversation must and must not contain.
  prompts:
    - question: How many legs have 4 cats?
      response: 4*4=16. So \\boxed{{16}}.
      contains: ["Question:\\nHow many legs", "Response:\\n4*4=16.", "In short: three boxes"]
      lacks: ["{{{{"]
"""


def new_file(name: str, folder: Path) -> Path:
    """Write ``folder/NAME.yaml`` to start from.

    Raises:
        BehaviorError: the name is invalid, or the file exists already.
    """
    text = new_text(name, folder)
    path = folder / f"{name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BehaviorError(f"{path} exists already; choose another name") from None
    except OSError as err:
        raise BehaviorError(f"{path} cannot be written: {err.strerror}") from None
    return path


def new_text(name: str, folder: Path = Path()) -> str:
    """What ``new_file`` writes.

    Raises:
        BehaviorError: the name is invalid.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or len(name) > 60:
        raise BehaviorError(f"a behavior is named in lower case with hyphens, not {name!r}{name_hint(name)}")
    return _FILE.format(name=name, schema=_schema_for(folder))


def _schema_for(folder: Path) -> str:
    """The path of the schema for editors: in the file's folder, or where thinklab is installed."""
    return "schema.json" if (folder / "schema.json").is_file() else (resource_dir("behaviors") / "schema.json").as_uri()


def schema() -> str:
    """``behaviors/schema.json``: the JSON schema of a behavior file, for completion in editors.

    A file that ``extends`` another may omit whatever the other defines, so the schema requires only ``name``; the loader
    checks the merged result.
    """
    made = BehaviorSpec.model_json_schema(by_alias=True)
    required = made.pop("required")
    made["anyOf"] = [{"required": required}, {"required": ["name", "extends"]}]
    made["$defs"]["TeacherSpec"].pop("required")
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "thinklab behavior"
    return json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":  # python -m thinklab.behavior.scaffold > behaviors/schema.json
    print(schema(), end="")
