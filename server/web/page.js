// The built-in page: subscribes and publishes by hand, and shows what goes on.
//
// Whatever came from others is written with textContent only. Messages may come by the ten thousand a second: they are
// counted as they come, and drawn at most once per animation frame, the newest ROWS of them.

import { Corecast } from '/client.js';

const ROWS = 200;
const FLOOD = 40; // new rows; more of them are drawn once in FLOOD_INTERVAL
const FLOOD_INTERVAL = 250; // ms
const SHOWN_CHARACTERS = 600;
const SHOWN_BYTES = 48;
const TOPICS_OF_ADDRESS = 64;

const element = (id) => document.getElementById(id);
const number = new Intl.NumberFormat('en');

// Byte counts need the frames as they came.
const received = { messages: 0, bytes: 0, missed: 0 };
const encoder = new TextEncoder();
class CountingSocket extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => (received.bytes += encoder.encode(data).length));
  }
}

const client = new Corecast(undefined, { WebSocket: CountingSocket });

// The connection ------------------------------------------------------------------------------------------------------

const STATES = { connecting: 'connecting', open: 'connected', waiting: 'disconnected', closed: 'closed' };
const CLOSES = {
  1000: 'the server closed the connection',
  1001: 'the server is stopping',
  1005: 'the server closed the connection',
  1006: 'no connection to the server',
  1013: 'the server has no room just now',
  4001: 'not authorized',
  4003: 'forbidden',
  4004: 'a topic that is not allowed',
  4008: 'too slow: messages were missed',
  4009: 'the token has expired',
  4010: 'too many connections',
  4011: 'too fast',
  4012: 'the server is being drained',
  4013: 'the server is overloaded',
};
let retryAt = null;

client.addEventListener('state', ({ state, code, reason, delay }) => {
  retryAt = state === 'waiting' ? performance.now() + delay : null;
  if (code !== undefined) {
    element('reason').textContent = `${reason || CLOSES[code] || 'closed'} (${code})`;
    show({ notice: `${STATES[state]}: ${element('reason').textContent}` });
  }
  showState();
});
client.addEventListener('error', ({ code, message }) => show({ notice: `${code}: ${message}` }));
addEventListener('online', () => client.retry());
element('retry').addEventListener('click', () => (client.state === 'closed' ? location.reload() : client.retry()));

function showState() {
  const { state } = client;
  const label = element('state');
  if (label.dataset.state !== state) label.textContent = STATES[(label.dataset.state = state)];
  // While it is being tried again the reason of the last loss stays.
  element('trouble').hidden = state === 'open' || element('reason').textContent === '';
  element('retry').disabled = state === 'connecting';
  element('retry').textContent = state === 'closed' ? 'Reload' : 'Try now';
  showCountdown();
}

function showCountdown() {
  const seconds = retryAt === null ? null : Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
  const trying = client.state === 'connecting' ? 'trying again' : '';
  element('countdown').textContent = seconds === null ? trying : `next try in ${seconds} s`;
}

// Topics --------------------------------------------------------------------------------------------------------------

const topics = new Map();

class Topic {
  count = 0;
  counted = 0; // up to the last second
  offset = null;
  missed = 0;
  lastNotice = '';
  refusal = '';
  isLive = false;

  constructor(name) {
    this.name = name;
    this.item = document.createElement('li');
    this.nameText = child(this.item, 'span', 'name', name);
    this.rateText = child(this.item, 'span', 'rate');
    this.button = child(this.item, 'button', '', '×');
    this.factsText = child(this.item, 'div', 'facts');
    this.noticeText = child(this.item, 'div', 'facts warn');
    this.button.type = 'button';
    this.button.ariaLabel = this.button.title = `Unsubscribe from ${name}`;
    this.button.addEventListener('click', () => unsubscribe(this));
    element('topics').append(this.item);

    this.subscription = client.subscribe(name, (message) => this.message(message));
    this.on('subscribed', ({ offset }) => {
      Object.assign(this, { isLive: true, refusal: '', offset });
      this.draw();
    });
    this.on('missed', ({ from, to }) => {
      this.missed += to - from + 1;
      received.missed += to - from + 1;
      this.notice(`missed ${range(from, to)}`);
    });
    this.on('reset', () => this.notice('reset: offsets start anew, some messages may be missing'));
    this.on('error', ({ code, message }) => {
      Object.assign(this, { isLive: false, refusal: `${code}: ${message}` });
      this.draw();
    });
  }

  on(type, listener) {
    this.subscription.addEventListener(type, listener);
  }

