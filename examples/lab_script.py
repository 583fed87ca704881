"""The Lab without a notebook: look at what the teacher wrote, change it, train, measure.

    python examples/lab_script.py [FOLDER]

Stop it whenever you like and start it again: it resumes at the same point, decisions included.
"""

import sys

from thinklab import Lab

out = sys.argv[1] if len(sys.argv) > 1 else "runs/lab-script"

with Lab("demo-self-check", out=out, steps=20, decay="constant", overrides=["probe.questions=100", "probe.every=0"]) as lab:
    if lab.step == 0:
        print(lab.probe())  # before: it never checks itself

    while lab.step < 2:  # two batches by hand ...
        batch = lab.rollout()
        print(lab.guide(batch))
        for item in lab.queue.items:
            if item.decided:  # in an earlier sitting
                continue
            if not item.agrees:  # the teacher called a right answer wrong, or a wrong one right
                lab.queue.reject(item.id)
            elif item.truth:  # a right answer: the check may be shorter
                lab.queue.edit(item.id, "I check: right. " + item.text[item.text.rindex("So ") :])
        lab.review(batch, auto="accept_if_detected")
        print(lab.update(batch))

    if lab.step < 20:
        lab.train(auto="accept_if_detected")  # ... and the rest unattended
    print(lab.probe())
    print(lab.compare(["train.learning_rate=0.0003"]))  # plain GRPO at the rate that suits it best
