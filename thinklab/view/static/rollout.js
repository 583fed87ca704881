// One rollout token by token, the teacher's reply, and the other answers of its group.
import { chip, el, number } from "thinklab/dom.js";
import { get } from "thinklab/api.js";
import { sign } from "thinklab/rollouts.js";
import { changes } from "thinklab/guidance.js";

const COLORINGS = {
  origin: "The teacher's tokens are tinted, the student's are plain.",
  probability: "The stronger the tint, the less likely the token was under the student when it was trained on.",
  advantage: "Green: the answer did better than its group and is reinforced; red: worse, and suppressed.",
  weight: "The stronger the tint, the larger the weight of the teacher's token. Pale: hardly any gradient.",
  masked: "Struck out: a masked teacher token (advantage below 0, probability below the floor), without any gradient.",
};

export function tokenView(tokens) {
  const name = `tl-by-${Math.random().toString(36).slice(2)}`;
  return el("div", { class: "tl-tokens" },
    el("div", { class: "tl-switch", role: "radiogroup", "aria-label": "coloring" }, Object.keys(COLORINGS).map((key, k) => el("label", {}, el("input", { type: "radio", name, value: key, defaultChecked: k === 0 }), key))),
    Object.entries(COLORINGS).map(([key, text]) => el("p", { class: `tl-soft tl-${key}` }, text)),
    el("p", { class: "tl-run" }, tokens.map(t => el("span", { class: t.classes, title: t.tip, style: t.style }, t.text))));
}

function spliced(r) { // without a trace: the text, with the teacher's part marked
  const own = r.student_text, rest = r.text.startsWith(own) ? r.text.slice(own.length) : "";
  return el("p", { class: "tl-text tl-quote" }, own, rest ? el("span", { class: "tl-teacher-text" }, rest) : null);
}

const sum = rewards => Object.values(rewards ?? {}).reduce((a, b) => a + b, 0);

export async function rolloutTab(body, { id, at, detail }) {
  const { rollout: r, group, tokens, lengths } = await get("rollout", { run: id, id: detail }), g = r.guidance, place = group.findIndex(x => x.id === r.id);
  const link = (x, text) => el("a", { href: `${at}/rollout/${encodeURIComponent(x.id)}` }, text);
  const facts = [["Step", `${r.step}, generation ${r.generation}`], ["Student's answer", sign(r.checks?.student_correct ?? (g ? null : r.checks?.correct), "right", "wrong")], ["With the guidance", g && g.status !== "rejected" ? sign(r.checks?.correct, "right", "wrong") : null],
    ["Detector", sign(r.checks?.behavior, `shows ${r.behavior}`, `does not show ${r.behavior}`)], ["Reward", `${number(sum(r.rewards))} = ${Object.entries(r.rewards ?? {}).map(([k, v]) => `${k} ${number(v)}`).join(" + ")}`],
    ["Advantage", r.advantage === null || r.advantage === undefined ? null : r.advantage.toFixed(3)], ["Tokens", `${lengths.student} of the student${lengths.teacher ? `, ${lengths.teacher} of the teacher` : ""}`], ["Ended with EOS", r.finished ? "yes" : "no"]];
  body.append(
    el("div", { class: "tl-title" }, el("h2", {}, `Rollout ${r.id}`), g ? chip(g.status) : chip("unguided"), el("span", { class: "tl-grow" }), place > 0 ? link(group[place - 1], "← previous of the group") : null, place < group.length - 1 ? link(group[place + 1], "next of the group →") : null),
    el("div", { class: "tl-two" },
      el("div", {}, el("span", { class: "tl-label" }, "Question"), el("p", { class: "tl-text tl-question" }, r.example.question), el("p", { class: "tl-soft" }, `reference answer: ${r.example.gold}`),
        el("span", { class: "tl-label" }, tokens ? "The answer, token by token" : "The answer"), tokens ? tokenView(tokens) : spliced(r),
        tokens ? null : el("p", { class: "tl-soft" }, g ? "Its tokens were not traced: only a few guided rollouts of each generation are." : "Only guided rollouts are traced token by token."),
        g ? el("section", { class: "tl-said" }, el("h3", {}, "The teacher's reply"), teacher(g)) : null),
      el("aside", { class: "tl-panel" }, facts.filter(([, v]) => v !== null && v !== undefined).map(([k, v]) => el("div", {}, el("span", { class: "tl-label" }, k), el("div", {}, v))))),
    el("h3", {}, `Its group: ${group.length} answers to this question`),
    el("p", { class: "tl-soft" }, "The advantage of each answer is its reward relative to the mean of this group."),
    el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-group" }, el("thead", {}, el("tr", {}, ["Rollout", "Answer", "", "Reward", "Advantage"].map(h => el("th", {}, h)))),
      el("tbody", {}, group.map(x => el("tr", { class: x.id === r.id ? "tl-this" : "" }, el("td", {}, link(x, x.id)), el("td", { class: "tl-text" }, spliced(x)), el("td", {}, x.guidance ? chip(x.guidance.status) : null, " ", sign(x.checks?.correct, "right", "wrong")),
        el("td", { class: "tl-num" }, number(sum(x.rewards))), el("td", {}, bar(x.advantage))))))));
}

function bar(v) {
  if (v === null || v === undefined) return null;
  const width = `${Math.min(50, 50 * Math.abs(v) / 3)}%`;
  return el("span", { class: "tl-advantage" }, el("span", { class: "tl-bar-two", "aria-hidden": "true" }, el("i", { class: v < 0 ? "neg" : "pos", style: v < 0 ? { right: "50%", width } : { left: "50%", width } })), v.toFixed(2));
}

function teacher(g) {
  const edited = g.edited !== null && g.edited !== undefined;
  return [el("p", { class: "tl-soft" }, [g.model, g.verdict === null || g.verdict === undefined ? null : `calls the student's answer ${g.verdict ? "correct" : "incorrect"}`, g.cache_hit ? "from the cache" : g.latency_s ? `${number(g.latency_s, 2)} s` : null].filter(Boolean).join(", ")),
    g.status === "rejected" ? el("p", { class: "tl-bad" }, `Rejected (${g.reason}): ${g.detail}`) : null,
    edited ? [el("span", { class: "tl-label" }, "As edited by a person"), changes(g.text ?? "", g.edited)] : null,
    el("details", { open: g.status === "rejected" }, el("summary", {}, "The raw reply"), el("p", { class: "tl-text tl-quote" }, g.raw || "(empty)"))];
}
