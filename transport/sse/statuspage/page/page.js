'use strict';

// The page polls ?data once a second and draws it. Whatever comes from clients
// and errors is only ever put into textContent.

const INTERVAL_MS = 1000;
const TIMEOUT_MS = 5000;
const SPAN_MS = 120_000; // of the charts
const TITLE = document.title;
const LATE_S = 1; // a stream that is further behind is marked

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

let last = null;   // the newest answer
let points = [];   // { t, live, replayed, resets, events, seconds, atLeast }, the newest last; without the last three while the log is away
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
    const text = err.message === 'signed out' || err.message.startsWith('status ') ? err.message : 'no answer';
    setState('closed', text);
    if (!paused) drawVerdict({ well: false, needs: [UNANSWERED[text] || UNANSWERED['no answer']] });
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
  data.rate = { live: 0, replayed: 0, bytes: 0 };
  if (seconds > 0) {
    const per = (now, before) => Math.max(0, now - before) / seconds;
    data.rate.replayed = per(data.sent.replayed, last.sent.replayed);
    data.rate.live = per(data.sent.events - data.sent.replayed, last.sent.events - last.sent.replayed);
    data.rate.bytes = per(data.sent.bytes, last.sent.bytes);
  }
  const point = { t: data.t, live: data.rate.live, replayed: data.rate.replayed, resets: sum(data.resets) };
  if (data.lag) Object.assign(point, data.lag.slowest, { events: Number(data.lag.slowest.events) });
  points.push(point);
  while (points.length > 0 && points[0].t < data.t - SPAN_MS - 2000) points.shift();
  last = data;
  setState(...overall(data));
  draw();
}

// overall is what is most wrong, for the top of the page.
function overall(data) {
  switch (data.log.state) {
    case 'ended': return ['away', 'log closed'];
    case 'unreachable': return ['away', 'log unreachable'];
    case 'waiting': return ['waiting', 'waiting for the log'];
    case 'unfollowed': return ['waiting', 'log not followed'];
  }
  if (data.streams.draining) return ['draining', 'draining'];
  return ['live', 'log reachable'];
}

// ── verdict ─────────────────────────────────────────────────────────────

// What the page itself has to say, without an answer.
const UNANSWERED = {
  'signed out': { what: 'You are signed out: what is shown is old.', do: 'Sign in, and load the page again.' },
  'no answer': { what: 'The server gives this page no answer: what is shown is old.', do: 'See that its process runs and that you reach it. The page goes on by itself.' },
};

function drawVerdict(v) {
  const n = v.needs.length;
  const text = v.well ? 'All is well' : n === 1 ? 'One thing needs you' : `${n} things need you`;
  $('verdict').dataset.well = v.well;
  if ($('verdicttext').textContent !== text) put('verdicttext', text); // it is read out
  put('verdictnote', !v.well ? '' : `The log is followed, ${count(last.streams.open)} streams are open, nothing failed in the last minute.`);
  document.title = (v.well ? '' : `(${n}) `) + TITLE;
  $('needs').hidden = v.well;
  $('needs').replaceChildren(...v.needs.map((need) => {
    const li = element('li'), what = element('p', '', need.what);
    if (need.since) what.append(' ', element('small', '', 'for ' + span(Math.max(0, Math.round((last.t - Date.parse(need.since)) / 1000))).replace('.0', '').replace('ms', 's')));
    li.append(what, element('p', 'do', need.do));
    return li;
  }));
}

// ── figures and lists ───────────────────────────────────────────────────

