'use strict';

// The page is an ordinary client: one EventSource, a cursor, and the control
// frames cdc.hello, cdc.live, cdc.checkpoint, cdc.reset and cdc.reconnect.
// Whatever comes from the log is only ever put into textContent.

const MAX_ROWS = 500;
const RECENT = 200n;
const RETRY_MS = 3000; // after a status that makes EventSource give up

const PAGE = Math.random().toString(36).slice(2); // names the streams of this page, for -demo

const $ = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat('en');

let source = null;      // the EventSource; null while paused
let state = 'connecting';
let cursor = '';        // of the last frame with an id
let filter = { topic: '', type: '', key: '' };
let expected = null;    // the seq that must come next; null if unknown
let counts = { replaying: 0, live: 0, gaps: 0, lost: 0, second: 0 };
let queue = [];         // rows to be drawn in the next frame
let drawing = false;
let timer = 0;

// ── connection ──────────────────────────────────────────────────────────

function setState(next, text) {
  state = next;
  document.body.dataset.state = next;
  $('state').textContent = text || next;
  const paused = next === 'paused';
  $('pause').textContent = paused ? 'Resume' : 'Pause';
  $('pause').setAttribute('aria-pressed', String(paused));
}

function connect(after) {
  disconnect();
  setState('connecting');
  const query = new URLSearchParams({ after, page: PAGE });
  for (const [name, value] of Object.entries(filter)) {
    for (const v of value.split(',').map((s) => s.trim()).filter(Boolean)) query.append(name, v);
  }
  source = new EventSource('events?' + query);
  source.onmessage = (e) => onEvent(e);
  source.addEventListener('cdc.hello', (e) => onHello(e));
  source.addEventListener('cdc.live', (e) => onLive(e));
  source.addEventListener('cdc.checkpoint', (e) => onCheckpoint(e));
  source.addEventListener('cdc.reset', (e) => onReset(e));
  source.addEventListener('cdc.reconnect', (e) => onReconnect(e));
  source.onerror = () => onError(after);
  document.dispatchEvent(new Event('connected'));
}

function disconnect() {
  clearTimeout(timer);
  if (source) source.close();
  source = null;
}

function onError(after) {
  if (source && source.readyState === EventSource.CLOSED) {
    // Any status but 200 ends an EventSource for good: make a new one.
    setState('closed', 'not reachable');
    timer = setTimeout(() => connect(cursor || after), RETRY_MS);
  } else if (state !== 'reconnecting') {
    setState('reconnecting');
    mark('', 'Connection lost', 'The browser reconnects by itself and resumes after the cursor.');
  }
}

function onHello(e) {
  const again = state === 'reconnecting';
  const hello = JSON.parse(e.data);
  if (cursor && (seqOf(hello.from) !== seqOf(cursor) || hello.from.split('.')[0] !== cursor.split('.')[0])) {
    counts.lost++;
    mark('reset', 'Resumption lost', `the stream was to go on after ${cursor} and goes on after ${hello.from}: does something on the way drop Last-Event-ID?`);
  }
  setCursor(e);
  setState('replaying');
  expected = seqOf(e.lastEventId) + 1n;
  mark('replay', again ? 'Reconnected' : 'Connected', `log ${hello.log}, resuming after seq ${expected - 1n}`);
}

function onLive(e) {
  setCursor(e);
  setState('live');
  mark('live', 'Live', 'caught up with the log; what follows was just committed');
}

function onCheckpoint(e) {
  setCursor(e);
  expected = seqOf(e.lastEventId) + 1n;
}

function onReset(e) {
  setCursor(e);
  const reset = JSON.parse(e.data);
  const floor = whole(e.data, 'floor'), head = whole(e.data, 'head');
  expected = seqOf(e.lastEventId) + 1n;
  setState('replaying');
  mark('reset', 'Reset: ' + reset.reason,
    `${reset.requested} cannot be resumed; the log goes from seq ${floor + 1n} to ${head}. Events may have been skipped: a client reloads its state here.`);
}

function onReconnect(e) {
  setCursor(e);
  setState('reconnecting');
  mark('', 'Asked to reconnect', 'the server ends this stream in good order; nothing is lost');
}

function onEvent(e) {
  setCursor(e);
  const seq = seqOf(e.lastEventId);
  const filtered = Object.values(filter).some(Boolean);
  if (!filtered && expected !== null && seq !== expected) counts.gaps++;
  expected = seq + 1n;
  counts[state === 'live' ? 'live' : 'replaying']++;
  if (state === 'live') counts.second++;
  draw({ event: e.data, seq, live: state === 'live' });
}

