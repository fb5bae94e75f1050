// The built-in page in Chromium, against a fake of the server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openPage, rowCount, rows, startBrowser } from './browser.js';
import { startFake } from './fake.js';

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser.close());

test('says that it is connected, and what is not there yet', async (t) => {
  const { page } = await open(t);
  assert.equal(await page.title(), 'corecast');
  assert.equal(await page.locator('#state').textContent(), 'connected');
  assert.equal(await page.locator('#nothing').isVisible(), true);
  assert.equal(await page.locator('#trouble').isVisible(), false);
});

test('shows JSON, text and binary messages of several topics', async (t) => {
  const { page, fake } = await open(t, 'a', 'b');
  fake.publish('a', { price: 1 });
  fake.publish('b', 'größer', 'text');
  fake.publish('a', 'AP+A', 'base64');
  fake.publish('b', '', 'text');
  await rowCount(page, 4);
  assert.deepEqual(await rows(page), [
    ['a', '1', 'JSON', '{"price":1}'],
    ['b', '1', 'text', 'größer'],
    ['a', '2', 'binary, 3 B', '00 ff 80'],
    ['b', '2', 'text', ''],
  ]);
  assert.deepEqual(await facts(page), ['2 messages · offset 2', '2 messages · offset 2']);
  assert.equal(await page.locator('#total').textContent(), '4');
});

test('what peers send is text and never markup', async (t) => {
  const { page, fake } = await open(t, 'a');
  const markup = '<img src=x onerror="document.title=\'taken\'"><script>document.title="taken"</script>';
  fake.publish('a', markup, 'text');
  fake.publish('a', { markup });
  await rowCount(page, 2);
  assert.equal(await page.locator('#messages img, #messages script').count(), 0);
  assert.equal((await rows(page))[0][3], markup);
  assert.equal(await page.title(), 'corecast');
});

test('long messages are cut, and how much is said', async (t) => {
  const { page, fake } = await open(t, 'a');
  fake.publish('a', 'x'.repeat(100_600), 'text');
  fake.publish('a', Buffer.alloc(49).toString('base64'), 'base64');
  fake.publish('a', Buffer.alloc(48).toString('base64'), 'base64');
  await rowCount(page, 3);
  assert.equal((await rows(page))[0][3], `${'x'.repeat(600)} … 100,000 characters more`);
  assert.deepEqual((await rows(page))[1].slice(2), ['binary, 49 B', `${Array(48).fill('00').join(' ')} …`]);
  assert.deepEqual((await rows(page))[2].slice(2), ['binary, 48 B', Array(48).fill('00').join(' ')]);
});

test('unsubscribing ends one topic and leaves the others', async (t) => {
  const { page, fake } = await open(t, 'a', 'b');
  await page.getByRole('button', { name: 'Unsubscribe from a' }).click();
  await page.locator('#topics li').filter({ hasText: 'a' }).filter({ hasNotText: 'b' }).waitFor({ state: 'detached' });
  await sent(fake, { op: 'unsubscribe', topic: 'a' });
  fake.publish('a', 1);
  fake.publish('b', 2);
  await rowCount(page, 1);
  assert.deepEqual(await rows(page), [['b', '1', 'JSON', '2']]);
  assert.equal(await focused(page), 'Unsubscribe from b');
});

test('topics that cannot be are said to be so, and not sent', async (t) => {
  const { page, fake } = await open(t, 'a');
  for (const [topic, hint] of [
    ['', 'a topic needs a name'],
    ['a b', "a space can't be in a topic; A-Z a-z 0-9 . _ - : ~ = @ can"],
    ['café', "é can't be in a topic; A-Z a-z 0-9 . _ - : ~ = @ can"],
    ['..', ".. is no topic: URLs can't hold it"],
    ['a', 'already subscribed to a'],
  ]) {
    await page.fill('#topic', topic);
    await page.press('#topic', 'Enter');
    assert.equal(await page.locator('#topic-hint').textContent(), hint);
    assert.equal(await page.locator('#topic').getAttribute('aria-invalid'), 'true');
  }
  assert.equal(fake.requests.length, 1);
});

test('a refused subscription says why and may be tried again', async (t) => {
  const { page, fake } = await open(t);
  fake.refusals.push('too_many');
  await subscribe(page, 'a');
  await page.getByText('too_many: refused by the test').waitFor();
  await subscribe(page, 'a');
  await page.getByText('0 messages · offset 0').waitFor();
  assert.equal(await page.locator('#topics li').count(), 1);
});

