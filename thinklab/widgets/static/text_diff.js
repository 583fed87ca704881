// Word-by-word diff of a text.

/** Words, spaces and signs of `before` and `after` as [kind, text], kind "=", "-" or "+". */
export function diff(before, after) {
  const cut = text => text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];
  const a = cut(before), b = cut(after), out = [];
  const add = (kind, text) => {
    if (!text) return;
    if (out.length && out.at(-1)[0] === kind) out.at(-1)[1] += text; else out.push([kind, text]);
  };
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  add("=", a.slice(0, start).join(""));
  const x = a.slice(start, a.length - end), y = b.slice(start, b.length - end), width = y.length + 1;
  if (x.length * y.length > 250000) { // a long text replaced as a whole: skip searching for common words
    add("-", x.join("")); add("+", y.join(""));
  } else {
    const table = new Uint16Array((x.length + 1) * width); // longest common subsequence of x[i:], y[j:]
    for (let i = x.length - 1; i >= 0; i--) for (let j = y.length - 1; j >= 0; j--)
      table[i * width + j] = x[i] === y[j] ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    let i = 0, j = 0;
    while (i < x.length || j < y.length) {
      if (i < x.length && j < y.length && x[i] === y[j]) { add("=", x[i]); i++; j++; }
      else if (i < x.length && (j === y.length || table[(i + 1) * width + j] >= table[i * width + j + 1])) add("-", x[i++]);
      else add("+", y[j++]);
    }
  }
  add("=", a.slice(a.length - end).join(""));
  return out;
}
