'use strict';

// The page polls ?data once a second and draws it. Whatever comes from clients
// and errors is only ever put into textContent.

const INTERVAL_MS = 1000;
const TIMEOUT_MS = 5000;
const SPAN_MS = 120_000; // of the charts
const LATE_S = 1; // a stream that is further behind is marked
const TOP = 8, BOTTOM = 18, LEFT = 38; // room around a plot for its labels

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

let last = null;   // the newest answer
let points = [];   // { t, live, replayed, events, seconds, atLeast }, the newest last
let paused = false;
let timer = 0;
let hover = null;  // { id, x } of the pointer over a chart

// ── polling ─────────────────────────────────────────────────────────────

async function poll() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  const begun = performance.now();
  try {
    const answer = await fetch('?data', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.status === 401 || answer.status === 403) throw new Error('signed out');
    if (!answer.ok) throw new Error('status ' + answer.status);
    take(await answer.json());
  } catch (err) {
    setState('closed', err.message === 'signed out' || err.message.startsWith('status ') ? err.message : 'no answer');
  }
  clearTimeout(timer);
  timer = setTimeout(poll, Math.max(100, INTERVAL_MS - (performance.now() - begun)));
}

function setState(state, text) {
  if (paused && state !== 'paused') return;
  document.body.dataset.state = state;
  if ($('state').textContent !== text) $('state').textContent = text;
}

// take adds an answer. Counts are differences to the one before, unless the
// server was started anew.
function take(data) {
  if (last && last.time === data.time) return; // shared with another browser
  data.t = Date.parse(data.time);
  const same = last && last.started === data.started;
  if (!same) points = [];
  const seconds = same ? (data.t - last.t) / 1000 : 0;
  data.rate = { live: 0, replayed: 0, bytes: 0, log: 0 };
  if (seconds > 0) {
    const per = (now, before) => Math.max(0, now - before) / seconds;
    data.rate.replayed = per(data.sent.replayed, last.sent.replayed);
    data.rate.live = per(data.sent.events - data.sent.replayed, last.sent.events - last.sent.replayed);
    data.rate.bytes = per(data.sent.bytes, last.sent.bytes);
    if (data.log === last.log) data.rate.log = Math.max(0, Number(BigInt(data.tail.end) - BigInt(last.tail.end))) / seconds;
  }
  const slowest = data.lag.slowest;
  points.push({ t: data.t, live: data.rate.live, replayed: data.rate.replayed, events: slowest.events, seconds: slowest.seconds, atLeast: slowest.atLeast });
  while (points.length > 0 && points[0].t < data.t - SPAN_MS - 2000) points.shift();
  last = data;
  setState(data.log ? 'live' : 'waiting', data.log ? 'live' : 'waiting for the log');
  draw();
}

// ── figures and lists ───────────────────────────────────────────────────

function draw() {
  drawFacts(last);
  drawCharts();
  drawStreams(last);
  drawTail(last.tail);
  drawReasons(last);
  drawErrors(last);
}

function put(id, text, className) {
  $(id).textContent = text;
  if (className !== undefined) $(id).className = className;
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
const count = (n) => n < 100_000 ? whole.format(n) : short.format(n);
const rate = (n) => n > 0 && n < 10 ? n.toFixed(1) : count(Math.round(n));

function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i === 0 || n >= 100 ? whole.format(n) : n.toFixed(1)) + ' ' + units[i];
}

function span(seconds) {
  if (seconds < 0.0995) return Math.round(seconds * 1000) + ' ms';
  if (seconds < 10) return seconds.toFixed(1) + ' s';
  if (seconds < 60) return Math.floor(seconds) + ' s';
  if (seconds < 3600) return Math.floor(seconds / 60) + ' m ' + Math.floor(seconds % 60) + ' s';
  if (seconds < 86400) return Math.floor(seconds / 3600) + ' h ' + Math.floor(seconds % 3600 / 60) + ' m';
  return Math.floor(seconds / 86400) + ' d ' + Math.floor(seconds % 86400 / 3600) + ' h';
}

const since = (w) => (w.atLeast ? '≥ ' : '') + span(w.seconds);

