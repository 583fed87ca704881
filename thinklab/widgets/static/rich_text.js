// Markdown and formulas parsed by Python (thinklab/widgets/rich_text.py): a tree of texts and [tag, attributes, children].
// Elements are made one by one, with allowed names only; nothing is ever parsed as HTML.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const HTML_TAGS = new Set("p ul ol li blockquote pre code strong em hr br table thead tbody tr th td h5".split(" "));
const MATH_TAGS = new Set(("math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle "
  + "mpadded mphantom mmultiscripts mprescripts none").split(" "));
const ATTRIBUTES = new Set(("start title display mathvariant stretchy fence form separator accent accentunder columnalign rowspacing columnspacing "
  + "linethickness displaystyle scriptlevel width height depth lspace rspace minsize maxsize movablelimits largeop").split(" "));
const CLASSES = new Set(["tl-boxed", "tl-struck"]);

function built(node) {
  if (typeof node === "string") return document.createTextNode(node);
  const [tag, attributes, children] = node;
  const made = MATH_TAGS.has(tag) ? document.createElementNS(MATHML, tag) : document.createElement(HTML_TAGS.has(tag) ? tag : "span");
  for (const [name, value] of Object.entries(attributes)) if (ATTRIBUTES.has(name) || (name === "class" && CLASSES.has(value))) made.setAttribute(name, value);
  made.append(...children.map(built));
  return made;
}

/** Show `text` in `place`: as its tree where there is one and `rich` is wanted, else as it is. */
export function fill(place, text, nodes, rich = true) {
  place.classList.toggle("tl-rich", Boolean(nodes && rich));
  if (nodes && rich) place.replaceChildren(...nodes.map(built)); else place.textContent = text;
}