  message({ offset, data, encoding }) {
    this.count += 1;
    this.offset = offset;
    received.messages += 1;
    touched.add(this);
    show({ topic: this.name, offset, data, encoding });
  }

  notice(text) {
    this.lastNotice = text;
    touched.add(this);
    show({ topic: this.name, notice: text });
  }

  draw() {
    const facts = [`${number.format(this.count)} ${this.count === 1 ? 'message' : 'messages'}`];
    if (this.offset !== null) facts.push(`offset ${number.format(this.offset)}`);
    if (this.missed > 0) facts.push(`${number.format(this.missed)} missed`);
    if (!this.isLive) facts.unshift('subscribing');
    this.factsText.textContent = this.refusal || facts.join(' · ');
    this.factsText.classList.toggle('bad', this.refusal !== '');
    this.noticeText.textContent = this.lastNotice;
    this.noticeText.hidden = this.lastNotice === '';
  }

  second(seconds) {
    this.rateText.textContent = `${perSecond(this.count - this.counted, seconds)}/s`;
    this.counted = this.count;
  }
}

function subscribe(name) {
  const topic = new Topic(name);
  topics.set(name, topic);
  topic.second(1);
  topic.draw();
  topicsChanged();
  if (element('to').value === '') element('to').value = name;
  showExamples();
}

function unsubscribe(topic) {
  topic.subscription.unsubscribe();
  const neighbour = topic.item.nextElementSibling ?? topic.item.previousElementSibling;
  topic.item.remove();
  topics.delete(topic.name);
  topicsChanged();
  (neighbour?.querySelector('button') ?? element('topic')).focus();
}

// The address holds the topics, so that a reload, a bookmark and a friend get the same page.
function topicsChanged() {
  const names = [...topics.keys()];
  history.replaceState(null, '', names.length > 0 ? `#${names.join(',')}` : location.pathname);
  element('known').replaceChildren(...names.map((name) => new Option(name)));
}

function subscribeToAddress() {
  if (client.state === 'closed') return;
  const names = decoded(location.hash.slice(1)).split(',').slice(0, TOPICS_OF_ADDRESS);
  for (const name of names) if (mistakeOfTopic(name) === '' && !topics.has(name)) subscribe(name);
}
addEventListener('hashchange', subscribeToAddress);

element('subscribe').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = element('topic');
  const name = input.value.trim();
  const known = topics.get(name);
  const mistake = mistakeOfSubscription(name, known);
  hint('topic', mistake);
  if (mistake !== '') return input.focus();
  if (known) unsubscribe(known);
  subscribe(name);
  input.value = '';
});
element('topic').addEventListener('input', ({ target }) => {
  hint('topic', target.value === '' ? '' : mistakeOfTopic(target.value.trim()));
});

// What was refused may be tried again.
function mistakeOfSubscription(name, known) {
  if (client.state === 'closed') return 'the connection is closed for good: reload the page';
  return known && known.refusal === '' ? `already subscribed to ${name}` : mistakeOfTopic(name);
}

function mistakeOfTopic(name) {
  if (name === '') return 'a topic needs a name';
  const foreign = /[^A-Za-z0-9._\-:~=@]/u.exec(name);
  if (foreign) return `${foreign[0] === ' ' ? 'a space' : foreign[0]} can't be in a topic; A-Z a-z 0-9 . _ - : ~ = @ can`;
  if (name === '.' || name === '..') return `${name} is no topic: URLs can't hold it`;
  return name.length > 255 ? 'a topic has at most 255 characters' : '';
}

function hint(id, mistake) {
  mark(id, mistake !== '');
  tell(`${id}-hint`, mistake, mistake !== '');
}

function mark(id, isInvalid) {
  element(id).setAttribute('aria-invalid', isInvalid);
}

function tell(id, text, isBad = false) {
  element(id).textContent = text;
  element(id).classList.toggle('bad', isBad);
}

// Messages ------------------------------------------------------------------------------------------------------------

const list = element('messages');
const touched = new Set(); // topics to be drawn with the next frame
let waiting = []; // entries to be drawn; the newest ROWS
let unseen = 0; // entries since the list was held
let isPaused = false;
let isAtEnd = true;
let isFrameDue = false;
let drawnAt = -Infinity;

// An entry is a message (topic, offset, data, encoding) or a notice (topic?, notice).
function show(entry) {
  entry.time = Date.now();
  waiting.push(entry);
  if (waiting.length > 2 * ROWS) waiting = waiting.slice(-ROWS);
  unseen += 1;
  if (entry.notice) announce(entry);
  frame();
}