function drawFacts(d) {
  put('open', count(d.streams.open));
  put('opennote', count(d.streams.live) + ' live');
  put('rate', rate(d.rate.live + d.rate.replayed));
  put('ratenote', bytes(d.rate.bytes) + '/s');
  const slow = d.lag.slowest;
  put('slowest', count(slow.events), slow.events > 0 ? 'replay' : '');
  put('slowestnote', slow.events > 0 ? since(slow) : 'behind');
  const reads = d.tail.hits + d.tail.misses;
  put('hitrate', reads === 0 ? '–' : (100 * d.tail.hits / reads).toFixed(reads === d.tail.hits ? 0 : 1) + ' %');
  put('hitnote', 'of ' + count(reads));
  const resets = sum(d.resets);
  put('resets', count(resets), resets > 0 ? 'bad' : '');
  put('resetnote', 'in ' + count(d.streams.opened) + ' streams');
  put('failures', count(d.errors.count), d.errors.count > 0 ? 'bad' : '');
  put('failurenote', d.errors.count > 0 ? 'last ' + ago(d.errors.recent[0].time) : '');
}

const ago = (time) => span(Math.max(1, Math.round((last.t - Date.parse(time)) / 1000))).replace('.0', '') + ' ago';

function drawStreams(d) {
  const s = d.streams;
  const shown = d.list.length;
  put('listnote', s.open === 0 ? '' : shown < s.open
    ? `${count(shown)} of ${count(s.open)}, furthest behind first · ${count(d.lag.behind)} behind, median ${count(d.lag.median)}`
    : `${count(d.lag.behind)} behind · furthest first`);
  $('split').replaceChildren(...[['live', s.live], ['replay', s.replaying], ['', s.starting]].filter(([, n]) => n > 0).map(([name, n]) => {
    const part = element('i', name);
    part.style.flexGrow = n;
    return part;
  }));
  $('list').replaceChildren(...d.list.map(row));
  $('empty').hidden = s.open > 0;
  document.querySelector('#streams thead').hidden = s.open === 0;
}

function row(one) {
  const tr = element('tr');
  const kind = { live: 'live', replaying: 'replay' }[one.state] || '';
  const state = element('td', 'state');
  state.append(element('span', 'status ' + kind, one.state));
  const behind = element('td', 'num behind' + (one.lag.events === 0 ? ' none' : one.lag.seconds >= LATE_S ? ' late' : ''));
  if (one.lag.events === 0) behind.append(one.state === 'starting' ? '–' : '0');
  else behind.append(count(one.lag.events) + ' ', element('small', '', since(one.lag)));
  const position = element('td', 'num position', one.state === 'starting' ? '–' : one.position);
  tr.append(state, filter(one), position, behind, element('td', 'num sent', count(one.events)), element('td', 'num age', span(Math.floor(one.age)).replace('.0', '').replace('ms', 's')));
  return tr;
}

function filter(one) {
  const td = element('td', 'what');
  const box = element('div', 'filter');
  for (const [name, values] of [['topic', one.topics], ['type', one.types], ['key', one.keys]]) {
    for (const value of values || []) {
      const chip = element('span', 'chip');
      chip.append(element('span', '', name), value);
      chip.title = name + ' ' + value;
      chip.style.setProperty('--h', hue(name + value));
      box.append(chip);
    }
  }
  if (one.more) box.append(element('span', 'all', '+' + whole.format(one.more)));
  if (!box.firstChild) box.append(element('span', 'all', 'everything'));
  if (one.remote) box.append(element('span', 'remote', one.remote));
  td.append(box);
  return td;
}

// hue gives a text a colour of its own.
function hue(text) {
  let h = 0;
  for (const c of text) h = (h * 31 + c.codePointAt(0)) % 4093;
  return h * 137 % 360;
}

function bar(node, part, all) { node.style.width = all > 0 ? Math.min(100, 100 * part / all) + '%' : '0'; }