function draw() {
  drawVerdict(last.verdict);
  drawLog(last);
  drawFacts(last);
  drawCharts();
  drawStreams(last);
  drawWorkers(last.workers);
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

// big formats a number of 64 bits, which comes as text.
const big = (text) => text.length < 6 ? whole.format(BigInt(text)) : short.format(BigInt(text));
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

const STATES = {
  waiting: 'not reached yet', reachable: 'reachable', unfollowed: 'reachable, but not followed', unreachable: 'unreachable', ended: 'closed for good',
};

function drawLog(d) {
  const log = d.log;
  $('log').dataset.state = log.state;
  put('logstate', STATES[log.state] || log.state, 'status ' + (log.state === 'reachable' ? 'live' : ''));
  put('lognote', lognote(log));
  put('backend', log.backend);
  put('epoch', log.epoch || '–');
  put('floor', log.answered ? log.floor : '–');
  put('head', log.answered ? log.head : '–');
  put('appended', log.appended ? ago(log.appended) : '–');
  $('appended').title = log.appended ? log.appended : 'no event is in the log, or its time is not known';
  put('logerror', log.error || '');
  $('logerror').hidden = !log.error;
}

// lognote says since when, and how old what is shown is.
function lognote(log) {
  const parts = ['for ' + span(Math.max(0, Math.round((last.t - Date.parse(log.since)) / 1000))).replace('.0', '').replace('ms', 's')];
  if (log.state !== 'reachable' && log.answered) parts.push('answered last ' + ago(log.answered));
  if (log.behind !== '0') parts.push(`the Hub has still to read ${log.behind} to the head`);
  return parts.join(' · ');
}

function drawFacts(d) {
  const full = d.streams.max > 0 && d.streams.open >= d.streams.max;
  put('open', count(d.streams.open), full ? 'bad' : '');
  put('opennote', d.streams.draining ? 'draining' : full ? 'full' : d.lag ? count(d.streams.open - d.streams.starting - d.lag.behind) + ' all sent' : count(d.streams.waiting) + ' waiting');
  $('open').title = d.streams.max ? `of at most ${whole.format(d.streams.max)}` : '';
  put('rate', rate(d.rate.live + d.rate.replayed));
  put('ratenote', bytes(d.rate.bytes) + '/s');
  const slow = d.lag?.slowest;
  put('slowest', slow ? big(slow.events) : '?', slow?.events === '0' ? '' : 'replay');
  put('slowestnote', !slow ? 'unknown' : slow.events === '0' ? 'to send' : since(slow));
  $('slowest').title = slow ? slow.events + ' events to send' : 'the log is away: nobody knows';
  const reads = d.tail.hits + d.tail.misses;
  put('hitrate', reads === 0 ? '–' : (100 * d.tail.hits / reads).toFixed(reads === d.tail.hits ? 0 : 1) + ' %');
  put('hitnote', 'of ' + count(reads));
  const resets = sum(d.resets);
  put('resets', count(resets), resets > points[0].resets ? 'bad' : ''); // in the last two minutes
  put('resetnote', 'in ' + count(d.streams.opened) + ' streams');
  put('failures', count(d.errors.count), d.errors.recent.some((e) => !e.past) ? 'bad' : '');
  put('failurenote', d.errors.count > 0 ? 'last ' + ago(d.errors.recent[0].time) : '');
}

const ago = (time) => span(Math.max(1, Math.round((last.t - Date.parse(time)) / 1000))).replace('.0', '') + ' ago';

function drawStreams(d) {
  const s = d.streams;
  const shown = d.list.length;
  const some = shown < s.open ? `${count(shown)} of ${count(s.open)}, most to send first · ` : '';
  const lag = d.lag ? `${count(d.lag.behind)} with events to send, median ${big(d.lag.median)}` : 'the log is away: what is still to be sent is not known';
  const parked = s.parked > 0 ? ` · ${count(s.parked)} parked` : '';
  put('listnote', s.open === 0 ? '' : some + lag + parked);
  $('sentnote').hidden = s.open === 0;
  $('split').replaceChildren(...[['live', s.live], ['replay', s.replaying + s.waiting], ['', s.starting]].filter(([, n]) => n > 0).map(([name, n]) => {
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
  const kind = { live: 'live', replaying: 'replay', waiting: 'replay' }[one.state] || '';
  const all = one.state === 'live' && one.lag.events === '0';
  const state = element('td', 'state');
  state.append(element('span', 'status ' + kind, all ? 'all sent' : one.state === 'live' ? 'sending' : one.state));
  const behind = element('td', 'num behind' + (!one.lag ? ' replay' : one.lag.events === '0' ? ' none' : one.lag.seconds >= LATE_S ? ' late' : ''));
  if (!one.lag) behind.append('?');
  else if (one.lag.events === '0') behind.append(one.state === 'starting' ? '–' : '0');
  else behind.append(big(one.lag.events) + ' ', element('small', '', since(one.lag)));
  if (one.lag) behind.title = one.lag.events;
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

function drawWorkers(workers) {
  $('workers').hidden = !workers;
  if (!workers) return;
  const n = workers.list.length;
  put('workersnote', n === 0 ? 'none has begun' : `${count(n)}, ${count(workers.list.filter((w) => w.state === 'working').length)} working`);
  $('workerlist').replaceChildren(...workers.list.map(workerRow));
  put('workerserror', workers.error || '');
  $('workerserror').hidden = !workers.error;
}

function workerRow(w) {
  const tr = element('tr');
  const kind = { working: 'live', paused: 'replay', reset: 'reset' }[w.state] || '';
  const state = element('td', 'state'), what = element('td', 'what');
  state.append(element('span', 'status ' + kind, w.state));
  what.append(w.name, element('span', 'remote', w.error || w.holder || ''));
  const behind = element('td', 'num behind' + (!w.lag ? ' replay' : w.lag.events === '0' ? ' none' : ''));
  if (!w.lag) behind.append(w.state === 'new' ? '–' : '?');
  else if (w.lag.events === '0') behind.append('0');
  else behind.append(big(w.lag.events) + ' ', element('small', '', since(w.lag)));
  const position = element('td', 'num position', w.state === 'new' ? '–' : w.position);
  position.title = 'head ' + w.head;
  tr.append(state, what, position, behind, element('td', 'num parked' + (w.parked > 0 ? ' late' : ' none'), count(w.parked)));
  return tr;
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
    const li = element('li', e.past ? 'past' : ''), when = element('p');
    when.append(element('time', '', ago(e.time)), element('span', '', e.count > 1 ? '× ' + count(e.count) : ''));
    li.append(when, element('p', '', e.text));
    return li;
  });
  if (rows.length === 0) rows.push(element('li', 'none', 'None since the server was started.'));
  const at = $('errors').scrollTop;
  $('errors').replaceChildren(...rows);
  $('errors').scrollTop = at;
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