function setCursor(e) {
  if (e.lastEventId) cursor = e.lastEventId;
}

// seqOf reads <epoch>.<seq>.<tag>. Seqs have 64 bits, so they are BigInts.
function seqOf(text) {
  const parts = text.split('.');
  const seq = parts.length > 1 ? parts[1] : parts[0];
  return /^\d+$/.test(seq) ? BigInt(seq) : 0n;
}

// whole reads a number of a control frame, which JSON.parse would round. A name
// in quotes cannot stand in a text: there its quotes are escaped.
function whole(json, name) {
  return BigInt(json.match(new RegExp(`"${name}":(\\d+)`))[1]);
}

// bounds are those of the log, as text in a header.
async function bounds() {
  const answer = await fetch('events', { method: 'HEAD', cache: 'no-store' });
  const [, floor, head] = answer.headers.get('Gapless-Bounds').split(' ');
  return { floor: BigInt(floor), head: BigInt(head) };
}

// ── drawing: once per animation frame, at most MAX_ROWS rows ────────────

function mark(kind, title, text) { draw({ mark: kind, title, text }); }

function draw(row) {
  queue.push(row);
  if (queue.length > 2 * MAX_ROWS) queue = queue.slice(-MAX_ROWS); // the others would not stay either
  if (!drawing) {
    drawing = true;
    requestAnimationFrame(paint);
  }
}

function paint() {
  drawing = false;
  const rows = queue.slice(-MAX_ROWS);
  queue = [];
  const list = $('events');
  const fragment = document.createDocumentFragment();
  const animate = rows.length <= 20;
  for (const row of rows.reverse()) fragment.append(row.event === undefined ? markRow(row) : eventRow(row, animate));
  list.prepend(fragment);
  while (list.childElementCount > MAX_ROWS) list.lastElementChild.remove();
  $('empty').hidden = list.querySelector('.event') !== null;
  showFigures();
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function markRow(row) {
  const li = element('li', 'mark ' + row.mark);
  li.append(element('b', '', row.title), ' ', element('span', '', row.text));
  return li;
}

// exactly is the event with every number as it was sent, which may have more
// digits than one of JavaScript's. Older browsers show the text of the event.
function exactly(text) {
  if (!JSON.rawJSON) return text;
  const event = JSON.parse(text, (key, value, context) => typeof value === 'number' ? JSON.rawJSON(context.source) : value);
  return JSON.stringify(event, null, 2);
}

function eventRow(row, animate) {
  const event = JSON.parse(row.event); // for its texts: numbers are rounded
  const li = element('li', 'event ' + (row.live ? 'live' : 'replay') + (row.live && animate ? ' fresh' : ''));
  const details = element('details');
  const summary = element('summary');
  const chip = element('span', 'chip', event.type || 'untyped');
  chip.style.setProperty('--h', hue(event.type || ''));
  const what = element('span', 'what');
  what.append(chip, element('span', 'where', [event.topic, event.key].filter(Boolean).join(' / ')));
  const time = element('time', 'time', clock(event.time));
  time.dateTime = event.time;
  summary.append(element('span', 'seq', String(row.seq)), what, element('span', 'data', brief(event, row.event)), time);
  details.append(summary);
  details.addEventListener('toggle', () => {
    if (details.childElementCount === 1) details.append(element('div', 'more', exactly(row.event)));
  }, { once: true });
  li.append(details);
  return li;
}

// brief is the payload as it was sent: the last field of the event.
function brief(event, sent) {
  if (event.dataBase64 !== undefined) return 'base64 ' + event.dataBase64.slice(0, 200);
  if (event.data === undefined) return '';
  const text = sent.slice(sent.indexOf('"data":') + '"data":'.length, -1);
  return text.length > 300 ? text.slice(0, 300) + '…' : text;
}

function clock(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? '' : time.toLocaleTimeString('en-GB') + '.' + String(time.getMilliseconds()).padStart(3, '0');
}

// hue gives a type a colour of its own.
function hue(text) {
  let h = 0;
  for (const c of text) h = (h * 31 + c.codePointAt(0)) % 4093;
  return h * 137 % 360;
}

function showFigures() {
  $('cursor').textContent = cursor || '–';
  $('cursor').title = cursor;
  $('replayed').textContent = numbers.format(counts.replaying);
  $('live').textContent = numbers.format(counts.live);
  const filtered = Object.values(filter).some(Boolean);
  const gaps = counts.lost + (filtered ? 0 : counts.gaps);
  $('gaps').textContent = filtered && !gaps ? '–' : numbers.format(gaps);
  $('gaps').className = gaps ? 'bad' : '';
  $('gapsnote').textContent = gaps ? (counts.gaps ? 'events are missing' : 'events may be missing') : filtered ? 'filtered' : 'none missing';
}

const rates = new Array(60).fill(0);
function tick() {
  rates.push(counts.second);
  rates.shift();
  counts.second = 0;
  $('rate').textContent = numbers.format(rates[59]);
  const top = Math.max(10, ...rates);
  const bars = rates.map((n, i) => {
    const h = n === 0 ? 0.6 : Math.max(1.5, 28 * n / top);
    return `M${i * 2} 28v${-h}h1.5v${h}z`;
  });
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', bars.join(''));
  $('spark').replaceChildren(path);
  showFigures();
}

// ── controls ────────────────────────────────────────────────────────────

// follow starts anew: what is shown, counted and expected belongs to one stream.
async function follow() {
  const form = $('filter').elements;
  disconnect();
  queue = [];
  cursor = '';
  expected = null;
  counts = { replaying: 0, live: 0, gaps: 0, lost: 0, second: 0 };
  filter = { topic: form.topic.value, type: form.type.value, key: form.key.value };
  $('events').replaceChildren();
  $('empty').hidden = false;
  showFigures();
  showShell();
  let after = form.start.value;
  if (after === 'cursor') after = form.after.value.trim() || 'beginning';
  if (after === 'recent') after = await recent();
  connect(after);
}

// recent is the cursor from which 200 events are replayed.
async function recent() {
  try {
    const { floor, head } = await bounds();
    return head - floor > RECENT ? String(head - RECENT) : 'beginning';
  } catch {
    return 'beginning';
  }
}

async function behind() {
  if (state !== 'paused') return;
  try {
    const n = (await bounds()).head - seqOf(cursor);
    if (state === 'paused') $('state').textContent = n > 0n ? `paused · ${numbers.format(n)} behind` : 'paused';
  } catch { /* shown again when it answers */ }
}

$('pause').addEventListener('click', () => {
  if (state === 'paused') {
    connect(cursor || 'latest');
    return;
  }
  disconnect();
  setState('paused');
  mark('', 'Paused', 'The stream is closed; all that is kept is the cursor. Resuming replays what came meanwhile.');
});

$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(cursor);
    $('copy').textContent = 'copied';
  } catch {
    getSelection().selectAllChildren($('cursor'));
    $('copy').textContent = 'selected';
  }
  setTimeout(() => { $('copy').textContent = 'copy'; }, 1200);
});