test('text is published as typed', async (t) => {
  const { page, fake } = await open(t, 'a');
  assert.equal(await page.inputValue('#to'), 'a');
  await page.fill('#data', ' two\nlines ');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.locator('#published').getByText('offset 1').waitFor();
  await rowCount(page, 1);
  assert.deepEqual(await rows(page), [['a', '1', 'text', ' two\nlines ']]);
  assert.equal(fake.topics.get('a').offset, 1);
});

test('JSON is checked while it is typed, and published with the keyboard alone', async (t) => {
  const { page } = await open(t, 'a');
  await page.getByLabel('JSON').check();
  await page.fill('#data', '{"a": 1');
  assert.match(await page.locator('#publish-hint').textContent(), /^no JSON: /);
  await page.press('#data', 'Control+Enter');
  assert.equal(await page.locator('#published').textContent(), '');
  await page.locator('#data').focus();
  await page.keyboard.press('End');
  await page.keyboard.type('}');
  assert.equal(await page.locator('#publish-hint').textContent(), 'valid JSON');
  await page.press('#data', 'Control+Enter');
  await page.locator('#published').getByText('offset 1').waitFor();
  await rowCount(page, 1);
  assert.deepEqual(await rows(page), [['a', '1', 'JSON', '{"a":1}']]);
});

test('what cannot be published is said to be so, and not sent', async (t) => {
  const { page, fake } = await open(t);
  const publish = page.getByRole('button', { name: 'Publish', exact: true });
  const hint = page.locator('#publish-hint');
  await publish.click();
  assert.equal(await hint.textContent(), 'a topic needs a name');
  assert.deepEqual(await invalid(page), ['to']);
  await page.fill('#to', 'a');
  assert.equal(await hint.textContent(), '');
  await page.getByLabel('JSON').check();
  assert.deepEqual(await invalid(page), []);
  await publish.click();
  assert.equal(await hint.textContent(), 'no JSON: there is nothing yet');
  assert.deepEqual(await invalid(page), ['data']);
  await page.fill('#to', 'a/b');
  assert.equal(await hint.textContent(), "/ can't be in a topic; A-Z a-z 0-9 . _ - : ~ = @ can");
  await publish.click();
  assert.equal(await page.locator('#published').textContent(), '');
  assert.equal(fake.topics.size, 0);
});

test('a refused publish says why', async (t) => {
  const { page, fake } = await open(t);
  fake.refusals.push('forbidden');
  await page.fill('#to', 'a');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.locator('#published.bad').getByText('refused by the test').waitFor();
  await fake.stop();
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.locator('#published.bad').getByText('no answer from the server').waitFor();
});

test('missed messages are shown in the list, at the topic and in the sum', async (t) => {
  const { page, fake } = await open(t, 'a');
  fake.publish('a', 1);
  fake.skip('a', 10);
  fake.publish('a', 2);
  await rowCount(page, 3);
  assert.deepEqual((await rows(page))[1], ['a', '', '', 'missed 2 to 11 (10 messages)']);
  assert.deepEqual(await facts(page), ['2 messages · offset 12 · 10 missed', 'missed 2 to 11 (10 messages)']);
  assert.equal(await page.locator('#missed').textContent(), '10');
  await page.locator('#notice').getByText('a: missed 2 to 11 (10 messages)').waitFor({ state: 'attached' });
});

test('an error that answers nothing is shown', async (t) => {
  const { page, fake } = await open(t);
  fake.send({ op: 'error', code: 'overloaded', message: 'not now' });
  await rowCount(page, 1);
  assert.deepEqual(await rows(page), [['', '', '', 'overloaded: not now']]);
});

test('a lost connection is shown, tried again, and what was missed meanwhile is told', async (t) => {
  const { page, fake } = await open(t, 'a', 'b');
  fake.publish('a', 1);
  await rowCount(page, 1);
  await fake.stop();
  await page.locator('#state').getByText('disconnected').waitFor();
  await page.locator('#trouble').getByText('no connection to the server (1006)').waitFor();
  fake.publishUnseen('a', 3);
  await fake.listen(fake.port);
  await reconnected(page);
  fake.publish('b', 'again');
  await page.locator('#messages').getByText('again').waitFor();
  const shown = (await rows(page)).map(([topic, , , text]) => `${topic} ${text}`);
  // How often it was tried before the server was back is chance.
  const seen = shown.filter((text) => !text.startsWith(' disconnected'));
  assert.deepEqual(seen, ['a 1', 'a missed 2 to 4 (3 messages)', 'b "again"']);
  assert.equal(await page.locator('#trouble').isVisible(), false);
});

