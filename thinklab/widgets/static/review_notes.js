// Tags, a note and the reason for a rejection; and the panel with agreement and export.
import { make } from "thinklab/element.js";

/** Tags and note of the current item. `save(tags, note)` is called when a field is left. */
export function notesPanel(parent, save) {
  const place = make(parent, "div", "tl-notes");
  const id = Math.random().toString(36).slice(2);
  const labeled = (name, tag, className) => {
    const label = make(place, "label", "tl-label", name), field = make(place, tag, className);
    label.htmlFor = field.id = `${className}-${id}`;
    return field;
  };
  const tags = labeled("Tags, with commas", "input", "tl-tags"), known = make(place, "datalist"), note = labeled("Note", "textarea", "tl-note");
  known.id = `tl-known-${id}`;
  tags.setAttribute("list", known.id);
  tags.autocomplete = "off";
  note.rows = 1;
  let shown = null;
  const list = text => [...new Set(text.split(",").map(t => t.trim().replace(/\s+/g, " ")).filter(Boolean))];
  const keep = () => {
    if (!shown) return;
    const now = list(tags.value), text = note.value.replace(/\r\n?/g, "\n").trim();
    if (now.join(",") !== shown.tags.join(",") || text !== shown.note) { shown = { ...shown, tags: now, note: text }; save(shown.id, now, text); }
  };
  for (const field of [tags, note]) field.addEventListener("change", keep);
  return {
    tags, note, keep,
    show(item, all) {
      const busy = shown?.id === item.id && (document.activeElement === tags || document.activeElement === note);
      if (shown?.id === item.id && busy) return;
      shown = { id: item.id, tags: item.tags, note: item.note };
      tags.value = item.tags.join(", ");
      note.value = item.note;
      known.replaceChildren(...[...new Set(all)].sort().map(t => { const o = make(null, "option"); o.value = t; return o; }));
    },
  };
}

/** Asks why; `chosen(reason)` or nothing. Digits choose. */
export function reasonBar(parent, reasons, chosen) {
  const place = make(parent, "div", "tl-reasons");
  place.hidden = true;
  make(place, "strong", "", "Reject, because it is");
  const take = why => { place.hidden = true; chosen(why); };
  reasons.forEach((why, k) => {
    const b = make(place, "button");
    b.type = "button";
    make(b, "span", "", why);
    make(b, "kbd", "", String(k + 1));
    b.addEventListener("click", () => take(why));
  });
  const own = make(place, "input", "tl-own-reason");
  own.placeholder = "another reason, then Enter";
  own.setAttribute("aria-label", "another reason");
  own.maxLength = 200;
  own.addEventListener("keydown", event => { if (event.key === "Enter" && own.value.trim()) { event.preventDefault(); take(own.value.trim()); own.value = ""; } });
  return {
    place, own,
    open() { place.hidden = false; own.value = ""; },
    close() { const was = !place.hidden; place.hidden = true; return was; },
    /** A key while the bar is open; true when it was one of ours. */
    key(key) { const why = !place.hidden && reasons[+key - 1]; if (why) take(why); return Boolean(why); },
  };
}

/** Agreement and export. `ask(kind, more)` sends a question to Python. */
export function decisionsPanel(parent, ask) {
  const place = make(parent, "div", "tl-decisions");
  place.hidden = true;
  const line = make(place, "div", "tl-row-of");
  make(line, "span", "", "Export the decisions as");
  for (const [kind, name] of [["csv", "CSV"], ["jsonl", "JSON lines"]]) {
    const b = make(line, "button", "", name);
    b.type = "button";
    b.addEventListener("click", () => ask("table", { as: kind }));
  }
  const agreement = make(place, "div", "tl-agreement");
  return {
    place,
    toggle() { place.hidden = !place.hidden; if (!place.hidden) { agreement.textContent = "…"; ask("agreement", {}); } },
    agreement(pairs) {
      agreement.replaceChildren();
      if (!pairs.length) { make(agreement, "p", "tl-soft", "Agreement: no two reviewers have decided on the same guidance yet. The filter “not by you” lets a second reviewer decide without seeing the first one's decisions."); return; }
      const table = make(agreement, "table", "tl-group-table"), head = make(make(table, "thead"), "tr"), body = make(table, "tbody");
      for (const name of ["agreement", "by both", "both accept", "both reject", "only first accepts", "only second accepts", "Cohen’s kappa"]) make(head, "th", "", name);
      for (const p of pairs) {
        const row = make(body, "tr");
        for (const v of [`${p.a}, ${p.b}`, p.n, p.both_take, p.both_leave, p.only_a, p.only_b, p.kappa === null ? "undefined" : p.kappa.toFixed(2).replace("-", "−")]) make(row, "td", "", String(v));
      }
    },
    download(name, text, type) {
      const link = make(null, "a"), url = URL.createObjectURL(new Blob([text], { type }));
      link.href = url;
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    },
  };
}