$('filter').addEventListener('submit', (e) => { e.preventDefault(); follow(); });
$('filter').addEventListener('reset', () => setTimeout(() => { showAfter(); follow(); }));
$('filter').elements.start.addEventListener('change', showAfter);
function showAfter() { $('afterlabel').hidden = $('filter').elements.start.value !== 'cursor'; }

$('append').addEventListener('submit', async (e) => {
  e.preventDefault();
  const form = e.target.elements;
  let event = JSON.stringify({ topic: form.topic.value, type: form.type.value, key: form.key.value });
  try {
    if (form.data.value.trim()) {
      JSON.parse(form.data.value); // only looked at: the payload is sent as it was typed
      event = event.slice(0, -1) + ',"data":' + form.data.value + '}';
    }
  } catch (err) {
    return note('bad', 'The data is not JSON: ' + err.message);
  }
  try {
    const answer = await fetch('events', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: event,
    });
    const body = await answer.json();
    if (!answer.ok) return note('bad', body.detail || body.title);
    note('good', 'Appended as ' + body.cursor);
    const key = form.key.value.match(/^(.*?)(\d+)$/); // the next one gets the next key
    if (key) form.key.value = key[1] + (BigInt(key[2]) + 1n);
  } catch (err) {
    note('bad', 'Not sent: ' + err.message);
  }
});

function note(kind, text) {
  $('appended').className = 'note ' + kind;
  $('appended').textContent = text;
}

function showShell() {
  const query = new URLSearchParams({ after: 'beginning' });
  for (const [name, value] of Object.entries(filter)) if (value) query.append(name, value);
  $('tryit').textContent = `curl -N '${location.origin}/events?after=beginning'`;
  $('shell').textContent = `# follow\ncurl -N '${location.origin}/events?${query}'\n\n# append\n` +
    `curl ${location.origin}/events \\\n  -H 'Content-Type: application/json' \\\n  -d '{"type":"hello","data":{"from":"curl"}}'`;
}

if (matchMedia('(max-width: 900px)').matches) {
  $('appendcard').open = $('filtercard').open = false;
}
setInterval(tick, 1000);
setInterval(behind, 2000);
tick();
follow();
