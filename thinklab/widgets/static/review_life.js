// Tracks whether the pane has the keyboard focus and a connection to the kernel.

const ENDS = ["restarting", "autorestarting", "dead", "terminating", "unknown"];

/** Is the kernel behind this widget still the one that made it? `changed(alive)` hears of it; returns how to stop. JupyterLab's widget
 *  manager does not tell, so that its kernel is watched; the class is what other frontends set, `alive` is the viewer's. */
export function watchKernel(model, el, changed) {
  const gone = () => changed(false), status = (_, now) => { if (ENDS.includes(now)) gone(); };
  const check = () => changed(model.get("alive") !== false && !el.closest(".jupyter-widgets-disconnected"));
  model.on("comm_live_update", gone);
  model.on("change:alive", check);
  const kernel = model.widget_manager?.kernel;
  kernel?.statusChanged?.connect?.(status);
  kernel?.disposed?.connect?.(gone);
  const seen = new MutationObserver(check);
  for (let node = el, k = 0; node && k < 3; k++, node = node.parentElement) seen.observe(node, { attributes: true, attributeFilter: ["class"] });
  return () => {
    model.off("comm_live_update", gone);
    model.off("change:alive", check);
    kernel?.statusChanged?.disconnect?.(status);
    kernel?.disposed?.disconnect?.(gone);
    seen.disconnect();
  };
}

/** Is somebody typing elsewhere? An empty editor, such as the new cell that Shift Enter makes, does not count. */
function busyElsewhere(root) {
  const active = document.activeElement;
  if (!active || active === document.body || root.contains(active) || root.closest(".jp-Cell")?.contains(active)) return false;
  if (active.matches("textarea, input:not([type=checkbox], [type=radio], [type=button]), select")) return active.value !== "" || active.matches("select");
  return active.isContentEditable && active.textContent.trim() !== "";
}

/** Give `root` the focus as soon as it is in the page; `done(taken)`. */
export function takeFocus(root, done) {
  let tries = 0;
  const step = () => {
    if (!root.isConnected || !root.getClientRects().length) { if (++tries < 300) requestAnimationFrame(step); return; }
    const free = !busyElsewhere(root);
    if (free) { root.focus({ preventScroll: true }); root.scrollIntoView({ block: "nearest" }); }
    done(free);
  };
  requestAnimationFrame(step);
}
