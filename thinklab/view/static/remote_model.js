// The review pane communicates with a notebook's kernel through a model: get, set, on, off, send. This is the same model over
// HTTP, so that both places share one component. Changes by other reviewers arrive with `merge`.

/** `deliver(message)` sends one message and gives its answers. */
export function remoteModel(traits, deliver) {
  const state = { alive: true, ...traits }, listeners = new Map(), flying = new Map();
  const known = new Map(state.items.map(i => [i.id, i])); // the server's last state, restored when a message cannot be sent
  const learn = rows => rows?.forEach(row => known.set(row.id, row));
  const emit = (name, value) => (listeners.get(name) ?? []).forEach(f => f(value));
  let line = Promise.resolve();
  const model = {
    get: key => state[key],
    set: (key, value) => { state[key] = value; emit(`change:${key}`); },
    save_changes: () => {},
    on: (name, f) => listeners.set(name, [...(listeners.get(name) ?? []), f]),
    off: (name, f) => listeners.set(name, (listeners.get(name) ?? []).filter(g => g !== f)),
    send(message) {
      const ids = message.ids ?? [message.id];
      const reads = ["preview", "view", "table", "agreement"].includes(message.kind);
      if (message.kind === "shown") return; // "seen" is a property of this browser
      if (!reads) flying.set(message.n, ids);
      const go = async () => {
        try { for (const answer of await deliver(structuredClone(message))) { learn(answer.items); emit("msg:custom", answer); } }
        catch (error) { emit("msg:custom", { kind: "done", n: message.n, error: error.message, items: ids.map(id => known.get(id)).filter(Boolean), recent: state.recent ?? [] }); }
        finally { flying.delete(message.n); }
      };
      if (reads || message.kind === "ask") go(); else line = line.then(go); // decisions arrive in order
    },
    /** Rows that others have changed; those with an own decision under way keep it. */
    merge(rows) {
      learn(rows);
      const busy = new Set([...flying.values()].flat()), fresh = new Map(rows.filter(r => !busy.has(r.id)).map(r => [r.id, r]));
      if (fresh.size) model.set("items", state.items.map(i => fresh.get(i.id) ?? i));
    },
  };
  return model;
}
