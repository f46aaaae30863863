'use strict';

// What -demo adds to the page: it appends numbered events, breaks what carries
// them, and counts for two feeds what was appended and never came. The first
// feed is the page's own EventSource; the second is one without positions.
{
  const RATE = 20;          // events a second
  const LENGTH_MS = 10_000; // of a run
  const AFTER_MS = 4_000;   // a run goes on for after something was broken
  const WARM = 20;          // events that come before something is broken
  const TYPES = ['order.created', 'order.paid', 'order.shipped'];

  let run = null;    // the newest
  let hand = null;   // the EventSource by hand, while a run goes on
  let killing = false;

  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const until = async (done) => { while (!done()) await sleep(50); };
  const post = (path, body) => fetch(path, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: body || '{}', signal: AbortSignal.timeout(5000),
  });

  function say(text) { $('demonote').textContent = text; }

  // ── the two feeds: which seqs came ──────────────────────────────────────

  const feed = () => ({ came: new Map(), top: 0n, twice: 0 });

  function take(one, seq, how) {
    if (one.came.has(seq)) one.twice++;
    else one.came.set(seq, how);
    if (seq > one.top) one.top = seq;
    paintSoon();
  }

  function watch() { // each EventSource of the page is watched
    source.addEventListener('message', (e) => {
      if (run) take(run.ours, seqOf(e.lastEventId), state === 'live' ? 'live' : 'replay');
    });
  }

  function openByHand() {
    if (hand) return;
    hand = new EventSource('demo/feed?page=' + PAGE);
    hand.onmessage = (e) => { if (run) take(run.theirs, BigInt(JSON.parse(e.data).seq), 'live'); };
    hand.onerror = async () => { // a browser that gives up is asked again
      if (!hand || hand.readyState !== EventSource.CLOSED) return;
      hand = null;
      await sleep(1000);
      if (run && !run.done) openByHand();
    };
  }

  const open = () => state === 'live' && hand && hand.readyState === EventSource.OPEN;

  // ── a run: events, until nothing was broken for a while ─────────────────

  // append returns when the event is stored, whatever is killed meanwhile: it
  // has an ID, so it is stored once.
  async function append(r, type) {
    const n = ++r.sent;
    const event = JSON.stringify({ id: `${r.id}-${n}`, topic: 'demo', type, key: 'n-' + n, data: { n } });
    for (;;) {
      try {
        const answer = await post('events', event);
        if (answer.ok) {
          const seq = seqOf((await answer.json()).cursor);
          r.appended.push(seq);
          paintSoon();
          return seq;
        }
      } catch { /* nobody serves at this moment */ }
      await sleep(100);
    }
  }

  async function start() {
    if (run && !run.done) return run;
    const r = run = {
      id: Math.random().toString(36).slice(2), sent: 0, appended: [], ours: feed(), theirs: feed(), end: Infinity, done: false,
    };
    pressed(true);
    paintSoon();
    if (Object.values(filter).some(Boolean)) {
      for (const name of ['topic', 'type', 'key']) $('filter').elements[name].value = '';
      await follow(); // both feeds get everything
    }
    if (state === 'paused') $('pause').click();
    openByHand();
    await until(open);
    r.end = performance.now() + LENGTH_MS;
    say(`Appending ${RATE} events a second.`);
    go(r);
    return r;
  }

  async function go(r) {
    let next = performance.now();
    while (performance.now() < r.end) {
      await append(r, TYPES[r.sent % TYPES.length]);
      next = Math.max(next + 1000 / RATE, performance.now() - 200);
      await sleep(Math.max(0, next - performance.now()));
    }
    pressed(false);
    await settle(r);
    if (r !== run) return;
    r.done = true;
    hand.close();
    hand = null;
    paint();
    say(summary(r));
  }

  // settle waits for an event that both feeds get: what did not come before it
  // never comes.
  async function settle(r) {
    for (;;) {
      await until(open);
      const last = await append(r, 'end');
      const came = () => r.ours.came.has(last) && r.theirs.came.has(last);
      await until(() => came() || !open());
      if (came()) return;
    }
  }

  function summary(r) {
    const words = (one) => (missed(r, one) === 0 ? 'none' : numbers.format(missed(r, one)));
    return `Done: of ${numbers.format(r.appended.length)} events Gapless's feed missed ${words(r.ours)}, the one by hand ${words(r.theirs)}.`;
  }

  function pressed(on) {
    $('generate').textContent = on ? 'Stop' : 'Start';
    $('generate').setAttribute('aria-pressed', String(on));
  }

  // ── breaking ────────────────────────────────────────────────────────────

  // flowing begins a run, if none appends, and waits until events come.
  async function flowing() {
    if (run && !run.done && performance.now() >= run.end) {
      const before = run;
      await until(() => before.done);
    }
    const r = await start();
    await until(() => Math.min(r.ours.came.size, r.theirs.came.size) >= WARM);
    r.end = Math.max(r.end, performance.now() + AFTER_MS);
    return r;
  }

  async function cut() {
    const r = await flowing();
    try {
      const answer = await post('demo/cut?page=' + PAGE);
      const { cut: n } = await answer.json();
      say(`Cut after ${numbers.format(r.appended.length)} events: ${n} connections of this page are broken, and nobody said goodbye.`);
    } catch {
      say('Nobody serves at this moment: there is nothing to cut.');
    }
  }

  async function pid() {
    for (;;) {
      try {
        const answer = await fetch('demo/state', { cache: 'no-store' });
        if (answer.ok) return (await answer.json()).pid;
      } catch { /* not yet */ }
      await sleep(50);
    }
  }

  async function kill() {
    if (killing) return;
    killing = true;
    const r = await flowing();
    const before = await pid();
    say(`Process ${before} was killed with kill -9.`);
    try { await post('demo/kill'); } catch { /* it may not have come to the answer */ }
    let after = before;
    while (after === before) after = await pid();
    killing = false;
    r.end = Math.max(r.end, performance.now() + AFTER_MS);
    say(`Process ${before} was killed with kill -9. Process ${after} serves the same file.`);
  }

  // ── drawing ─────────────────────────────────────────────────────────────

  // missed counts what was appended, did not come, and comes no more: something
  // newer has come.
  function missed(r, one) {
    return r.appended.reduce((n, seq) => n + (seq < one.top && !one.came.has(seq) ? 1 : 0), 0);
  }

  let painting = false;
  function paintSoon() {
    if (painting) return;
    painting = true;
    requestAnimationFrame(paint);
  }

  function paint() {
    painting = false;
    if (!run) return;
    draw($('ours'), run, run.ours);
    draw($('theirs'), run, run.theirs);
  }

  function draw(section, r, one) {
    const all = r.appended.length, lost = missed(r, one);
    const paths = { live: '', replay: '', hole: '', due: '' };
    const came = { live: 0, replay: 0 };
    const wide = all > 120 ? 1.02 : 0.76;
    r.appended.forEach((seq, i) => {
      const how = one.came.get(seq) || (seq < one.top ? 'hole' : 'due');
      if (how in came) came[how]++;
      paths[how] += how === 'hole' || how === 'due' ? `M${i} 17h${wide}v3h${-wide}z` : `M${i} 0h${wide}v20h${-wide}z`;
    });
    const svg = section.querySelector('svg');
    svg.setAttribute('viewBox', `0 0 ${Math.max(80, all)} 20`);
    svg.replaceChildren(...Object.entries(paths).filter(([, d]) => d).map(([name, d]) => {
      const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      path.setAttribute('class', name);
      path.setAttribute('d', d);
      return path;
    }));
    section.querySelector('b').textContent = numbers.format(lost);
    section.className = 'feed counted' + (lost > 0 ? ' lost' : '');
    const due = all - came.live - came.replay - lost;
    const parts = [`${numbers.format(all)} appended`, `${numbers.format(came.live)} came live`];
    if (came.replay) parts.push(`${numbers.format(came.replay)} replayed`);
    if (due) parts.push(`${numbers.format(due)} to come`);
    if (one.twice) parts.push(`${numbers.format(one.twice)} came twice`);
    section.querySelector('.count').textContent = parts.join(' · ');
  }

  // ── controls ────────────────────────────────────────────────────────────

  $('generate').addEventListener('click', () => {
    if (run && !run.done && run.end !== Infinity && performance.now() < run.end) run.end = 0;
    else start();
  });
  $('cut').addEventListener('click', cut);
  $('kill').addEventListener('click', kill);
  document.addEventListener('connected', watch);
  if (source) watch();
}
