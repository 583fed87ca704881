// Replaces the server: prewritten responses, each a separate script that is loaded on request.
globalThis.thinklabExport = {
  index: {}, kept: new Map(), waiting: new Map(),
  take(number, answer) { this.waiting.get(number)(answer); },
  load(number) {
    if (!this.kept.has(number)) this.kept.set(number, new Promise((done, failed) => {
      this.waiting.set(number, done);
      const script = document.createElement("script");
      script.src = `data/${number}.js`;
      script.onerror = () => failed(new Error("a file of this folder is missing"));
      document.head.append(script);
    }));
    return this.kept.get(number);
  },
  stored(name, params) {
    const text = JSON.stringify([name, Object.fromEntries(Object.entries(params).map(([k, v]) => [k, Array.isArray(v) ? (v.length === 1 ? v[0] : v) : String(v)]).sort(([a], [b]) => a < b ? -1 : 1))]);
    const number = this.index[text];
    if (number === undefined) throw new Error("this is not in the export; it was written with few runs or rollouts (thinklab view --export)");
    return this.load(number);
  },
  async get(name, params) {
    if (name === "rollouts") return this.rollouts(params);
    if (name === "rollout") return this.rollout(params);
    if (name === "answers") {
      const found = await this.stored("answers", { run: params.run }), needle = (params.text ?? "").toLowerCase();
      const rows = found.rows.filter(r => !needle || r.question.toLowerCase().includes(needle) || Object.values(r.answers).flat().some(a => a.text.toLowerCase().includes(needle)));
      return { columns: found.columns, rows: rows.slice(params.first, params.first + params.count), total: rows.length };
    }
    return this.stored(name, params);
  },
  async rollouts(p) {
    const found = await this.stored("rollouts", { run: p.run }), needle = (p.text ?? "").toLowerCase();
    const fits = r => (!needle || `${r.id}\n${r.question}\n${r.student}\n${r.guidance}`.toLowerCase().includes(needle)) && (!p.behavior || r.behavior === p.behavior)
      && (!p.status || p.status === r.status || (p.status === "guided" && r.status !== "unguided") || p.status === `rejected: ${r.reason}`)
      && (!p.verdict || { none: r.verdict === null, correct: r.verdict === true, incorrect: r.verdict === false, agrees: r.verdict !== null && r.right !== null && r.verdict === r.right, disagrees: r.verdict !== null && r.right !== null && r.verdict !== r.right }[p.verdict])
      && (!p.answer || r.right === (p.answer === "right")) && (!p.shows || r.shows === (p.shows === "yes")) && (!p.least || r.reward >= +p.least - 1e-9) && (!p.most || r.reward <= +p.most + 1e-9);
    const rows = found.rows.filter(fits), by = (p.sort ?? "newest").replace("-", ""), way = p.sort?.startsWith("-") ? -1 : 1;
    if (by === "oldest") rows.reverse(); else if (by !== "newest") rows.sort((a, b) => way * ((a[by] ?? way * Infinity) - (b[by] ?? way * Infinity)));
    return { ...found, rows: rows.slice(p.first, p.first + p.count), total: rows.length, complete: true, known: 1, size: 1 };
  },
  async rollout({ run, id }) {
    const found = await this.stored("rollouts", { run }), place = found.rows.findIndex(r => r.id === id);
    if (place < 0) throw new Error(`rollout ${id} is not in this export`);
    return (await this.stored("rollout", { run, chunk: Math.floor(place / 200) }))[id];
  },
};
