// Data: from the server, or, in an exported folder, from scripts next to the page (files cannot be fetched).
const stored = globalThis.thinklabExport;

export const exported = Boolean(stored);

export function query(params) {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) for (const v of Array.isArray(value) ? value : [value]) if (v !== "" && v !== null && v !== undefined) found.append(key, v);
  return found.toString();
}

async function answer(response) {
  let body = null;
  try { body = await response.json(); } catch { /* said below */ }
  if (!response.ok) throw new Error(body?.error ?? `the viewer responded with status ${response.status}; open the address from the terminal`);
  return body;
}

export async function get(name, params = {}) {
  if (exported) return stored.get(name, params);
  let response;
  try { response = await fetch(`/api/${name}?${query(params)}`, { credentials: "same-origin" }); }
  catch { throw new Error("the viewer does not respond: it has ended, or the connection was lost"); }
  return answer(response);
}

export async function post(name, body) {
  return answer(await fetch(`/api/${name}`, { method: "POST", credentials: "same-origin", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }));
}