function frame() {
  if (isFrameDue) return;
  isFrameDue = true;
  requestAnimationFrame(draw);
}

function draw(now) {
  // A flood can't be read anyway, and drawing two hundred rows sixty times a second would leave no time to receive it.
  if (waiting.length > FLOOD && now - drawnAt < FLOOD_INTERVAL) return requestAnimationFrame(draw);
  drawnAt = now;
  isFrameDue = false;
  for (const topic of touched) topic.draw();
  touched.clear();
  element('total').textContent = number.format(received.messages);
  element('missed').textContent = number.format(received.missed);
  element('missed-total').hidden = received.missed === 0;

  // Who reads further up is not to lose the place: as with Pause, the list waits.
  const isHeld = isPaused || !isAtEnd;
  element('newer').hidden = !isHeld || unseen === 0;
  element('newer').textContent = `${number.format(unseen)} new ↓`;
  if (isHeld) return;
  for (const entry of waiting.slice(-ROWS)) {
    // The oldest row becomes the newest: making and dropping thousands of elements a second would cost far more.
    const row = list.childElementCount < ROWS ? newRow() : list.firstElementChild;
    fill(row, entry);
    list.append(row);
  }
  waiting = [];
  unseen = 0;
  element('nothing').hidden = list.childElementCount > 0;
  list.scrollTop = list.scrollHeight;
}

function newRow() {
  const row = document.createElement('li');
  for (const name of ['time', 'topic', 'offset', 'data']) child(row, 'span', name);
  child(row.lastChild, 'span', 'kind');
  row.lastChild.append('');
  return row;
}

function fill(row, { topic = '', offset, data, encoding, notice, time }) {
  const [timeText, topicText, offsetText, dataText] = row.children;
  const [kind, content] = notice ? ['', notice] : readable(data, encoding);
  row.className = notice ? 'notice' : '';
  timeText.textContent = clockTime(time);
  topicText.textContent = topicText.title = topic;
  offsetText.textContent = offset === undefined ? '' : number.format(offset);
  dataText.firstChild.textContent = kind;
  dataText.lastChild.data = content;
}

// What kind of message it is, when that can't be seen, and its beginning.
function readable(data, encoding) {
  if (encoding === 'base64') {
    const bytes = Array.from(data.subarray(0, SHOWN_BYTES), (byte) => byte.toString(16).padStart(2, '0'));
    return [`binary, ${number.format(data.length)} B`, bytes.join(' ') + (data.length > SHOWN_BYTES ? ' …' : '')];
  }
  const text = encoding === 'text' ? data : JSON.stringify(data);
  const rest = text.length - SHOWN_CHARACTERS;
  const kind = encoding === 'text' ? 'text' : 'JSON';
  if (rest <= 0) return [kind, text];
  return [kind, `${text.slice(0, SHOWN_CHARACTERS)} … ${number.format(rest)} characters more`];
}

list.addEventListener('scroll', () => {
  isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
  if (isAtEnd && unseen > 0) frame();
});
// A list that changes its height stays at its end.
new ResizeObserver(() => isAtEnd && (list.scrollTop = list.scrollHeight)).observe(list);

element('pause').addEventListener('click', () => pause(!isPaused));
element('newer').addEventListener('click', () => {
  isAtEnd = true;
  pause(false);
  list.focus();
});
element('clear').addEventListener('click', () => {
  list.replaceChildren();
  waiting = [];
  unseen = 0;
  isAtEnd = true;
  element('nothing').hidden = false;
  frame();
});

function pause(wanted) {
  isPaused = wanted;
  element('pause').classList.toggle('on', isPaused);
  element('pause').textContent = isPaused ? 'Resume' : 'Pause';
  frame();
}

// Read out at most once a second: the last one wins.
let announcement = '';
function announce({ topic, notice }) {
  announcement = topic ? `${topic}: ${notice}` : notice;
}

// Publishing ----------------------------------------------------------------------------------------------------------

// Posted, not sent over the WebSocket: the message is exactly what was typed, and text stays text.
const form = document.querySelector('#publish form');
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (!checkMessage(true)) return;
  const type = isJson() ? 'application/json' : 'text/plain; charset=utf-8';
  const request = { method: 'POST', headers: { 'content-type': type }, body: element('data').value };
  tell('published', 'publishing');
  try {
    const answer = await fetch(`/topics/${element('to').value.trim()}`, request);
    const { offset, error } = await answer.json();
    if (answer.ok) tell('published', `offset ${number.format(offset)}`);
    else tell('published', error?.message ?? `refused with ${answer.status}`, true);
  } catch {
    tell('published', 'no answer from the server', true);
  }
});
for (const id of ['to', 'data']) element(id).addEventListener('input', () => checkMessage());
for (const radio of form.elements.form) radio.addEventListener('change', () => checkMessage());
element('to').addEventListener('input', showExamples);
element('data').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