test('a topic that the server forgot is shown as reset', async (t) => {
  const { page, fake } = await open(t, 'a');
  fake.forget();
  fake.cut();
  await reconnected(page);
  await page.locator('#messages').getByText('reset: offsets start anew').waitFor();
  assert.deepEqual(await facts(page), ['0 messages · offset 0', 'reset: offsets start anew, some messages may be missing']);
});

test('the reason of a close and the time of the next try are shown', async (t) => {
  const { page, fake } = await open(t);
  fake.close(4012, 'retry after 600 s');
  await page.locator('#trouble').getByText('retry after 600 s (4012)').waitFor();
  const wait = Number(/^next try in (\d+) s$/.exec(await page.locator('#countdown').textContent())[1]);
  assert.ok(wait > 500 && wait <= 750, `${wait} s`);
  await page.getByRole('button', { name: 'Try now' }).click();
  await page.locator('#state[data-state=open]').waitFor();
});

test('a close for good is not tried again, and says so', async (t) => {
  const { page, fake } = await open(t, 'a');
  fake.close(4003, '');
  await page.locator('#state').getByText('closed').waitFor();
  await page.locator('#trouble').getByText('forbidden (4003)').waitFor();
  await page.fill('#topic', 'b');
  await page.press('#topic', 'Enter');
  assert.equal(await page.locator('#topic-hint').textContent(), 'the connection is closed for good: reload the page');
  await page.getByRole('button', { name: 'Reload' }).click();
  await page.locator('#state[data-state=open]').waitFor();
  await page.getByText('0 messages').waitFor();
});

test('a reload subscribes to the same topics', async (t) => {
  const { page, fake } = await open(t, 'a', 'b:c=1@x~');
  assert.match(page.url(), /#a,b:c=1@x~$/);
  await page.reload();
  await page.getByText('0 messages · offset 0').nth(1).waitFor();
  assert.deepEqual(await page.locator('#topics .name').allTextContents(), ['a', 'b:c=1@x~']);
  fake.publish('a', 1);
  await rowCount(page, 1);
});

test('an address with nonsense subscribes to what can be a topic', async (t) => {
  const { page, complaints } = await open(t, { hash: '#good,%20,%zz,<b>,good,..' });
  assert.deepEqual(await page.locator('#topics .name').allTextContents(), ['good']);
  assert.deepEqual(complaints, []);
});

test('of thirty thousand messages all are counted and the newest two hundred shown', async (t) => {
  const { page, fake } = await open(t, 'a');
  for (let number = 1; number <= 30_000; number += 1) fake.publish('a', number);
  await page.locator('#total').getByText('30,000').waitFor();
  const shown = (await rows(page)).map(([, , , text]) => Number(text));
  assert.deepEqual(shown, Array.from({ length: 200 }, (_, index) => 29_801 + index));
  assert.equal(await isAtEnd(page), true);
});

test('a paused list waits, and goes on with the newest', async (t) => {
  const { page, fake } = await open(t, 'a');
  fake.publish('a', 'before', 'text');
  await rowCount(page, 1);
  await page.getByRole('button', { name: 'Pause' }).click();
  for (let number = 0; number < 500; number += 1) fake.publish('a', number);
  await page.getByRole('button', { name: '500 new' }).waitFor();
  assert.deepEqual((await rows(page)).map(([, , , text]) => text), ['before']);
  assert.deepEqual(await facts(page), ['501 messages · offset 501']);
  await page.getByRole('button', { name: 'Resume' }).click();
  await rowCount(page, 200);
  assert.equal((await rows(page)).at(-1)[3], '499');
  assert.equal((await rows(page))[0][3], '300');
});

test('who reads further up keeps the place, and comes back with one click', async (t) => {
  const { page, fake } = await open(t, 'a');
  for (let number = 0; number < 150; number += 1) fake.publish('a', number);
  await rowCount(page, 150);
  assert.equal(await isAtEnd(page), true);
  await page.locator('#messages').evaluate(
    (list) =>
      new Promise((resolve) => {
        list.addEventListener('scroll', () => resolve(), { once: true });
        list.scrollTop = 100;
      }),
  );
  fake.publish('a', 'new');
  const newer = page.getByRole('button', { name: '1 new' });
  await newer.waitFor();
  assert.equal(await page.locator('#messages').evaluate((list) => list.scrollTop), 100);
  await newer.click();
  await rowCount(page, 151);
  assert.equal(await isAtEnd(page), true);
  assert.equal(await newer.isVisible(), false);
});

test('clear empties the list and nothing else', async (t) => {
  const { page, fake } = await open(t, 'a');
  fake.publish('a', 1);
  await rowCount(page, 1);
  await page.getByRole('button', { name: 'Clear' }).click();
  await rowCount(page, 0);
  assert.equal(await page.locator('#nothing').isVisible(), true);
  assert.deepEqual(await facts(page), ['1 message · offset 1']);
});

test('the examples name this host and topic, and can be copied', async (t) => {
  const { page, fake } = await open(t, { permissions: ['clipboard-read', 'clipboard-write'] });
  await page.fill('#to', 'scores');
  assert.equal(
    await page.locator('#curl').textContent(),
    `curl http://${fake.authority}/topics/scores \\\n  -H 'content-type: application/json' \\\n  -d '{"hello":"world"}'`,
  );
  await page.locator('[data-copies=raw]').click();
  await page.locator('[data-copies=raw]').getByText('Copied').waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, new RegExp(`^const socket = new WebSocket\\(\\s*"ws://${fake.authority}/topics/scores"\\);`));
});

