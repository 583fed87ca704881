// Figures of plotly, loaded at the first use, in the colors of the theme.
let loading = null;

export function plotly() {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = globalThis.thinklabExport ? "assets/plotly.js" : "/static/plotly.js";
    script.onload = () => done(globalThis.Plotly);
    script.onerror = () => failed(new Error("plotly.js could not be loaded"));
    document.head.append(script);
  });
  return loading;
}

// The colors of lines and their bands, lighter on a dark background: reports/plots.py dark_colors().
const DARK = { "#0f766e": "#2dd4bf", "#b45309": "#f59e0b", "#6d28d9": "#c4b5fd", "#be123c": "#fb7185", "#1d4ed8": "#93c5fd", "#4d7c0f": "#a3e635",
  "rgba(15,118,110,0.16)": "rgba(45,212,191,0.16)", "rgba(180,83,9,0.16)": "rgba(245,158,11,0.16)", "rgba(109,40,217,0.16)": "rgba(196,181,253,0.16)",
  "rgba(190,18,60,0.16)": "rgba(251,113,133,0.16)", "rgba(29,78,216,0.16)": "rgba(147,197,253,0.16)", "rgba(77,124,15,0.16)": "rgba(163,230,53,0.16)" };
const repaint = value => typeof value === "string" ? DARK[value] ?? value : Array.isArray(value) ? value : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, ["color", "fillcolor", "line", "marker", "font"].includes(k) ? repaint(v) : v])) : value;

function dressed(figure, place) {
  const css = getComputedStyle(place), ink = css.color, line = css.borderTopColor, isDark = css.colorScheme === "dark";
  const layout = structuredClone(figure.layout);
  layout.font = { ...layout.font, color: ink };
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.hoverlabel = { bgcolor: css.outlineColor, bordercolor: line, font: { color: ink } };
  for (const axis of ["xaxis", "yaxis"]) Object.assign(layout[axis] ??= {}, { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true });
  return [isDark ? figure.data.map(repaint) : figure.data, layout];
}

/** Draw `figures` into `place`, again when they have changed; the elements stay. */
export async function draw(place, figures) {
  const Plotly = await plotly();
  while (place.children.length > figures.length) { Plotly.purge(place.lastChild); place.lastChild.remove(); }
  for (const [k, figure] of figures.entries()) {
    const node = place.children[k] ?? place.appendChild(Object.assign(document.createElement("div"), { className: "tl-figure" }));
    const [data, layout] = dressed(figure, place);
    await Plotly.react(node, data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
  place.dataset.drawn = String(figures.length);
}