const isJson = () => form.elements.form.value === 'json';

// Whether it can be published. What is still empty is no mistake before it is meant to be complete.
function checkMessage(isComplete = false) {
  const [topic, data] = [element('to').value.trim(), element('data').value];
  const mistakes = { to: mistakeOfTopic(topic), data: isJson() ? mistakeOfJson(data) : '' };
  const isTold = {
    to: mistakes.to !== '' && (isComplete || topic !== ''),
    data: mistakes.data !== '' && (isComplete || data !== ''),
  };
  for (const id of ['to', 'data']) mark(id, isTold[id]);
  tell('published', '');
  if (isTold.to || isTold.data) tell('publish-hint', isTold.to ? mistakes.to : mistakes.data, true);
  else tell('publish-hint', isJson() && data !== '' ? 'valid JSON' : '');
  return mistakes.to === '' && mistakes.data === '';
}

function mistakeOfJson(text) {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return text === '' ? 'no JSON: there is nothing yet' : `no JSON: ${error.message}`;
  }
}

// Examples ------------------------------------------------------------------------------------------------------------

function showExamples() {
  const typed = element('to').value.trim();
  const topic = mistakeOfTopic(typed) === '' ? typed : 'news';
  const sockets = location.origin.replace(/^http/, 'ws');
  element('curl').textContent = `curl ${location.origin}/topics/${topic} \\
  -H 'content-type: application/json' \\
  -d '{"hello":"world"}'`;
  element('module').textContent = `const { Corecast } = await import(
  "${location.origin}/client.js");
const client = new Corecast("${sockets}/ws");
client.subscribe("${topic}", ({ offset, data }) => {
  console.log(offset, data);
});`;
  element('raw').textContent = `const socket = new WebSocket(
  "${sockets}/topics/${topic}");
socket.onmessage = ({ data }) => console.log(data);`;
}

for (const button of document.querySelectorAll('[data-copies]')) {
  button.addEventListener('click', async () => {
    const isCopied = await copy(element(button.dataset.copies));
    button.textContent = isCopied ? 'Copied' : 'Selected';
    setTimeout(() => (button.textContent = 'Copy'), 1500);
  });
}

// Outside https and localhost there is no navigator.clipboard. Where the old way fails too, the text is selected at least.
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand('copy');
  }
}

// Once a second -------------------------------------------------------------------------------------------------------

let lastSecond = { at: performance.now(), messages: 0, bytes: 0 };

setInterval(() => {
  const now = { at: performance.now(), ...received };
  const seconds = (now.at - lastSecond.at) / 1000;
  const [bytes, unit] = scaled((now.bytes - lastSecond.bytes) / seconds);
  element('rate').textContent = perSecond(now.messages - lastSecond.messages, seconds);
  element('byte-rate').textContent = bytes;
  element('byte-unit').textContent = `${unit}/s`;
  for (const topic of topics.values()) topic.second(seconds);
  lastSecond = now;
  showCountdown();
  const notice = element('notice');
  if (notice.textContent !== announcement) notice.textContent = announcement;
}, 1000);

// Words and numbers ---------------------------------------------------------------------------------------------------

function child(parent, tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return parent.appendChild(made);
}

// 0, 0.4, 3, 12,345: a fraction only where it says something.
function perSecond(count, seconds) {
  const rate = count / seconds;
  return number.format(rate < 1 ? Math.round(rate * 10) / 10 : Math.round(rate));
}

function scaled(bytes) {
  for (const [unit, size] of [['MB', 1e6], ['kB', 1e3]]) {
    if (bytes >= size) return [(bytes / size).toFixed(1), unit];
  }
  return [String(Math.round(bytes)), 'B'];
}

function range(from, to) {
  if (from === to) return `${number.format(from)} (1 message)`;
  return `${number.format(from)} to ${number.format(to)} (${number.format(to - from + 1)} messages)`;
}

function clockTime(time) {
  const date = new Date(time);
  const digits = (value, count) => String(value).padStart(count, '0');
  const [hours, minutes, seconds] = [date.getHours(), date.getMinutes(), date.getSeconds()].map((value) => digits(value, 2));
  return `${hours}:${minutes}:${seconds}.${digits(date.getMilliseconds(), 3)}`;
}

// Of an address that somebody typed, percent signs and all.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

showState();
showExamples();
subscribeToAddress();