test('the example with the client works as it stands', async (t) => {
  const { page, fake } = await open(t);
  await page.fill('#to', 'scores');
  const example = await page.locator('#module').textContent();
  const printed = page.waitForEvent('console');
  await page.evaluate(`(async () => { ${example} })()`);
  await sent(fake, { op: 'subscribe', topic: 'scores' });
  fake.publish('scores', 'seen');
  assert.equal((await printed).text(), '1 seen');
});

for (const [width, height] of [[360, 740], [768, 1024], [1280, 800]]) {
  test(`nothing sticks out of a screen ${width} wide`, async (t) => {
    const { page, fake } = await open(t, 'a', 'x'.repeat(255), { viewport: { width, height } });
    fake.publish('a', 'y'.repeat(700), 'text');
    fake.skip('a', 10 ** 12);
    await rowCount(page, 2);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    assert.equal(await page.locator('#messages').evaluate((list) => list.scrollWidth - list.clientWidth), 0);
  });
}

test('every control has a name', async (t) => {
  const { page } = await open(t, 'a');
  const controls = page.locator('button:visible, input:visible, textarea:visible, ol:visible, pre:visible');
  const names = await controls.evaluateAll((all) =>
    all.map((one) => {
      const label = one.labels?.[0]?.textContent ?? document.getElementById(one.getAttribute('aria-labelledby'))?.textContent;
      return (one.ariaLabel ?? label ?? one.textContent).trim();
    }),
  );
  assert.ok(names.length >= 16);
  assert.ok(names.every((name) => name.length > 0), names.join('|'));
});

// Words ---------------------------------------------------------------------------------------------------------------

// A page of its own on a fake of its own, subscribed to the topics among `given`. Options: hash, and those of the browser.
async function open(t, ...given) {
  const topics = given.filter((one) => typeof one === 'string');
  const { hash = '', ...options } = given.find((one) => typeof one === 'object') ?? {};
  const fake = await startFake();
  const { page, complaints } = await openPage(browser, `http://${fake.authority}/${hash}`, options);
  for (const topic of topics) await subscribe(page, topic);
  if (topics.length > 0) await page.getByText('0 messages · offset 0').nth(topics.length - 1).waitFor();
  t.after(async () => {
    await page.context().close();
    await fake.stop();
    assert.deepEqual(complaints, [], 'on the console');
  });
  return { page, fake, complaints };
}

async function subscribe(page, topic) {
  await page.fill('#topic', topic);
  await page.press('#topic', 'Enter');
}

// Without the delay, whether it is being waited for or already over.
async function reconnected(page) {
  await page.waitForFunction(() => {
    document.querySelector('#retry:not([disabled])')?.click();
    return document.querySelector('#state').dataset.state === 'open';
  });
}

// What is said under the topics' names.
const facts = (page) =>
  page.locator('#topics .facts').evaluateAll((all) => all.filter((one) => !one.hidden).map((one) => one.textContent));

const invalid = (page) => page.locator('[aria-invalid=true]').evaluateAll((all) => all.map(({ id }) => id));

const focused = (page) => page.evaluate(() => document.activeElement.ariaLabel);

const isAtEnd = (page) =>
  page.locator('#messages').evaluate((list) => list.scrollTop + list.clientHeight >= list.scrollHeight - 4);

// The fake has got a request like this one.
async function sent(fake, wanted) {
  const isThere = () => fake.requests.some(({ op, topic }) => op === wanted.op && topic === wanted.topic);
  for (let turns = 0; turns < 2_000 && !isThere(); turns += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(isThere(), `${JSON.stringify(wanted)} never came`);
}
