// Live trades, the book of one instrument and the publishers' health, over the gateway's own protocol (PROTOCOL.md).
'use strict';

const tradesShown = 40;
const drawEveryMs = 100;
const publishersEveryMs = 1000;
const retryMsMax = 5000;

// What is resumed after a reconnect: by topic, the position behind the last event seen.
const topics = {
  trade_events: {position: null, subscription: null, take: takeTrade, wanted: {on_deleted: 'skip'}},
  // A book replaces the one before: a page that is behind needs only the newest of each instrument.
  market_l2: {position: null, subscription: null, take: takeBook, wanted: {on_deleted: 'skip', slow: 'conflate'}},
};
const trades = [];
let tradeCount = 0;
const books = new Map();
let changed = true;
let retryMs = 200;
let nextId = 1;
let timeoutMs = 0;  // as the gateway says

const element = (id) => document.getElementById(id);

function takeTrade(event) {
  ++tradeCount;
  trades.unshift(event);
  if (trades.length > tradesShown) trades.pop();
}

function takeBook(event) {
  books.set(event.data.instrument, event);
}

function connect() {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(`${scheme}//${location.host}/v1/ws`);
  const asked = new Map();  // id of a request -> topic
  const subscribe = (topic) => {
    const id = nextId++;
    asked.set(id, topic);
    const {position, wanted} = topics[topic];
    socket.send(JSON.stringify({op: 'subscribe', id, topic, start: position ?? 'live', ...wanted}));
  };
  // Heartbeats come while it is quiet, so silence means that the connection is dead.
  let silence;
  const heard = () => {
    clearTimeout(silence);
    if (timeoutMs) silence = setTimeout(lost, timeoutMs);
  };
  const lost = () => {
    clearTimeout(silence);
    socket.onclose = socket.onmessage = null;  // a dead peer answers no close
    socket.close();
    for (const topic of Object.values(topics)) topic.subscription = null;
    show('connection', 'reconnecting', false);
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, retryMsMax);
  };
  socket.onopen = () => {
    retryMs = 200;
    show('connection', 'live', true);
    Object.keys(topics).forEach(subscribe);
  };
  socket.onmessage = ({data}) => {
    const message = JSON.parse(data);
    heard();
    const name = message.topic ?? asked.get(message.id) ??
        Object.keys(topics).find((one) => topics[one].subscription === message.subscription);
    const topic = topics[name];
    if (!topic) return;
    switch (message.type) {
      case 'subscribed':
        topic.subscription = message.subscription;
        timeoutMs = message.timeout_ms;
        topic.position = {offset: message.first_offset, log_id: message.log_id, run: message.run};
        break;
      case 'run':
        topic.position.run = message.run;
        break;
      case 'events':
        for (const event of message.events) if (event.data) topic.take(event);
        topic.position.offset = message.next_offset;
        changed = true;
        break;
      case 'error':
        // The place we left is gone: go on live, rather than not at all.
        if (topic.position) {
          topic.position = null;
          subscribe(name);
        }
        break;
    }
  };
  socket.onclose = lost;
}

function show(id, text, good) {
  element(id).textContent = text;
  element(id).className = `state ${good ? 'good' : 'bad'}`;
}

// Cells are [text, class]: text never becomes markup.
function fill(table, rows) {
  element(table).tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = document.createElement('tr');
    for (const [text, name] of cells) {
      const cell = row.insertCell();
      cell.textContent = text;
      if (name) cell.className = name;
    }
    return row;
  }));
}

const timeOfDay = (time) => time.slice(11, 23);

function drawTrades() {
  element('trade-count').textContent = tradeCount;
  fill('trades', trades.map(({offset, publish_time, data}) => [
    [timeOfDay(publish_time)], [data.instrument], [data.aggressor, data.aggressor],
    [data.price, 'number'], [data.quantity, 'number'], [offset, 'number'],
  ]));
}

function drawBook() {
  const select = element('instrument');
  if (select.options.length !== books.size) {
    const chosen = select.value;
    select.replaceChildren(...[...books.keys()].sort().map((name) => new Option(name)));
    if (books.has(chosen)) select.value = chosen;
  }
  const event = books.get(select.value);
  if (!event) return;
  element('book-time').textContent = timeOfDay(event.publish_time);
  const {bids, asks} = event.data;
  // Levels that do not exist are zero.
  const level = (side, i) => (side[i] && Number(side[i].quantity) !== 0 ? side[i] : {price: '', quantity: ''});
  fill('book', Array.from({length: 10}, (_, i) => [
    [level(bids, i).quantity, 'number'], [level(bids, i).price, 'number bid'],
    [level(asks, i).price, 'number ask'], [level(asks, i).quantity, 'number'],
  ]));
}

function draw() {
  if (!changed) return;
  changed = false;
  drawTrades();
  drawBook();
}

async function refreshPublishers() {
  try {
    const health = await (await fetch('/health')).json();
    show('health', health.status === 'ok' ? 'healthy' : health.reasons.join('; '), health.status === 'ok');
    const publishers = await (await fetch('/v1/publishers')).json();
    fill('publishers', publishers.map((one) => [
      [one.topic], [one.name], [one.state, one.state === 'healthy' ? 'good' : 'bad'],
      [one.epoch, 'number'], [one.last_sequence, 'number'],
    ]));
  } catch {
    show('health', 'unknown', false);
  }
  setTimeout(refreshPublishers, publishersEveryMs);
}

element('instrument').onchange = () => { changed = true; };
setInterval(draw, drawEveryMs);
refreshPublishers();
connect();
