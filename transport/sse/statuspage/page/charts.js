'use strict';

// The charts of the last two minutes. They draw the points of page.js.

const TOP = 8, BOTTOM = 18, LEFT = 38; // room around a plot for its labels

function shape(name, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// nice is the smallest of 1, 2, 4 and 10 times a power of ten that is not below n.
function nice(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 4, 10].find((f) => f * power >= n * 0.999) * power;
}

// frame empties a chart and draws its grid. It returns where a value belongs.
function frame(svg, top, label) {
  const width = svg.clientWidth, height = svg.clientHeight;
  const now = points.length ? points[points.length - 1].t : 0;
  const x = (t) => width - (now - t) / SPAN_MS * (width - LEFT);
  const y = (v) => TOP + (1 - v / top) * (height - TOP - BOTTOM);
  svg.replaceChildren();
  for (const part of [0, 0.5, 1]) {
    const at = Math.round(y(part * top));
    svg.append(shape('line', { class: 'grid', x1: LEFT, x2: width, y1: at, y2: at }));
    svg.append(shape('text', { x: LEFT - 8, y: at + 4, 'text-anchor': 'end' }, label(part * top)));
  }
  svg.append(shape('text', { x: LEFT, y: height - 2 }, '2 min ago'), shape('text', { x: width, y: height - 2, 'text-anchor': 'end' }, 'now'));
  return { x, y, width, height };
}

// chosen is the point under the pointer, or the newest.
function chosen(id, f) {
  if (!hover || hover.id !== id) return points[points.length - 1];
  return points.reduce((best, p) => Math.abs(f.x(p.t) - hover.x) < Math.abs(f.x(best.t) - hover.x) ? p : best);
}

function say(id, f, text) {
  const p = chosen(id, f), svg = $(id).querySelector('svg');
  const back = Math.round((last.t - p.t) / 1000);
  const isHovered = hover && hover.id === id;
  if (isHovered) svg.append(shape('line', { class: 'rule', x1: f.x(p.t), x2: f.x(p.t), y1: TOP, y2: f.height - BOTTOM }));
  $(id).querySelector('output').textContent = text(p) + (isHovered && back > 0 ? ` · ${back} s ago` : '');
}

function drawBars(id) {
  const svg = $(id).querySelector('svg');
  const top = nice(Math.max(10, ...points.map((p) => p.live + p.replayed)));
  const f = frame(svg, top, (v) => short.format(v));
  const room = 1000 / SPAN_MS * (f.width - LEFT);
  const thick = Math.max(1.5, room - 1.5), zero = f.y(0);
  let live = '', replayed = '';
  for (const p of points) {
    const left = (f.x(p.t) - thick).toFixed(1);
    if (left < LEFT) continue;
    const base = f.y(p.live), high = f.y(p.live + p.replayed);
    if (p.live > 0) live += `M${left} ${zero}V${base}h${thick}V${zero}z`;
    if (p.replayed > 0) replayed += `M${left} ${base}V${high}h${thick}V${base}z`;
  }
  svg.append(shape('path', { class: 'bars live', d: live }), shape('path', { class: 'bars replay', d: replayed }));
  say(id, f, (p) => rate(p.live + p.replayed) + ' / s');
}

// drawLine breaks where nobody polled, and where nothing was known.
function drawLine(id, field, least, label, text) {
  const svg = $(id).querySelector('svg');
  const known = points.filter((p) => p[field] !== undefined);
  const top = nice(Math.max(least, ...known.map((p) => p[field])));
  const f = frame(svg, top, label);
  const parts = [];
  let before = -Infinity;
  for (const p of known) {
    const left = f.x(p.t);
    if (left < LEFT) continue;
    if (p.t - before > 4 * INTERVAL_MS) parts.push([]);
    parts[parts.length - 1].push(`${left.toFixed(1)} ${f.y(p[field]).toFixed(1)}`);
    before = p.t;
  }
  for (const part of parts) {
    const from = part[0].split(' ')[0], to = part[part.length - 1].split(' ')[0];
    svg.append(shape('path', { class: 'area', d: `M${from} ${f.y(0)}L${part.join('L')}L${to} ${f.y(0)}z` }));
    svg.append(shape('path', { class: 'line', d: 'M' + part.join('L') }));
  }
  say(id, f, (p) => p[field] === undefined ? 'unknown' : text(p));
  const p = chosen(id, f);
  if (p[field] !== undefined) svg.append(shape('circle', { class: 'dot', cx: f.x(p.t), cy: f.y(p[field]), r: 4 }));
}

function drawCharts() {
  if (points.length === 0) return;
  drawBars('ratechart');
  drawLine('lagchart', 'events', 10, (v) => short.format(v), (p) => count(p.events));
  drawLine('secondschart', 'seconds', 1, (v) => short.format(v), (p) => p.events ? since(p) : '0 s');
}