function drawTail(t) {
  put('range', t.events > 0 ? `${t.base} – ${t.end}` : `at ${t.end}`);
  $('range').title = 'all events above the first seq, up to the second, are in memory';
  put('tailevents', `${count(t.events)} of ${count(t.maxEvents)}`);
  put('tailbytes', `${bytes(t.bytes)} of ${bytes(t.maxBytes)}`);
  bar($('taileventsbar'), t.events, t.maxEvents);
  bar($('tailbytesbar'), t.bytes, t.maxBytes);
  const reads = t.hits + t.misses + t.errors;
  put('reads', count(reads));
  put('hits', count(t.hits));
  put('misses', count(t.misses));
  put('readerrors', count(t.errors));
  bar($('hitsbar'), t.hits, reads);
  bar($('missesbar'), t.misses, reads);
  bar($('errorsbar'), t.errors, reads);
}

function drawReasons(d) {
  put('endnote', `${count(sum(d.streams.ended))} of ${count(d.streams.opened)} streams ended`);
  const rows = [];
  for (const [title, counts, kind] of [['Resets', d.resets, 'reset'], ['Turned away', d.streams.refused, 'replay'], ['Ended', d.streams.ended, '']]) {
    const all = Object.entries(counts).sort((a, b) => b[1] - a[1]);
    if (all.length > 0) rows.push(element('li', 'title', title));
    for (const [reason, n] of all) {
      const li = element('li'), meter = element('div', 'meter'), part = element('i', kind);
      bar(part, n, sum(counts));
      meter.append(part);
      li.append(element('span', '', reason), meter, element('b', '', count(n)));
      rows.push(li);
    }
  }
  if (rows.length === 0) rows.push(element('li', 'none', 'None so far.'));
  $('reasons').replaceChildren(...rows);
}

function drawErrors(d) {
  put('errornote', d.errors.count > 0 ? count(d.errors.count) + ' in all' : '');
  const rows = d.errors.recent.map((e) => {
    const li = element('li'), when = element('p');
    when.append(element('time', '', ago(e.time)), element('span', '', e.count > 1 ? '× ' + count(e.count) : ''));
    li.append(when, element('p', '', e.text));
    return li;
  });
  if (rows.length === 0) rows.push(element('li', 'none', 'None since the server was started.'));
  const at = $('errors').scrollTop;
  $('errors').replaceChildren(...rows);
  $('errors').scrollTop = at;
}

// ── charts ──────────────────────────────────────────────────────────────

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

// drawLine breaks where nobody polled.
function drawLine(id, field, least, label, text) {
  const svg = $(id).querySelector('svg');
  const top = nice(Math.max(least, ...points.map((p) => p[field])));
  const f = frame(svg, top, label);
  const parts = [];
  let before = -Infinity;
  for (const p of points) {
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
  say(id, f, text);
  const p = chosen(id, f);
  svg.append(shape('circle', { class: 'dot', cx: f.x(p.t), cy: f.y(p[field]), r: 4 }));
}

function drawCharts() {
  if (points.length === 0) return;
  drawBars('ratechart');
  drawLine('lagchart', 'events', 10, (v) => short.format(v), (p) => count(p.events));
  drawLine('secondschart', 'seconds', 1, (v) => short.format(v), (p) => p.events ? since(p) : '0 s');
}

// ── controls ────────────────────────────────────────────────────────────

for (const figure of document.querySelectorAll('figure')) {
  const svg = figure.querySelector('svg');
  svg.addEventListener('pointermove', (e) => {
    hover = { id: figure.id, x: e.clientX - svg.getBoundingClientRect().left };
    drawCharts();
  });
  const leave = () => { hover = null; drawCharts(); };
  svg.addEventListener('pointerleave', leave);
  svg.addEventListener('blur', leave);
  svg.addEventListener('keydown', (e) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!step || points.length === 0) return;
    e.preventDefault();
    const second = 1000 / SPAN_MS * (svg.clientWidth - LEFT);
    const x = (hover && hover.id === figure.id ? hover.x : svg.clientWidth) + step * second;
    hover = { id: figure.id, x: Math.max(LEFT, Math.min(svg.clientWidth, x)) };
    drawCharts();
  });
}

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').textContent = paused ? 'Resume' : 'Pause';
  $('pause').setAttribute('aria-pressed', String(paused));
  if (paused) setState('paused', 'paused');
  else poll();
});
document.addEventListener('visibilitychange', poll);
addEventListener('resize', drawCharts);
poll();
